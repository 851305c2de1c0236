import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import MODEL, TEXT, TRAIN

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
    vocabulary = Vocabulary("".join(sorted("ABCDEFGH>\n")))
    split = recall_documents(np.array([5, 20, 1]), np.random.default_rng(0))
    for distance, start, length in zip((5, 20, 1), split.starts, split.lengths, strict=True):
        text = vocabulary.decode(split.ids[start : start + length])
        assert re.fullmatch(rf"([A-H])[A-H]{{{distance - 1}}}>\1\n", text)


def test_reach_is_the_longest_distance_without_a_gap():
    def reach(*accuracies):
        accuracy = dict(zip((5, 10, 20), accuracies, strict=True))
        options = {"cell": "lstm", "hidden_size": 1, "num_parameters": 1, "seed": 0}
        return RecallResult(accuracy=accuracy, **options).reach

    assert reach(0.1, 1.0, 1.0) == 0
    assert reach(1.0, 0.95, 0.2) == 10
    assert reach(1.0, 1.0, 1.0) == 20


@pytest.mark.slow
def test_gates_recall_what_a_plain_network_does_not():
    """The lecture's claim, at a distance that its plain network can't bridge."""
    model = replace(MODEL, hidden_size=48, embedding_size=32)
    found = {
        one.cell: one
        for one in compare_recall(
            model, replace(TRAIN, learning_rate=8e-3), Budget(steps=1200), seeds=[0]
        )
    }
    assert found["lstm"].reach >= 20
    assert found["lstm"].accuracy[200] > 0.5
    assert found["rnn"].reach < 20
