"""One unit's cell, drawn with characters: what came in, the gates, the memory; or as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.text import Text

from charlstm.analysis.unit import UnitStep
from charlstm.views.prediction import bar, visible
from charlstm.views.tables import print_rows, print_text

_VALVE: Final = 8  # columns

# Names in braces are the numbers of a step, each in eight columns; * becomes a multiplication sign.
_DRAWINGS: Final = {
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


def unit_record(steps: Sequence[UnitStep], layer: int, unit: int) -> dict[str, Any]:
    """For `--json`: all steps, with every part of every sum."""
    return {"layer": layer, "unit": unit, "steps": [asdict(step) for step in steps]}


def show_unit(steps: Sequence[UnitStep], layer: int, unit: int, *, size: int) -> None:
    """All steps in a table; the last one drawn, and its arithmetic."""
    print_text(Text(f"layer {layer}, unit {unit}", style="bold"))
    print_rows(
        ("reads", *_values(steps[0])),
        [(visible(step.char), *map(_signed, _values(step).values())) for step in steps],
    )
    last = steps[-1]
    print_text(Text(f"the last step, reading {visible(last.char)}", style="bold"))
    print_text(Text(_drawing(last, layer, size)))
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
    for equation in _equations(last):
        print_text(Text(_with_times(equation)))
    print_text(Text("\nlargest parts of the sums, from LAYER:UNIT", style="bold"))
    for gate in last.gates:
        parts = ", ".join(
            f"{_signed(value)} from {layer - (source == 'below')}:{number}"
            for source, number, value in gate.largest
        )
        print_text(Text(f"{gate.name}: {parts}"))
    print_text(Text(f"units of layer {layer}: by their hidden states one step before", style="dim"))


def _values(step: UnitStep) -> dict[str, float]:
    """The numbers of a step that a row shows, in its order."""
    values = {gate.name: gate.value for gate in step.gates}
    if step.cell is not None and step.cell_before is not None:
        states = {"cell before": step.cell_before, "cell": step.cell}
    else:
        states = {"hidden before": step.hidden_before}
    # A plain network's only value is its hidden state, which stands first.
    return values | states | {"hidden": step.hidden}


def _with_times(text: str) -> str:
    return text.replace("*", "\u00d7")


def _signed(value: float) -> str:
    return f"{value:.2f}"


def _drawing(step: UnitStep, layer: int, size: int) -> str:
    cell = "lstm" if step.cell is not None else "gru" if len(step.gates) > 1 else "rnn"
    char = visible(step.char)
    reads = f"layer {layer - 1}, which read {char}" if layer > 1 else f"reads {char}"
    values = {gate.name: gate.value for gate in step.gates} | {"hidden": step.hidden}
    before = step.hidden_before if step.cell_before is None else step.cell_before
    values |= {"before": before}
    if step.cell is not None:
        values["cell"] = step.cell
    texts = {name: f"{_signed(value):<{_VALVE}}" for name, value in values.items()}
    bars = {f"{gate.name}_bar": f"{bar(abs(gate.value), _VALVE):<{_VALVE}}" for gate in step.gates}
    drawn = _with_times(_DRAWINGS[cell]).format(**texts, **bars, reads=reads, size=size)
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def _equations(step: UnitStep) -> list[str]:
    """How the gates make the new state of the old one, with the numbers of the step."""

    def s(value: float) -> str:
        return f"{value:.3f}"

    if step.cell is not None and step.cell_before is not None:
        forget, take, candidate, output = (
            step.gate(name).value for name in ("forget", "input", "candidate", "output")
        )
        kept, entered = f"{s(forget)} * {s(step.cell_before)}", f"{s(take)} * {s(candidate)}"
        return [
            "cell state now = forget * cell state before + input * candidate",
            f"  = {kept} + {entered} = {s(step.cell)}",
            "hidden state h = output * tanh(cell state now)",
            f"  = {s(output)} * {s(math.tanh(step.cell))} = {s(step.hidden)}",
        ]
    if len(step.gates) > 1:
        update, candidate = step.gate("update").value, step.gate("candidate").value
        kept = f"{s(update)} * {s(step.hidden_before)}"
        return [
            "h now = update * h before + (1 - update) * candidate",
            f"  = {kept} + {s(1 - update)} * {s(candidate)} = {s(step.hidden)}",
        ]
    return [f"hidden state h = tanh({s(step.gates[0].pre_activation)}) = {s(step.hidden)}"]
