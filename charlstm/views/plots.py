"""Plots for papers and slides, with matplotlib (an extra)."""

import contextlib
import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from charlstm.errors import ConfigError
from charlstm.system.files import open_output
from charlstm.system.terminal import escape_line, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from charlstm.analysis.comparison import CellResult
    from charlstm.analysis.recall import RecallResult
    from charlstm.evaluation.report import EvaluationReport
    from charlstm.model.checkpoints import LogEntry

# Write the figure that a function makes; do nothing without --plot.
Draw = Callable[[Callable[[], "Figure"]], None]

_FORMATS: Final = (".svg", ".png", ".pdf")
_PANEL_INCHES: Final = (5.0, 4.0)
# Distinguishable by color-blind readers (Okabe & Ito 2008).
_BLUE: Final = "#0072B2"
_ORANGE: Final = "#D55E00"
_GRAY: Final = "#767676"
_COLORS: Final = (_BLUE, _ORANGE, "#009E73")


@contextlib.contextmanager
def open_plot(path: Path | None, inputs: Iterable[str] = ()) -> Iterator[Draw]:
    """Open the file of --plot, before long computations; it is written when the block ends.

    Args:
        inputs: files that the command reads and must not overwrite.

    Raises:
        ConfigError: if matplotlib is missing or the file format is not supported.
        CharLSTMError: if the file can't be written.
    """
    if path is None:
        yield lambda _make: None
        return
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"--plot {path}: must end in {', '.join(_FORMATS)}")
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise ConfigError("--plot needs matplotlib: pip install 'charlstm[plot]'") from error

    def draw(make: "Callable[[], Figure]") -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about glyphs missing from the font
            make().savefig(file, dpi=150, format=path.suffix[1:])

    with open_output(path, inputs=inputs) as file:
        yield draw
    if path.is_file():
        say(f"{path}: written")


def plot_report(report: "EvaluationReport", *, title: str) -> "Figure":
    """Plot bits per character by context length, and calibration."""
    figure, (context_axes, calibration_axes) = _figure(title, num_panels=2)
    contexts = report.by_context
    context_axes.plot(
        [each.num_context for each in contexts],
        [each.bits_per_char for each in contexts],
        marker="o",
        color=_BLUE,
    )
    context_axes.set_xscale("log")
    context_axes.set_xlabel("characters of context")
    context_axes.set_ylabel("bits per character")
    context_axes.set_ylim(bottom=0)
    bins = report.calibration.bins
    calibration_axes.plot([0, 1], [0, 1], linestyle=":", color=_GRAY, label="perfectly calibrated")
    calibration_axes.plot(
        [each.confidence for each in bins],
        [each.accuracy for each in bins],
        marker="o",
        color=_ORANGE,
        label=f"expected error {report.calibration.expected_error:.1%}",
    )
    calibration_axes.set_xlabel("confidence: probability of the most likely character")
    calibration_axes.set_ylabel("accuracy")
    calibration_axes.legend(frameon=False)
    return figure


def plot_training(history: "Sequence[LogEntry]", *, title: str) -> "Figure":
    """Plot training and validation loss in bits per character over epochs."""
    figure, (axes,) = _figure(title, num_panels=1)
    for name, label, color in (
        ("train_bits_per_char", "training, running mean", _GRAY),
        ("val_bits_per_char", "validation", _BLUE),
    ):
        points = [
            (entry["epoch"], entry[name])
            for entry in history
            if entry.get("epoch") is not None and entry.get(name) is not None
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
    """Plot bits per character of each cell, and bits of closing brackets by distance."""
    figure, (bits_axes, distance_axes) = _figure("same parameters and budget", num_panels=2)
    for place, (result, color) in enumerate(zip(results, _COLORS, strict=False)):
        bits_axes.bar(
            place, result.bits_per_char, yerr=result.spread, color=color, label=result.cell
        )
        for run in result.runs:
            distance_axes.plot(
                list(run.bits_by_distance),
                list(run.bits_by_distance.values()),
                marker="o",
                color=color,
            )
    bits_axes.set_xticks(range(len(results)), [result.cell for result in results])
    bits_axes.set_ylabel("bits per character")
    distance_axes.set_xscale("log")
    distance_axes.set_xlabel("characters since the opening bracket or quote")
    distance_axes.set_ylabel("bits of the closing one")
    bits_axes.legend(frameon=False)
    return figure


def plot_recall(results: "Sequence[RecallResult]") -> "Figure":
    """Plot each cell's recall accuracy by distance."""
    figure, (axes,) = _figure("recalling a symbol", num_panels=1)
    colors = dict(zip(dict.fromkeys(result.cell for result in results), _COLORS, strict=False))
    labelled: set[str] = set()
    for result in results:
        label = None if result.cell in labelled else result.cell
        labelled.add(result.cell)
        distances, accuracies = list(result.accuracy), list(result.accuracy.values())
        axes.plot(distances, accuracies, marker="o", color=colors[result.cell], label=label)
    axes.axhline(1 / 8, linestyle=":", color=_GRAY, label="chance")
    axes.set_xscale("log")
    axes.set_xlabel("distance in characters")
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False)
    return figure


def _figure(title: str, *, num_panels: int) -> "tuple[Figure, Sequence[Any]]":
    from matplotlib.figure import Figure

    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * num_panels, height), layout="constrained")
    # A dollar sign would start a formula.
    figure.suptitle(escape_line(title).replace("$", r"\$"))
    axes = figure.subplots(1, num_panels, squeeze=False)[0]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes
