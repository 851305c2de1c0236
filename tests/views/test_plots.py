"""Tests that plots show the figures that their axes name."""

from types import SimpleNamespace

import pytest

from charlstm.analysis.comparison import CellResult, TrainedRun
from charlstm.analysis.recall import RecallResult
from charlstm.config import NATS_PER_BIT
from charlstm.evaluation.scores import Calibration, CalibrationBin, ContextScore
from charlstm.views import plots

pytest.importorskip("matplotlib")


def points(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_report_plot_shows_context_and_calibration():
    bins = (CalibrationBin(confidence=0.25, accuracy=0.5, num_chars=3),)
    report = SimpleNamespace(
        by_context=[ContextScore(num_context=10, nats_per_char=2 * NATS_PER_BIT)],
        calibration=Calibration(bins=bins, expected_error=0.25),
    )
    context, calibration = plots.plot_report(report, title="$").axes
    assert context.get_ylabel() == "bits per character"
    assert points(context.lines[0]) == [(10, pytest.approx(2))]
    assert [points(line) for line in calibration.lines] == [[(0, 0), (1, 1)], [(0.25, 0.5)]]
    assert calibration.get_ylabel() == "accuracy"


def test_training_plot_shows_both_losses_over_epochs():
    entry = {"epoch": 0.5, "train_bits_per_char": 2.0, "val_bits_per_char": 3.0}
    (axes,) = plots.plot_training([{"epoch": None}, entry], title="one").axes
    assert {line.get_label(): points(line) for line in axes.lines} == {
        "training, running mean": [(0.5, 2.0)],
        "validation": [(0.5, 3.0)],
    }


def test_comparison_and_recall_plots_show_bits_and_accuracies():
    run = TrainedRun(
        seed=0, nats_per_char=2 * NATS_PER_BIT, chars_per_second=1.0, bits_by_distance={4: 0.5},
        half_distance=3,
    )  # fmt: skip
    result = CellResult(cell="gru", hidden_size=3, num_parameters=9, runs=(run,))
    bits, distances = plots.plot_comparison([result]).axes
    assert [bar.get_height() for bar in bits.patches] == [pytest.approx(2)]
    assert bits.get_ylabel() == "bits per character"
    assert points(distances.lines[0]) == [(4, 0.5)]
    recall = RecallResult(
        cell="gru", hidden_size=3, num_parameters=9, seed=0, accuracy={4: 0.9, 16: 0.25}
    )
    (axes,) = plots.plot_recall([recall]).axes
    assert points(axes.lines[0]) == [(4, 0.9), (16, 0.25)]
