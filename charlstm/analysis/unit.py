"""One unit's steps, broken down so that they can be checked by hand.

A gate is the sigmoid of a sum: a part from the input (the character or the layer below), a part
from the previous hidden state, and a bias. The web page has the same code in `unit.js`.

Shapes: N characters read, H hidden size, E size of a layer's input.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.errors import ConfigError
from charlstm.inference.predictor import Predictor
from charlstm.model.cell import LayerState, layer_weights
from charlstm.model.checkpoints import Checkpoint
from charlstm.text.encoded_text import EncodedText

_NUM_LARGEST: Final = 3


class Contribution(NamedTuple):
    """The contribution of one unit to a pre-activation.

    Args:
        source: `hidden` for a unit of the same layer in the previous step, `below` for a unit of
            the layer below.
    """

    source: str
    unit: int
    value: float


@dataclass(frozen=True, kw_only=True)
class GateStep:
    """A gate or candidate in one step.

    Args:
        input: contribution of the character or the layer below.
        hidden: contribution of the previous hidden state; for a GRU's candidate, times the reset
            gate.
        bias: the bias; the three sum to `pre_activation`.
        value: sigmoid of `pre_activation`; tanh for candidates and a plain RNN's hidden state.
        largest: the largest contributions of units, by absolute value.
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
    """A unit's step for one character.

    Args:
        char: the readable character.
        gates: in the order of the diagrams.
        cell_before, cell: the cell state before and after; None for a GRU and a plain RNN.
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


def unit_steps(
    checkpoint: Checkpoint, text: EncodedText, *, layer: int, unit: int
) -> list[UnitStep]:
    """Return the steps of one unit on a text, one for each character [N].

    Args:
        layer, unit: counted from 0.

    Raises:
        ConfigError: when the text is empty.
    """
    if not text.num_chars:
        raise ConfigError("the text is empty")
    predictor = Predictor(checkpoint)
    tokenizer = predictor.tokenizer
    steps = []
    for char, token, (before, after) in zip(
        tokenizer.decode(text.ids), text.ids, predictor.trace(text), strict=True
    ):
        below_E = (
            after.layers[layer - 1]["hidden"][0]
            if layer
            else checkpoint.weights["embedding.weight"][int(token)]
        )
        old, new = before.layers[layer], after.layers[layer]
        steps.append(
            UnitStep(
                char=tokenizer.to_text(char),
                gates=_gates(checkpoint, below_E, old, new, layer=layer, unit=unit),
                cell_before=float(old["cell"][0, unit]) if "cell" in old else None,
                cell=float(new["cell"][0, unit]) if "cell" in new else None,
                hidden_before=float(old["hidden"][0, unit]),
                hidden=float(new["hidden"][0, unit]),
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
    steps = []
    for name in spec.drawn:
        row = spec.blocks.index(name) * before["hidden"].shape[1] + unit
        gate = spec.recurrent_gates.get(name)
        factor = 1.0 if gate is None else float(after[gate][0, unit])
        input_E = weight_ih[row].astype(np.float64) * below_E
        hidden_H = factor * weight_hh[row].astype(np.float64) * before["hidden"][0]
        bias = float(bias_ih[row]) + factor * float(bias_hh[row])
        steps.append(
            GateStep(
                name=name,
                input=float(input_E.sum()),
                hidden=float(hidden_H.sum()),
                bias=bias,
                pre_activation=float(input_E.sum() + hidden_H.sum() + bias),
                value=float(after[name][0, unit]),
                # Embedding dimensions are not units, so the first layer only lists hidden ones.
                largest=_largest({"hidden": hidden_H} | ({"below": input_E} if layer else {})),
            )
        )
    return tuple(steps)


def _largest(parts: dict[str, npt.NDArray[np.float64]]) -> tuple[Contribution, ...]:
    contributions = [
        Contribution(source, int(unit), float(values[unit]))
        for source, values in parts.items()
        for unit in np.argsort(-np.abs(values), kind="stable")[:_NUM_LARGEST]
    ]
    contributions.sort(key=lambda contribution: -abs(contribution.value))
    return tuple(contributions[:_NUM_LARGEST])
