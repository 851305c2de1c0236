import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("documents", "num_streams", "max_chars", "cuts", "starts"),
    [
        (["ab" * 10, "ba" * 5], 4, 1000, [(0, 30)], [0, 7, 15, 20, 22]),
        # A long text is truncated, but each stream has at least one character.
        (["ab" * 50], 4, 40, [(0, 10), (25, 35), (50, 60), (75, 85)], [0, 10, 20, 30]),
        (["ab" * 50], 4, 2, [(0, 1), (25, 26), (50, 51), (75, 76)], [0, 1, 2, 3]),
        (["ab"], 5, 100, [(0, 2)], [0, 1]),
        # A document that starts at the end of a stream is not part of it.
        (["\xe9" * 10] * 10, 2, 40, [(0, 20), (50, 70)], [0, 10, 20, 30]),
        ([], 3, 10, [], []),
    ],
)
def test_in_parallel_concatenates_the_starts_of_equal_parts(
    documents, num_streams, max_chars, cuts, starts
):
    split = EncodedText.of(documents, VOCABULARY)
    parallel = split.in_parallel(num_streams, max_chars=max_chars)
    expected = [number for first, after in cuts for number in split.ids[first:after]]
    assert parallel.ids.tolist() == expected
    assert parallel.starts.tolist() == starts


def test_pieces_name_their_documents_and_where_these_begin():
    split = EncodedText.of(["aba", "bb", "\xe9"], VOCABULARY)
    found = [(first, ids.tolist(), documents, begins.tolist())
             for first, ids, documents, begins in split.pieces(4)]  # fmt: skip
    assert found == [(0, [1, 2, 1, 2], slice(0, 2), [0, 3]), (4, [2, 3], slice(1, 3), [0, 1])]


def test_an_empty_text_has_no_bytes_and_no_documents():
    empty = EncodedText.of([], VOCABULARY)
    assert empty.num_bytes == 0
    assert empty.starts.dtype == np.int64


def test_bytes_are_counted_by_the_given_function():
    assert EncodedText.of(["é", "ab"], VOCABULARY, num_bytes=len).bytes_D.tolist() == [1, 2]
