"""The recurrent cells: one table of what each is, and one step of each in numpy.

The torch model, the numpy model, ONNX export, unit analysis, memory estimate, views and page read
`CELLS`. The fast sampler, the inspector and the tests of `torch.nn.LSTM` share the steps, which
need no torch.

Shapes: B streams, E what a layer reads, H hidden size, L layers, V ids that can be predicted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.errors import CheckpointError
from charlstm.text.vocabulary import SMALLEST_UNKNOWN_PROBABILITY

if TYPE_CHECKING:
    from charlstm.model.config import ModelConfig

Array = npt.NDArray[np.float32]


class LayerState(NamedTuple):
    """What a layer does in one step, float32 [B, H] each.

    Args:
        h: the hidden state, what the cell shows.
        c: the cell state, what an LSTM cell keeps; GRU and RNN show all they keep, h again.
        gates: by name: LSTM `input`, `forget`, `output`; GRU `reset`, `update`; RNN none.
        candidate: what could be written into the state.
    """

    h: Array
    c: Array
    gates: dict[str, Array]
    candidate: Array

    def value(self, name: str) -> Array:
        """Return a gate, the candidate, the cell state or the hidden state by its name."""
        others = {"candidate": self.candidate, "cell": self.c, "hidden": self.h}
        return self.gates[name] if name in self.gates else others[name]

    def of_streams(self, chosen: npt.NDArray[np.intp]) -> "LayerState":
        """The state of some of the streams, by number [n]."""
        gates = {name: gate[chosen] for name, gate in self.gates.items()}
        return LayerState(self.h[chosen], self.c[chosen], gates, self.candidate[chosen])

    def joined(self, other: "LayerState") -> "LayerState":
        """The streams of both side by side."""

        def both(one: Array, two: Array) -> Array:
            return np.concatenate([one, two])

        gates = {name: both(gate, other.gates[name]) for name, gate in self.gates.items()}
        return LayerState(
            both(self.h, other.h),
            both(self.c, other.c),
            gates,
            both(self.candidate, other.candidate),
        )


def lstm_step(read: Array, h: Array, c: Array, weight_hh: Array, bias_hh: Array) -> LayerState:
    """One LSTM step (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    Args:
        read: the input's part of the pre-activations, W_ih x + b_ih, [B, 4H].
        h: hidden state before the step [B, H].
        c: cell state before the step [B, H].
        weight_hh: recurrent weights [4H, H].
        bias_hh: [4H].
    """
    a_i, a_f, a_g, a_o = np.split(read + (h @ weight_hh.T + bias_hh), 4, axis=-1)
    i, f, o = _sigmoid(a_i), _sigmoid(a_f), _sigmoid(a_o)
    g = np.tanh(a_g)
    c = f * c + i * g
    return LayerState(o * np.tanh(c), c, {"input": i, "forget": f, "output": o}, g)


def gru_step(read: Array, h: Array, c: Array, weight_hh: Array, bias_hh: Array) -> LayerState:
    """One GRU step (Cho et al. 2014), in the variant of cuDNN and PyTorch; c is not used.

    Args:
        read: W_ih x + b_ih, [B, 3H]; weight_hh is [3H, H], bias_hh [3H].
    """
    read_r, read_z, read_n = np.split(read, 3, axis=-1)
    kept_r, kept_z, kept_n = np.split(h @ weight_hh.T + bias_hh, 3, axis=-1)
    r, z = _sigmoid(read_r + kept_r), _sigmoid(read_z + kept_z)
    n = np.tanh(read_n + r * kept_n)
    h = (1 - z) * n + z * h
    return LayerState(h, h, {"reset": r, "update": z}, n)


def rnn_step(read: Array, h: Array, c: Array, weight_hh: Array, bias_hh: Array) -> LayerState:
    """One step of a plain recurrent network (Elman 1990) with tanh; c is not used.

    Args:
        read: W_ih x + b_ih, [B, H]; weight_hh is [H, H], bias_hh [H].
    """
    h = np.tanh(read + (h @ weight_hh.T + bias_hh))
    return LayerState(h, h, {}, h)


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """What the program needs to know of a cell.

    A block is a gate or the candidate: H rows of each of PyTorch's weight matrices.

    Args:
        blocks: in the order of the rows.
        drawn: the blocks in the order in which a cell is drawn.
        gates: the blocks that are squashed to [0, 1], in the order of computation.
        keeping: the gates that decide what of the old state is kept and what enters.
        has_cell_state: whether there is a cell state beside the hidden state.
        step: (read, h, c, weight_hh, bias_hh) -> `LayerState`, see `lstm_step`.
        torch_class: the module's name in `torch.nn`, or in `model.network`.
        recurrent_gates: by block, the gate that multiplies its recurrent part.
        onnx_operator: None where ONNX has no such cell; `onnx_order`: its order of blocks;
            `onnx_options`: its attributes.
        meanings: of each value, in words.
    """

    blocks: tuple[str, ...]
    drawn: tuple[str, ...]
    gates: tuple[str, ...]
    keeping: tuple[str, ...]
    has_cell_state: bool
    step: Callable[[Array, Array, Array, Array, Array], LayerState]
    torch_class: str
    recurrent_gates: Mapping[str, str] = field(default_factory=dict)
    onnx_operator: str | None = None
    onnx_order: tuple[str, ...] = ()
    onnx_options: Mapping[str, int] = field(default_factory=dict)
    meanings: Mapping[str, str]

    @property
    def values(self) -> tuple[str, ...]:
        """The names of all that a step computes, in its order."""
        candidate = ("candidate",) * ("candidate" in self.blocks)
        return (*self.gates, *candidate, *("cell",) * self.has_cell_state, "hidden")


_CANDIDATE: Final = "what could be written"
_HIDDEN: Final = "the hidden state h: what the next layer and the next step read"

CELLS: Final[dict[str, CellSpec]] = {
    "lstm": CellSpec(
        blocks=("input", "forget", "candidate", "output"),
        drawn=("forget", "input", "candidate", "output"),
        gates=("input", "forget", "output"),
        keeping=("input", "forget"),
        has_cell_state=True,
        step=lstm_step,
        torch_class="LSTM",
        onnx_operator="LSTM",
        onnx_order=("input", "output", "forget", "candidate"),
        meanings={
            "input": "share of the candidate that enters the cell state",
            "forget": "share of the cell state that is kept",
            "output": "share of the cell state, through tanh, that shows in the hidden state",
            "candidate": _CANDIDATE,
            "cell": "the cell state: the memory",
            "hidden": _HIDDEN,
        },
    ),
    "gru": CellSpec(
        blocks=("reset", "update", "candidate"),
        drawn=("update", "candidate", "reset"),
        gates=("reset", "update"),
        keeping=("update",),
        has_cell_state=False,
        step=gru_step,
        torch_class="GRU",
        recurrent_gates={"candidate": "reset"},
        onnx_operator="GRU",
        onnx_order=("update", "reset", "candidate"),
        onnx_options={"linear_before_reset": 1},
        meanings={
            "reset": "share of the hidden state that the candidate reads",
            "update": "share of the hidden state that is kept",
            "candidate": _CANDIDATE,
            "hidden": _HIDDEN,
        },
    ),
    "rnn": CellSpec(
        blocks=("hidden",),
        drawn=("hidden",),
        gates=(),
        keeping=(),
        has_cell_state=False,
        step=rnn_step,
        torch_class="RNN",
        onnx_operator="RNN",
        onnx_order=("hidden",),
        meanings={"hidden": _HIDDEN},
    ),
}


def layer_weight(layer: int, name: str) -> str:
    """Return the name of a layer's weight, such as `weight_ih`, among a model's weights."""
    return f"layers.{layer}.{name}_l0"


def layer_weights(weights: Mapping[str, npt.NDArray[Any]], layer: int) -> list[npt.NDArray[Any]]:
    """Return a layer's weight_ih, weight_hh, bias_ih and bias_hh."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [weights[layer_weight(layer, name)] for name in names]


class CellStack:
    """A whole model in numpy, one character at a time.

    Args:
        weights: float32, by the names of `network.CharLSTM`.
        unknown_probability: the least probability of the unknown symbol.
    """

    def __init__(
        self,
        config: "ModelConfig",
        weights: Mapping[str, npt.NDArray[Any]],
        *,
        unknown_probability: float = SMALLEST_UNKNOWN_PROBABILITY,
    ) -> None:
        self.config = config
        self._unknown_probability = np.float32(unknown_probability)
        self._step = config.spec.step
        self._layers = [layer_weights(weights, layer) for layer in range(config.num_layers)]
        self._embedding = weights["embedding.weight"]
        self._head_weight = weights["head.weight"]
        self._head_bias = weights["head.bias"]

    def zero_state(self, batch_size: int) -> list[LayerState]:
        """The state before the first character of B streams."""
        zeros = np.zeros((batch_size, self.config.hidden_size), np.float32)
        return [LayerState(zeros, zeros, {}, zeros)] * self.config.num_layers

    @np.errstate(over="ignore", invalid="ignore")  # `log_probabilities` tells
    def step(
        self, ids_B: npt.NDArray[np.integer], before: list[LayerState]
    ) -> tuple[Array, list[LayerState]]:
        """Read one symbol in each stream.

        Args:
            ids_B: [B].
            before: one `LayerState` a layer, from `zero_state` or the call before.

        Returns:
            Logits of the next symbol [B, V], and what each layer did.
        """
        z: Array = self._embedding[ids_B]
        after: list[LayerState] = []
        for (weight_ih, weight_hh, bias_ih, bias_hh), (h, c, _, _) in zip(
            self._layers, before, strict=True
        ):
            step = self._step(z @ weight_ih.T + bias_ih, h, c, weight_hh, bias_hh)
            after.append(step)
            z = step.h
        read = np.concatenate([layer.h for layer in after], -1)
        return read @ self._head_weight.T + self._head_bias, after

    def log_probabilities(self, logits: Array) -> Array:
        """Natural logarithms of the next symbol's probabilities, over the last axis.

        As `CharLSTM.log_probabilities`: unknown gets at least `unknown_probability`.

        Raises:
            CheckpointError: when finite weights gave logits that are not finite.
        """
        least = self._unknown_probability
        with np.errstate(over="ignore", invalid="ignore"):
            log_p: Array = logits - logits.max(-1, keepdims=True)
            log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
        if not np.isfinite(log_p).all():
            raise CheckpointError("the model's weights are too large: its predictions overflow")
        # Zero where unknown is above its least probability.
        log_p[..., 1:] += np.log1p(-least) - np.log1p(-np.minimum(np.exp(log_p[..., :1]), least))
        np.maximum(log_p[..., :1], np.log(least), out=log_p[..., :1])
        return log_p


def _sigmoid(x: Array) -> Array:
    # tanh never overflows.
    half = np.float32(0.5)
    sigmoid: Array = half * np.tanh(half * x) + half
    return sigmoid
