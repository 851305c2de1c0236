"""Pictures for papers and slides; matplotlib, which is an extra, draws them."""

import importlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from charlstm.errors import ConfigError
from charlstm.system.terminal import escape_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from charlstm.analysis.comparison import CellResult
    from charlstm.analysis.recall import RecallResult
    from charlstm.evaluation.assessment import Assessment
    from charlstm.model.checkpoints import LogEntry

_FORMATS: Final = (".svg", ".png", ".pdf")
_PANEL_INCHES: Final = (5.0, 4.0)
# Distinguishable by color-blind readers (Okabe & Ito 2008).
_BLUE: Final = "#0072B2"
_ORANGE: Final = "#D55E00"
_GRAY: Final = "#767676"
_COLORS: Final = (_BLUE, _ORANGE, "#009E73")


def require_plots(path: Path) -> None:
    """Refuse, before the work begins, what can't be drawn at its end.

    Raises:
        ConfigError: when matplotlib is missing or the file's ending names no picture.
    """
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"--plot {path}: give a file that ends in {', '.join(_FORMATS)}")
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise ConfigError("--plot needs matplotlib: pip install 'charlstm[plot]'") from error


def plot_assessment(assessment: "Assessment", *, title: str) -> "Figure":
    """Draw bits per character by context length, and the calibration."""
    figure, (context_axes, calibration_axes) = _figure(title, num_panels=2)
    contexts = assessment.by_context
    context_axes.plot(
        [one.num_context for one in contexts],
        [one.bits_per_char for one in contexts],
        marker="o",
        color=_BLUE,
    )
    context_axes.set_xscale("log")
    context_axes.set_xlabel("characters of context")
    context_axes.set_ylabel("bits per character")
    context_axes.set_ylim(bottom=0)
    bins = assessment.calibration.bins
    calibration_axes.plot([0, 1], [0, 1], linestyle=":", color=_GRAY, label="perfectly calibrated")
    calibration_axes.plot(
        [one.confidence for one in bins],
        [one.accuracy for one in bins],
        marker="o",
        color=_ORANGE,
        label=f"expected error {assessment.calibration.expected_error:.1%}",
    )
    calibration_axes.set_xlabel("confidence: probability of the most likely character")
    calibration_axes.set_ylabel("accuracy")
    calibration_axes.legend(frameon=False)
    return figure


def plot_training(history: "Sequence[LogEntry]", *, title: str) -> "Figure":
    """Draw bits per character in training and validation over the epochs."""
    figure, (axes,) = _figure(title, num_panels=1)
    for name, label, color in (
        ("train_bits_per_char", "training, running mean", _GRAY),
        ("val_bits_per_char", "validation", _BLUE),
    ):
        points = [
            (one["epoch"], one[name])
            for one in history
            if one.get("epoch") is not None and one.get(name) is not None
        ]
        axes.plot(
            [epoch for epoch, _ in points],
            [bits for _, bits in points],
            marker="o",
            color=color,
            label=label,
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("bits per character")
    axes.legend(frameon=False)
    return figure


def plot_comparison(results: "Sequence[CellResult]") -> "Figure":
    """Draw bits per character of each cell, and of what closes by the distance to its opening."""
    figure, (bits_axes, distance_axes) = _figure("the same parameters and budget", num_panels=2)
    for place, (one, color) in enumerate(zip(results, _COLORS, strict=False)):
        bits_axes.bar(place, one.bits_per_char, yerr=one.spread, color=color, label=one.cell)
        for run in one.runs:
            distance_axes.plot(
                list(run.bits_by_distance),
                list(run.bits_by_distance.values()),
                marker="o",
                color=color,
            )
    bits_axes.set_xticks(range(len(results)), [one.cell for one in results])
    bits_axes.set_ylabel("bits per character")
    distance_axes.set_xscale("log")
    distance_axes.set_xlabel("characters since the bracket or quote was opened")
    distance_axes.set_ylabel("bits for what closes it")
    bits_axes.legend(frameon=False)
    return figure


def plot_recall(results: "Sequence[RecallResult]") -> "Figure":
    """Draw how often each cell recalls a symbol, by distance."""
    figure, (axes,) = _figure("recalling a symbol", num_panels=1)
    colors = dict(zip(dict.fromkeys(one.cell for one in results), _COLORS, strict=False))
    labelled: set[str] = set()
    for one in results:
        label = None if one.cell in labelled else one.cell
        labelled.add(one.cell)
        distances, shares = list(one.accuracy), list(one.accuracy.values())
        axes.plot(distances, shares, marker="o", color=colors[one.cell], label=label)
    axes.axhline(1 / 8, linestyle=":", color=_GRAY, label="chance")
    axes.set_xscale("log")
    axes.set_xlabel("characters between a symbol and its return")
    axes.set_ylabel("share recalled")
    axes.legend(frameon=False)
    return figure


def write_figure(figure: "Figure", file: BinaryIO, path: Path) -> None:
    """Draw a figure into a file, in the format that its path's ending names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks become boxes
        figure.savefig(file, dpi=150, format=path.suffix[1:])


def _figure(title: str, *, num_panels: int) -> "tuple[Figure, Sequence[Any]]":
    from matplotlib.figure import Figure

    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * num_panels, height), layout="constrained")
    # A dollar sign would begin a formula.
    figure.suptitle(escape_line(title).replace("$", r"\$"))
    axes = figure.subplots(1, num_panels, squeeze=False)[0]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes
