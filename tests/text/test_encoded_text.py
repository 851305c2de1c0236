import numpy as np

from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of("abé")


def test_documents_are_concatenated_without_empty_ones():
    split = EncodedText.of(["ab", "", "é"], VOCABULARY)
    assert split.ids.tolist() == [1, 2, 3]
    assert split.starts.tolist() == [0, 2]
    assert split.lengths.tolist() == [2, 1]
    assert split.num_bytes == 4


def test_selected_documents_keep_order_and_bytes():
    split = EncodedText.of(["ab", "a", "bé", "bbba"], VOCABULARY)
    chosen = split.documents(np.array([True, False, True, True]))
    assert chosen.ids.tolist() == [1, 2, 2, 3, 2, 2, 2, 1]
    assert chosen.starts.tolist() == [0, 2, 4]
    assert chosen.bytes_D.tolist() == [2, 3, 4]
    nothing = split.documents(np.zeros(4, np.bool_))
    assert (nothing.num_chars, nothing.num_bytes, len(nothing.starts)) == (0, 0, 0)


def test_part_starts_a_document_at_the_cut():
    split = EncodedText.of(["aba", "bb", "é"], VOCABULARY)
    part = split.part(1, 5)
    assert part.ids.tolist() == [2, 1, 2, 2]
    assert part.starts.tolist() == [0, 2]
    assert part.num_bytes is None  # a document was cut
    assert split.part(3).starts.tolist() == [0, 2]
    assert split.part(3, 5).starts.tolist() == [0]
    assert split.part(0).ids.tolist() == split.ids.tolist()
    assert split.part(0).starts.tolist() == split.starts.tolist()
    nothing = split.part(6)
    assert (nothing.num_chars, len(nothing.starts)) == (0, 0)


def test_parallel_streams_keep_characters_and_document_starts():
    split = EncodedText.of(["ab" * 10, "ba" * 5], VOCABULARY)
    parallel = split.in_parallel(4, max_chars=1000)
    assert parallel.ids.tolist() == split.ids.tolist()
    assert set(parallel.starts) == {0, 7, 15, 20, 22}


def test_parallel_streams_of_a_long_text_are_truncated():
    split = EncodedText.of(["ab" * 50], VOCABULARY)
    parallel = split.in_parallel(4, max_chars=40)
    assert parallel.num_chars == 40
    assert parallel.starts.tolist() == [0, 10, 20, 30]
    assert (
        parallel.ids.tolist()
        == np.concatenate([split.ids[start : start + 10] for start in (0, 25, 50, 75)]).tolist()
    )


def test_more_streams_than_characters_keep_all_characters():
    split = EncodedText.of(["ab"], VOCABULARY)
    parallel = split.in_parallel(5, max_chars=100)
    assert parallel.ids.tolist() == [1, 2]
    assert parallel.starts.tolist() == [0, 1]
    # Of a long text, at least one character per stream.
    assert EncodedText.of(["ab" * 50], VOCABULARY).in_parallel(4, max_chars=2).num_chars == 4


def test_a_document_that_starts_at_a_stream_s_end_is_excluded():
    split = EncodedText.of(["é" * 10] * 10, VOCABULARY)
    parallel = split.in_parallel(2, max_chars=40)
    assert parallel.starts.tolist() == [0, 10, 20, 30]
    assert parallel.num_chars == 40


def test_an_empty_text_has_no_streams():
    empty = EncodedText.of([], VOCABULARY)
    assert empty.in_parallel(3, max_chars=10).num_chars == 0
    assert empty.num_bytes == 0
    assert empty.starts.dtype == np.int64


def test_bytes_are_counted_by_the_given_function():
    assert EncodedText.of(["é", "ab"], VOCABULARY, num_bytes=len).bytes_D.tolist() == [1, 2]
