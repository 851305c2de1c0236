"""Pictures for papers and slides; matplotlib, which is an extra, draws them."""

import importlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from charlstm.errors import ConfigError
from charlstm.terminal import escape_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from charlstm.assessment import Assessment

_FORMATS: Final = (".svg", ".png", ".pdf")
_PANEL_INCHES: Final = (5.0, 4.0)
# Legible for those who see colours otherwise (Okabe & Ito 2008).
_BLUE: Final = "#0072B2"
_ORANGE: Final = "#D55E00"
_GRAY: Final = "#767676"


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


def plot_assessment(assessment: "Assessment", path: Path, *, title: str) -> None:
    """Draw bits per character by context, and how often the model is as right as it is sure.

    Raises:
        ConfigError: when matplotlib is missing or the file's ending names no picture.
        OSError: when the file can't be written.
    """
    figure, (context_axes, calibration_axes) = _figure(path, title, num_panels=2)
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
    calibration_axes.plot([0, 1], [0, 1], linestyle=":", color=_GRAY, label="as right as sure")
    calibration_axes.plot(
        [one.confidence for one in bins],
        [one.accuracy for one in bins],
        marker="o",
        color=_ORANGE,
        label=f"expected error {assessment.calibration.expected_error:.1%}",
    )
    calibration_axes.set_xlabel("probability of the likeliest character")
    calibration_axes.set_ylabel("how often it came")
    calibration_axes.legend(frameon=False)
    _save(figure, path)


def plot_training(history: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Draw bits per character in training and validation over the epochs.

    Raises:
        ConfigError: as `plot_assessment` does.
    """
    figure, (axes,) = _figure(path, title, num_panels=1)
    for name, label, color in (
        ("train_bits_per_char", "training, running mean", _GRAY),
        ("val_bits_per_char", "validation", _BLUE),
    ):
        points = [one for one in history if one.get(name) is not None and "epoch" in one]
        axes.plot(
            [one["epoch"] for one in points],
            [one[name] for one in points],
            marker="o",
            color=color,
            label=label,
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("bits per character")
    axes.legend(frameon=False)
    _save(figure, path)


def _figure(path: Path, title: str, *, num_panels: int) -> "tuple[Figure, Sequence[Any]]":
    require_plots(path)
    from matplotlib.figure import Figure

    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * num_panels, height), layout="constrained")
    # A dollar sign would begin a formula.
    figure.suptitle(escape_line(title).replace("$", r"\$"))
    axes = figure.subplots(1, num_panels, squeeze=False)[0]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks become boxes
        figure.savefig(path, dpi=150)
