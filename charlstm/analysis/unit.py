"""One unit's steps as arithmetic that can be followed by hand.

A gate is a sum, squashed: what comes from the character (or from the layer below), what comes from
the hidden state before, and a bias. The page has the same in `unit.js`.

Shapes: N characters read, H hidden size, E what a layer reads.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.errors import ConfigError
from charlstm.inference.predictor import Predictor
from charlstm.model.cell import LayerState, layer_weights
from charlstm.model.checkpoints import Checkpoint
from charlstm.text.split import Split

_NUM_LARGEST: Final = 3


class Contribution(NamedTuple):
    """What one unit adds to a sum.

    Args:
        source: `hidden` for a unit of the same layer one step before, `below` for one of the layer
            below.
    """

    source: str
    unit: int
    value: float


@dataclass(frozen=True, kw_only=True)
class GateStep:
    """A gate, or the candidate, in one step.

    Args:
        input: from the character that is read, or from the layer below.
        hidden: from the hidden state before; for a GRU's candidate times the reset gate.
        bias: the rest; the three add up to `pre_activation`.
        value: its sigmoid; of a candidate, and of a plain network's hidden state, its tanh.
        largest: the single contributions of units that are largest, whatever their sign.
    """

    name: str
    input: float
    hidden: float
    bias: float
    pre_activation: float
    value: float
    largest: tuple[Contribution, ...]


@dataclass(frozen=True, kw_only=True)
class UnitStep:
    """What a unit did when it read a character.

    Args:
        char: the readable character.
        gates: in the order in which a cell is drawn.
        cell_before, cell: the cell state before and after; None for a GRU and a plain network.
        hidden_before, hidden: the hidden state before and after.
    """

    char: str
    gates: tuple[GateStep, ...]
    cell_before: float | None
    cell: float | None
    hidden_before: float
    hidden: float

    def gate(self, name: str) -> GateStep:
        return next(gate for gate in self.gates if gate.name == name)


def unit_steps(checkpoint: Checkpoint, text: Split, *, layer: int, unit: int) -> list[UnitStep]:
    """Follow one unit through a text, a step for each character [N].

    Args:
        layer, unit: from 0 on.

    Raises:
        ConfigError: when the text is empty.
    """
    if not text.num_chars:
        raise ConfigError("there is no text to look into")
    predictor = Predictor(checkpoint)
    alphabet = predictor.alphabet
    steps = []
    for char, symbol, (before, after) in zip(
        alphabet.decode(text.ids), text.ids, predictor.trace(text), strict=True
    ):
        below_E = (
            after.layers[layer - 1].h[0]
            if layer
            else checkpoint.weights["embedding.weight"][int(symbol)]
        )
        old, new = before.layers[layer], after.layers[layer]
        has_cell = checkpoint.spec.model_config.spec.has_cell_state
        steps.append(
            UnitStep(
                char=alphabet.to_text(char),
                gates=_gates(checkpoint, below_E, old, new, layer=layer, unit=unit),
                cell_before=float(old.c[0, unit]) if has_cell else None,
                cell=float(new.c[0, unit]) if has_cell else None,
                hidden_before=float(old.h[0, unit]),
                hidden=float(new.h[0, unit]),
            )
        )
    return steps


def _gates(
    checkpoint: Checkpoint,
    below_E: npt.NDArray[np.floating],
    before: LayerState,
    after: LayerState,
    *,
    layer: int,
    unit: int,
) -> tuple[GateStep, ...]:
    spec = checkpoint.spec.model_config.spec
    weight_ih, weight_hh, bias_ih, bias_hh = layer_weights(checkpoint.weights, layer)
    found = []
    for name in spec.drawn:
        row = spec.blocks.index(name) * before.h.shape[1] + unit
        gate = spec.recurrent_gates.get(name)
        through = 1.0 if gate is None else float(after.gates[gate][0, unit])
        input_E = weight_ih[row].astype(np.float64) * below_E
        hidden_H = through * weight_hh[row].astype(np.float64) * before.h[0]
        bias = float(bias_ih[row]) + through * float(bias_hh[row])
        found.append(
            GateStep(
                name=name,
                input=float(input_E.sum()),
                hidden=float(hidden_H.sum()),
                bias=bias,
                pre_activation=float(input_E.sum() + hidden_H.sum() + bias),
                value=float(after.value(name)[0, unit]),
                # Numbers of an embedding have no meaning of their own; units below have a name.
                largest=_largest({"hidden": hidden_H} | ({"below": input_E} if layer else {})),
            )
        )
    return tuple(found)


def _largest(parts: dict[str, npt.NDArray[np.float64]]) -> tuple[Contribution, ...]:
    contributions = [
        Contribution(source, int(unit), float(values[unit]))
        for source, values in parts.items()
        for unit in np.argsort(-np.abs(values), kind="stable")[:_NUM_LARGEST]
    ]
    contributions.sort(key=lambda one: -abs(one.value))
    return tuple(contributions[:_NUM_LARGEST])
