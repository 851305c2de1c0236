"""Static HTML for notebooks, for light and dark themes, with untrusted text escaped."""

import html
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.system.terminal import escape

# Colors that are visible on white and on black.
_WARM: Final = "220, 90, 40"
_COLD: Final = "60, 130, 200"


def bars(rows: Iterable[tuple[str, float, str]]) -> str:
    """Return a bar chart of (label, value from 0 to 1, text after the bar)."""
    cells = "".join(
        "<tr style='background:none'>"
        f"<td style='text-align:right;font-family:monospace'>{_escaped(label)}</td>"
        "<td style='width:16em;text-align:left'><div style='height:0.9em;"
        f"width:{100 * min(1.0, max(0.0, value)):.1f}%;background:rgb({_COLD})'></div></td>"
        f"<td style='text-align:right'>{_escaped(note)}</td></tr>"
        for label, value, note in rows
    )
    return f"<table>{cells}</table>"


def shaded(chars: Sequence[str], bits: Sequence[float], *, most: float) -> str:
    """Return a text with each character shaded by its surprisal.

    Args:
        bits: surprisal of each character.
        most: surprisal, in bits, with the strongest shade.
    """
    spans = "".join(
        f"<span title='{surprisal:.2f} bits' style='background:"
        f"rgba({_WARM}, {0.75 * min(1.0, surprisal / most):.2f})'>"
        f"{_escaped(char)}</span>"
        for char, surprisal in zip(chars, bits, strict=True)
    )
    return f"<pre style='white-space:pre-wrap;line-height:1.5'>{spans}</pre>"


def heat(
    values_NR: npt.NDArray[np.floating], chars: Sequence[str], names: Sequence[str], *, least: float
) -> str:
    """Return a heat map with a row for each name and a column for each character.

    Args:
        values_NR: values [N characters, R rows], from `least` to 1.
        least: 0 or -1; negative values have a different color.
    """
    rows = [
        f"<tr style='background:none'><td>{_escaped(name)}</td>"
        + "".join(_cell(float(value), least) for value in values_N)
        + "</tr>"
        for name, values_N in zip(names, values_NR.T, strict=True)
    ]
    head = "".join(
        f"<td style='padding:0 1px;font-family:monospace;text-align:center'>{_escaped(char)}</td>"
        for char in chars
    )
    return (
        "<div style='overflow-x:auto'><table style='border-spacing:0'>"
        f"<tr style='background:none'><td></td>{head}</tr>{''.join(rows)}</table></div>"
    )


def titled(title: str, body: str) -> str:
    """Return HTML below a title."""
    return f"<div><div><b>{_escaped(title)}</b></div>{body}</div>"


def quoted(text: str) -> str:
    """Return preformatted text."""
    return f"<pre style='white-space:pre-wrap'>{_escaped(text)}</pre>"


def curve(values: Sequence[float]) -> str:
    """Return a line chart of values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    across, up = 200 / (len(values) - 1), 36 / ((high - low) or 1)
    points = " ".join(
        f"{across * number:.1f},{38 - up * (value - low):.1f}"
        for number, value in enumerate(values)
    )
    return (
        "<svg width='200' height='40' role='img'><polyline fill='none' stroke-width='2' "
        f"stroke='rgb({_COLD})' points='{points}'/></svg>"
    )


def _cell(value: float, least: float) -> str:
    color = _COLD if value < 0 else _WARM
    strength = min(1.0, abs(value)) if least < 0 else min(1.0, max(0.0, value))
    return (
        f"<td title='{value:.2f}' style='padding:0;min-width:0.9em;height:1.1em;"
        f"background:rgba({color}, {strength:.2f})'></td>"
    )


def _escaped(text: str) -> str:
    return "\n".join(html.escape(escape(line)) for line in text.split("\n"))
