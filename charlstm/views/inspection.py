"""Views of gates, units and context lengths: terminal graphics and JSON."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.style import Style
from rich.text import Text

from charlstm.analysis.inspection import GateStatistics, Trace, TrackedFeature
from charlstm.evaluation.scores import ContextScore
from charlstm.reading.documents import EOS
from charlstm.system.terminal import is_animated
from charlstm.text.visible import named, visible
from charlstm.views.sampling import show_context
from charlstm.views.tables import (
    bar,
    legend,
    print_rows,
    print_text,
    surprisal_color,
    width,
    with_derived,
)

if TYPE_CHECKING:
    from charlstm.analysis.reach import Reach  # imports torch

GatesBefore = Mapping[str, tuple[float, float]]

_DISTANCES: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200)
# Marks for gates and positive values, and for negative values.
_POSITIVE: Final = "\u2591\u2592\u2593\u2588"
_NEGATIVE: Final = ".:oO"
_SHOWN_FROM: Final = 0.05
_RANGE: Final = 15  # columns for minimum and maximum
_SCALE: Final = (
    "each column is the step that reads the character above\n"
    f"blank: below {_SHOWN_FROM}; {_POSITIVE}: up to 0.25, 0.5, 0.75, 1; {_NEGATIVE}: negative"
)


def character_records(trace: Trace) -> list[dict[str, Any]]:
    return [
        {
            "char": character.char,
            "nats": character.nats,
            "next": [candidate._asdict() for candidate in character.candidates],
        }
        for character in trace.characters
    ]


def show_characters(trace: Trace) -> None:
    """Print the text shaded by surprisal, with the most likely candidates below each character."""
    characters = trace.characters
    columns = _columns(trace)
    per_line = max(1, (width() - 2) // (columns + 1))
    for first in range(0, len(characters), per_line):
        line = characters[first : first + per_line]
        text = Text()
        for character in line:
            color = surprisal_color(character.nats)
            style = Style(color="color(16)", bgcolor=color) if color else Style(bold=True)
            text.append(_cell(character.char, columns), style)
            text.append(" ")
        print_text(text)
        for place in range(max(len(character.candidates) for character in line)):
            row = Text()
            for character in line:
                candidates = character.candidates
                char = candidates[place].char if place < len(candidates) else None
                style = Style(bold=True) if char == character.char else Style(dim=True)
                row.append(_cell(char, columns), style)
                row.append(" ")
            print_text(row)
        print_text()
    if is_animated(sys.stdout):
        text = Text("bits ", "dim")
        for bits, color in legend():
            text.append(f" {bits} ", Style(color="color(16)", bgcolor=color))
        print_text(text)


def gate_records(trace: Trace, units: Sequence[int], number: int) -> dict[str, Any]:
    values = {
        name: {str(unit): values[number - 1, :, unit].tolist() for unit in units}
        for name, values in trace.values.items()
    }
    values["shown"] = values["hidden"]  # deprecated name, kept for scripts
    return {"layer": number, "units": list(units), "values": values}


def show_gates(trace: Trace, units: Sequence[int], number: int) -> None:
    """Print a heat map per unit, with a row per gate and a column per character."""
    names = list(trace.values)
    margin = max(map(len, names)) + 2 + _RANGE
    columns = _columns(trace)
    per_line = max(1, (width() - margin - 2) // columns)
    text = trace.text
    for unit in units:
        print_text(f"layer {number}, unit {unit}", "bold")
        for first in range(0, len(text), per_line):
            chosen = slice(first, first + per_line)
            cells = (_cell(char, columns) for char in text[chosen])
            print_text(" " * margin + "".join(cells))
            for name in names:
                values_N = trace[name][number - 1, :, unit]
                extent = f"{values_N.min():.2f} to {values_N.max():.2f}"
                row = Text(f"{name:{margin - _RANGE}}{extent:{_RANGE}}")
                for value in values_N[chosen]:
                    level, style = _heat(name, float(value), is_gate=name in trace.gates)
                    row.append(level * columns, style)
                print_text(row)
            print_text()
    for name in names:
        print_text(f"{name:{margin - _RANGE}}{trace.cell.meanings[name]}", "dim")
    ranges = ["gates: 0 to 1"] if trace.gates else []
    ranges += ["cell: unbounded, shown as tanh(cell)"] if "cell" in names else []
    print_text(f"{_SCALE}\n{'; '.join([*ranges, 'others: -1 to 1'])}", "dim")


def gate_rate_records(
    shares: Sequence[dict[str, GateStatistics]], before: Sequence[GatesBefore]
) -> list[dict[str, Any]]:
    """Return how often each gate is closed or open, now and, if known, before training."""
    records = []
    for number, layer in enumerate(shares):
        for name, found in layer.items():
            record = {"layer": number + 1, "gate": name, **asdict(found)}
            if number < len(before) and name in before[number]:
                closed, is_open = before[number][name]
                record |= {"closed_before": closed, "open_before": is_open}
            # Deprecated names, kept for scripts.
            record |= {
                key.replace("closed", "shut"): value
                for key, value in record.items()
                if key.startswith("closed")
            }
            records.append(record)
    return records


def show_gate_rates(
    shares: Sequence[dict[str, GateStatistics]], before: Sequence[GatesBefore]
) -> None:
    """Print how often gates are closed or open, now and before training."""
    records = gate_rate_records(shares, before)
    if not records:
        return
    print_rows(
        ("gate", "closed (< 0.1)", "before training", "open (> 0.9)", "before training"),
        [
            (
                f"layer {record['layer']}, {record['gate']}",
                f"{record['closed']:.0%}",
                f"{record['closed_before']:.0%}" if "closed_before" in record else "-",
                f"{record['open']:.0%}",
                f"{record['open_before']:.0%}" if "open_before" in record else "-",
            )
            for record in records
        ],
    )


def unit_records(tracked: Sequence[TrackedFeature]) -> list[dict[str, Any]]:
    return [
        asdict(feature)
        | {"units": [unit._asdict() | {"layer": unit.layer + 1} for unit in feature.units]}
        for feature in tracked
    ]


def show_units(tracked: Sequence[TrackedFeature]) -> None:
    """Print the units that track each feature best, with the chance score."""
    rows = []
    for feature in tracked:
        for place, unit in enumerate(feature.units):
            rows.append(
                (
                    "" if place else feature.feature,
                    "" if place else feature.measure,
                    "" if place else f"{feature.chance:.2f}",
                    f"{unit.score:.2f}",
                    f"{unit.layer + 1}",
                    f"{unit.unit}",
                    visible(unit.marked),
                )
            )
    print_rows(
        ("feature", "measure", "chance", "score", "layer", "unit", "strongest at [ ]"),
        rows,
        left=(1, 6),
    )
    print_text("auc: 0.5 is chance; 1 and 0 are perfect, 0 for a unit that decreases", "dim")
    if tracked:
        best = tracked[0].units[0]
        command = f"charlstm inspect --gates --layer {best.layer + 1} --unit {best.unit}"
        print_text(f"to see the gates of the first unit: {command}", "dim")


def reach_record(reach: "Reach", contexts: Sequence[ContextScore]) -> dict[str, Any]:
    return {
        "gradient": list(reach.gradient),
        "half_distance": reach.half_distance,
        "by_context": [with_derived(each, "bits_per_char") for each in contexts],
    }


def show_reach(reach: "Reach", contexts: Sequence[ContextScore]) -> None:
    """Print the gradient by distance, and the effect of context length."""
    strongest = max(reach.gradient) or 1.0
    print_rows(
        ("distance back", "gradient", ""),
        [
            (
                f"{distance:,}",
                f"{reach.gradient[distance - 1] / strongest:.3f}",
                bar(reach.gradient[distance - 1] / strongest),
            )
            for distance in _DISTANCES
            if distance <= len(reach.gradient)
        ],
        left=(2,),
        caption=f"half of the gradient comes from the last {reach.half_distance} characters",
    )
    show_context(contexts)


def _columns(trace: Trace) -> int:
    """Return the terminal columns per character: 2 if a character is wide or an escaped byte."""
    shown = (
        char
        for character in trace.characters
        for char in (character.char, *(candidate.char for candidate in character.candidates))
        if char is not None
    )
    return min(2, max(1, *(Text(_short(char)).cell_len for char in shown)))


def _short(char: str) -> str:
    r"""Return a visible character: ∎ for EOS, and only the number of an escape such as \xe5."""
    return "\u220e" if char == EOS else named(char).removeprefix("\\x")


def _cell(char: str | None, columns: int) -> str:
    """Pad a character to `columns` columns; a square replaces a wider or invisible one."""
    shown = _short(char) if char is not None else "?"
    wide = Text(shown).cell_len
    if not 0 < wide <= columns:
        shown, wide = "\u25a1", 1
    return shown + " " * (columns - wide)


def _heat(name: str, value: float, *, is_gate: bool) -> tuple[str, Style]:
    """Return the mark and color for a gate (0 to 1) or another value (-1 to 1)."""
    # The cell state is unbounded.
    bounded = float(np.tanh(value)) if name == "cell" else value
    color = "cyan" if is_gate else "green" if value >= 0 else "red"
    marks = _POSITIVE if value >= 0 else _NEGATIVE
    if abs(bounded) < _SHOWN_FROM:
        return " ", Style()
    return marks[min(len(marks) - 1, int(abs(bounded) * len(marks)))], Style(color=color)
