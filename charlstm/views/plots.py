"""Plots with matplotlib, and curves in TensorBoard; both are extras."""

import contextlib
import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from charlstm.errors import ConfigError
from charlstm.system import run_files
from charlstm.system.files import open_output
from charlstm.system.terminal import escape_line, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from charlstm.analysis.comparison import CellResult
    from charlstm.analysis.recall import RecallResult
    from charlstm.evaluation.report import EvaluationReport
    from charlstm.model.checkpoints import LogEntry
    from charlstm.run.log import EventRecord

# Write the figure that a function makes; do nothing without --plot.
Draw = Callable[[Callable[[], "Figure"]], None]

_FORMATS: Final = (".svg", ".png", ".pdf")
_PANEL_INCHES: Final = (5.0, 4.0)
# Distinguishable by color-blind readers (Okabe & Ito 2008).
_BLUE: Final = "#0072B2"
_ORANGE: Final = "#D55E00"
_GRAY: Final = "#767676"
_COLORS: Final = (_BLUE, _ORANGE, "#009E73")
# Event -> metrics in TensorBoard.
_STEP_METRICS: Final = ("train_bits_per_char", "learning_rate", "chars_per_second")
_CURVES: Final = {
    "started": (),
    "stepped": _STEP_METRICS,
    "evaluated": (*_STEP_METRICS, "val_bits_per_char"),
}


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
    contexts = [(each.num_context, each.bits_per_char) for each in report.by_context]
    _plot(context_axes, contexts, color=_BLUE)
    context_axes.set(xscale="log", xlabel="characters of context", ylabel="bits per character")
    context_axes.set_ylim(bottom=0)
    calibration_axes.plot([0, 1], [0, 1], linestyle=":", color=_GRAY, label="perfectly calibrated")
    bins = [(each.confidence, each.accuracy) for each in report.calibration.bins]
    label = f"expected error {report.calibration.expected_error:.1%}"
    _plot(calibration_axes, bins, color=_ORANGE, label=label)
    calibration_axes.set(
        xlabel="confidence: probability of the most likely character", ylabel="accuracy"
    )
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
        _plot(axes, points, color=color, label=label)
    axes.set(xlabel="epoch", ylabel="bits per character")
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
            _plot(distance_axes, run.bits_by_distance.items(), color=color)
    bits_axes.set_xticks(range(len(results)), [result.cell for result in results])
    bits_axes.set_ylabel("bits per character")
    distance_axes.set(
        xscale="log",
        xlabel="characters since the opening bracket or quote",
        ylabel="bits of the closing one",
    )
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
        _plot(axes, result.accuracy.items(), color=colors[result.cell], label=label)
    axes.axhline(1 / 8, linestyle=":", color=_GRAY, label="chance")
    axes.set(xscale="log", xlabel="distance in characters", ylabel="accuracy")
    axes.legend(frameon=False)
    return figure


def _plot(axes: Any, points: Iterable[tuple[float, float]], **style: Any) -> None:
    """Plot points as a line with dots."""
    points = list(points)
    axes.plot([x for x, _ in points], [y for _, y in points], marker="o", **style)


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


def require_tensorboard() -> None:
    """Raise ConfigError if TensorBoard is not installed."""
    try:
        importlib.import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise ConfigError("--tensorboard needs: pip install 'charlstm[tensorboard]'") from error


@contextlib.contextmanager
def open_board(
    folder: Path, *, wanted: bool, mode: int
) -> Iterator[Callable[["EventRecord"], None]]:
    """Yield a function that writes logged events to TensorBoard in a subfolder of the run.

    It does nothing unless `wanted`.

    Args:
        mode: file mode of the run's files; private files make the subfolder private.
    """
    if not wanted:
        yield lambda _report: None
        return
    from torch.utils.tensorboard import SummaryWriter

    place = folder / run_files.TENSORBOARD
    place.mkdir(exist_ok=True)
    if not mode & 0o077:
        place.chmod(0o700)
    writer = SummaryWriter(place)
    is_broken = False

    def draw(report: "EventRecord") -> None:
        nonlocal is_broken
        if is_broken or not report.is_due or report.record["event"] not in _CURVES:
            return
        try:
            _add_curves(writer, report.record)
        except OSError as error:
            # Training continues without curves.
            say(f"warning: can't write TensorBoard's curves any more: {error.strerror}")
            is_broken = True

    try:
        yield draw
    finally:
        with contextlib.suppress(OSError):
            writer.close()


def _add_curves(writer: Any, record: dict[str, Any]) -> None:
    for name in _CURVES[record["event"]]:
        if record.get(name) is not None:
            writer.add_scalar(name, record[name], record["step"])
    for number, gates in enumerate(record.get("gates", [])):
        for gate, mean in gates.items():
            writer.add_scalar(f"gates/layer {number + 1} {gate}", mean, record["step"])
    if "sample" in record:
        writer.add_text("sample", record["sample"], record["step"])
