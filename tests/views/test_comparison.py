"""Tests of the tables of `charlstm compare`."""

import math

import pytest
from printed import read, shows

from charlstm.analysis.comparison import CellResult, TrainedRun
from charlstm.analysis.recall import RecallResult
from charlstm.evaluation.baselines import Baseline
from charlstm.views.comparison import show_comparison, show_recall

LOG_2 = math.log(2)


def result(cell, *nats):
    """Return a cell's result, with a run for each loss in nats per character."""
    runs = [
        TrainedRun(
            seed=seed, nats_per_char=loss, chars_per_second=1234.0 * (seed + 1),
            bits_by_distance={}, half_distance=7 + 2 * seed,
        )
        for seed, loss in enumerate(nats)
    ]  # fmt: skip
    return CellResult(cell=cell, hidden_size=31, num_parameters=12_345, runs=tuple(runs))


def test_compare_table_shows_means_and_spread(capsys):
    baseline = Baseline(name="order 0", nats=3000.0)
    show_comparison([result("gru", 1.5, 1.7)], [baseline], num_chars=1000)
    gru, order_0 = read(capsys.readouterr().out).rows(
        "cell", "size", "parameters", "bits/char", "seeds", "chars/s", "context"
    )
    values = (31, 12_345, 1.6 / LOG_2, 0.1 / LOG_2, 1851, 8)
    assert all(map(shows, gru[1:], values))
    assert len(gru[1:]) == len(values)
    assert shows(order_0[3], 3 / LOG_2)
    assert order_0[1:3] + order_0[4:] == [""] * 5


@pytest.mark.parametrize(("gru", "is_ahead"), [(1.45, True), (1.495, False), (1.6, False)])
def test_note_on_the_best_cell_needs_a_significant_lead(capsys, gru, is_ahead):
    show_comparison([result("lstm", 1.5), result("gru", gru)], [], num_chars=10_000)
    out = capsys.readouterr().out
    assert ("The gru is best with this budget" in out) == is_ahead
    assert "steps" not in out


def test_recall_table_shows_accuracies(capsys):
    recall = RecallResult(
        cell="rnn", hidden_size=31, num_parameters=9, seed=2, accuracy={4: 0.97, 16: 0.43}
    )
    show_recall([recall])
    ((header, (row,)),) = read(capsys.readouterr().out).tables
    assert header[3:5] == ["4", "16"]
    assert row[:3] == ["rnn", "31", "2"]
    assert shows(row[3], 0.97, unit="%")
    assert shows(row[4], 0.43, unit="%")
    assert row[5] == str(recall.longest_distance)
