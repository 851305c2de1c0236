"""Views of one unit's steps: table, diagram with its arithmetic, and JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from charlstm.analysis.unit import UnitStep
from charlstm.text.visible import named
from charlstm.views.tables import bar, print_rows, print_text

_VALVE: Final = 8  # columns

# Names in braces are a step's numbers, in eight columns each; * becomes a multiplication sign.
_DIAGRAMS: Final = {
    "lstm": """\
 cell state before                                     cell state now
 {before}  ───*──────────────────+─────────────────┬────────▶ {cell}
              │                  │                 │
              │                  *                tanh
              │             ┌────┴─────┐           │        hidden state h
              │             │          │       ┌───*────────▶ {hidden}
           forget         input    candidate output
           {forget}       {input}   {candidate}  {output}
           {forget_bar}       {input_bar}   {candidate_bar}  {output_bar}
              └─────────────┴────┬─────┴───────┘
                  {reads}, h before of {size} units""",
    "gru": """\
 hidden state h before                                 hidden state h now
 {before}  ───*──────────────────+──────────────────────────▶ {hidden}
              │                  │
              ├── 1 - update ────*
              │                  │
           update            candidate ◀────── reset
           {update}          {candidate}       {reset}
           {update_bar}          {candidate_bar}       {reset_bar}
              └──────────────────┴───────┬───────┘
                  {reads}, h before of {size} units""",
    "rnn": """\
                                 ┌──────────────────────────▶ {hidden}
                               tanh                            hidden state h
                                 │
                  {reads}, h before of {size} units""",
}

# The state update with a step's numbers.
_EQUATIONS: Final = {
    "lstm": """\
cell state now = forget * cell state before + input * candidate
  = {forget:.3f} * {before:.3f} + {input:.3f} * {candidate:.3f} = {cell:.3f}
hidden state h = output * tanh(cell state now)
  = {output:.3f} * {tanh:.3f} = {hidden:.3f}""",
    "gru": """\
h now = update * h before + (1 - update) * candidate
  = {update:.3f} * {before:.3f} + {let_in:.3f} * {candidate:.3f} = {hidden:.3f}""",
    "rnn": "hidden state h = tanh({pre_activation:.3f}) = {hidden:.3f}",
}


def unit_record(steps: Sequence[UnitStep], layer: int, unit: int) -> dict[str, Any]:
    """Return the JSON record: all steps with all terms of their sums."""
    return {"layer": layer, "unit": unit, "steps": [asdict(step) for step in steps]}


def show_unit(steps: Sequence[UnitStep], layer: int, unit: int, *, cell: str, size: int) -> None:
    """Print all steps as a table, and the last one as a diagram with its arithmetic."""
    print_text(f"layer {layer}, unit {unit}", "bold")
    print_rows(
        ("reads", *_values(steps[0])),
        [(named(step.char), *map(_signed, _values(step).values())) for step in steps],
    )
    last = steps[-1]
    print_text(f"the last step, reading {named(last.char)}", "bold")
    if cell in _DIAGRAMS:
        print_text(_diagram(last, layer, cell, size))
    print_rows(
        (
            "",
            f"layer {layer - 1}" if layer > 1 else "character",
            "h before",
            "bias",
            "sum",
            "value",
        ),
        [
            (
                gate.name,
                *map(_signed, (gate.input, gate.hidden, gate.bias, gate.pre_activation)),
                _signed(gate.value),
            )
            for gate in last.gates
        ],
    )
    if cell in _EQUATIONS:
        print_text(_equations(last, cell))
    print_text("\nlargest terms of the sums, from LAYER:UNIT", "bold")
    for gate in last.gates:
        terms = ", ".join(
            f"{_signed(value)} from {layer - (source == 'below')}:{number}"
            for source, number, value in gate.largest
        )
        print_text(f"{gate.name}: {terms}")
    print_text(f"layer {layer}: hidden states of the step before", "dim")


def _values(step: UnitStep) -> dict[str, float]:
    """Return the numbers of a table row, in order."""
    values = {gate.name: gate.value for gate in step.gates}
    if step.cell is not None and step.cell_before is not None:
        states = {"cell before": step.cell_before, "cell": step.cell}
    else:
        states = {"hidden before": step.hidden_before}
    # In a plain RNN `hidden` is already in `values`, and stays first.
    return values | states | {"hidden": step.hidden}


def _with_times(text: str) -> str:
    return text.replace("*", "\u00d7")


def _signed(value: float) -> str:
    return f"{value:.2f}"


def _numbers(step: UnitStep) -> dict[str, float]:
    """Return a step's numbers by their names in diagrams and equations."""
    numbers = {gate.name: gate.value for gate in step.gates} | {"hidden": step.hidden}
    if step.cell is None or step.cell_before is None:
        return numbers | {"before": step.hidden_before}
    return numbers | {"before": step.cell_before, "cell": step.cell}


def _diagram(step: UnitStep, layer: int, cell: str, size: int) -> str:
    char = named(step.char)
    reads = f"layer {layer - 1}, which read {char}" if layer > 1 else f"reads {char}"
    texts = {name: f"{_signed(value):<{_VALVE}}" for name, value in _numbers(step).items()}
    bars = {f"{gate.name}_bar": f"{bar(abs(gate.value), _VALVE):<{_VALVE}}" for gate in step.gates}
    drawn = _with_times(_DIAGRAMS[cell]).format(**texts, **bars, reads=reads, size=size)
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def _equations(step: UnitStep, cell: str) -> str:
    numbers = _numbers(step)
    derived = {
        "pre_activation": step.gates[0].pre_activation,
        "let_in": 1 - numbers.get("update", 0.0),
        "tanh": math.tanh(numbers.get("cell", 0.0)),
    }
    return _with_times(_EQUATIONS[cell]).format(**numbers, **derived)
