from dataclasses import replace

import numpy as np
import pytest
from conftest import MODEL, TEXT, TRAIN

from charlstm import comparison
from charlstm.comparison import (
    CELLS,
    RecallResult,
    compare,
    compare_recall,
    distances_to_opening,
    matched,
    recall_documents,
)
from charlstm.config import Budget
from charlstm.split import Split
from charlstm.vocabulary import Vocabulary


@pytest.mark.parametrize("hidden_size", [8, 64, 200])
@pytest.mark.parametrize("cell", CELLS)
def test_cells_are_compared_at_the_same_number_of_parameters(cell, hidden_size):
    model = replace(MODEL, hidden_size=hidden_size)
    other = matched(model, cell)
    assert other.cell == cell
    assert other.num_parameters == pytest.approx(model.num_parameters, rel=0.06)
    assert matched(model, "lstm") == model


def test_each_cell_is_trained_from_each_seed(vocabulary):
    split = Split.of([TEXT], vocabulary)
    results = list(
        compare(
            replace(MODEL, num_characters=len(vocabulary)),
            TRAIN,
            Budget(steps=12),
            vocabulary=vocabulary,
            train_text=split,
            val_text=split.part(0, 300),
            scored_text=split.part(0, 500),
            unknown_probability=1e-3,
            seeds=range(2),
        )
    )
    assert [one.cell for one in results] == list(CELLS)
    for one in results:
        assert [run.seed for run in one.runs] == [0, 1]
        bits = [run.bits_per_char for run in one.runs]
        assert one.bits_per_char == pytest.approx(np.mean(bits))
        assert one.spread == pytest.approx(abs(bits[0] - bits[1]) / 2)
        assert one.spread > 0
        assert all(run.chars_per_second > 0 and run.half_distance >= 1 for run in one.runs)


def test_what_closes_knows_how_far_it_was_opened():
    text = 'a(b[c]d) "e" ) ('
    expected = [0] * len(text)
    expected[text.index("]")] = 2
    expected[text.index(")")] = 6
    expected[text.rindex('"')] = 2
    assert distances_to_opening(text).tolist() == expected


def test_documents_to_recall_say_their_symbol_again():
    vocabulary = Vocabulary("".join(sorted("ABCDEFGHabcdefgh>\n")))
    split = recall_documents(vocabulary, 40, [5, 20], np.random.default_rng(0))
    seen = set()
    for start, length in zip(split.starts, split.lengths, strict=True):
        text = vocabulary.decode(split.ids[start : start + length])
        distance = length - 3
        seen.add(int(distance))
        assert text[0] in "ABCDEFGH"
        assert text[-2] == text[0]
        assert text[distance] == ">"
        assert set(text[1:distance]) <= set("abcdefgh")
        assert text.endswith("\n")
    assert seen == {5, 20}


def test_reach_is_the_longest_distance_without_a_gap():
    def reach(*accuracies):
        accuracy = dict(zip((5, 10, 20), accuracies, strict=True))
        options = {"cell": "lstm", "hidden_size": 1, "num_parameters": 1, "seed": 0}
        return RecallResult(accuracy=accuracy, **options).reach

    assert reach(0.1, 1.0, 1.0) == 0
    assert reach(1.0, 0.95, 0.2) == 10
    assert reach(1.0, 1.0, 1.0) == 20


@pytest.mark.slow
def test_an_lstm_learns_to_recall_a_short_distance(monkeypatch):
    monkeypatch.setattr(comparison, "RECALL_DISTANCES", (3,))
    monkeypatch.setattr(comparison, "CELLS", ("lstm",))
    monkeypatch.setattr(comparison, "_RECALL_SEQ_LEN", 32)
    model = replace(MODEL, hidden_size=32, embedding_size=16)
    (found,) = compare_recall(model, TRAIN, Budget(steps=500), seeds=[0])
    assert found.accuracy[3] > 0.9
    assert found.reach == 3
