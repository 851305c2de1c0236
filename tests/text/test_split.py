import numpy as np

from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of("abé")


def test_documents_stand_in_a_row_and_empty_ones_leave_no_trace():
    split = Split.of(["ab", "", "é"], VOCABULARY)
    assert split.ids.tolist() == [1, 2, 3]
    assert split.starts.tolist() == [0, 2]
    assert split.lengths.tolist() == [2, 1]
    assert split.num_bytes == 4


def test_parallel_streams_hold_the_same_characters_and_keep_documents_apart():
    split = Split.of(["ab" * 10, "ba" * 5], VOCABULARY)
    parallel = split.in_parallel(4, max_chars=1000)
    assert parallel.ids.tolist() == split.ids.tolist()
    assert set(parallel.starts) == {0, 7, 15, 20, 22}


def test_of_a_long_text_each_stream_keeps_its_beginning():
    split = Split.of(["ab" * 50], VOCABULARY)
    parallel = split.in_parallel(4, max_chars=40)
    assert parallel.num_chars == 40
    assert parallel.starts.tolist() == [0, 10, 20, 30]
    assert (
        parallel.ids.tolist()
        == np.concatenate([split.ids[start : start + 10] for start in (0, 25, 50, 75)]).tolist()
    )


def test_no_text_has_no_streams():
    empty = Split.of([], VOCABULARY)
    assert empty.in_parallel(3, max_chars=10).num_chars == 0
    assert empty.num_bytes == 0
