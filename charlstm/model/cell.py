"""The recurrent cells: a table of their properties and one step of each in numpy.

`CELLS` is the only description of the cells in Python. Inference and the tests of the torch model
share the step functions, which don't need torch.

Shapes: B batch size, H hidden size, V output ids.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from charlstm.errors import CheckpointError
from charlstm.text.vocabulary import SMALLEST_UNKNOWN_PROBABILITY

if TYPE_CHECKING:
    from charlstm.model.config import ModelConfig

Array = npt.NDArray[np.float32]
# All values of a layer's step by name, float32 [B, H] each; see `CellSpec.values`.
LayerState = dict[str, Array]


def lstm_step(wx: Array, before: LayerState, weight_hh: Array, bias_hh: Array) -> LayerState:
    """Compute an LSTM step (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    Args:
        wx: input part of the pre-activations, W_ih x + b_ih, [B, 4H].
        before: the previous step, of which only `hidden` and `cell` are read.
        weight_hh: recurrent weights [4H, H].
        bias_hh: [4H].
    """
    wh = before["hidden"] @ weight_hh.T + bias_hh
    a_i, a_f, a_g, a_o = np.split(wx + wh, 4, axis=-1)
    i, f, o = _sigmoid(a_i), _sigmoid(a_f), _sigmoid(a_o)
    g = np.tanh(a_g)
    c = f * before["cell"] + i * g
    h = o * np.tanh(c)
    return {"input": i, "forget": f, "output": o, "candidate": g, "cell": c, "hidden": h}


def gru_step(wx: Array, before: LayerState, weight_hh: Array, bias_hh: Array) -> LayerState:
    """Compute a GRU step (Cho et al. 2014) in the variant of cuDNN and PyTorch.

    Args:
        wx: W_ih x + b_ih, [B, 3H]; weight_hh is [3H, H], bias_hh [3H].
    """
    h = before["hidden"]
    wx_r, wx_z, wx_n = np.split(wx, 3, axis=-1)
    wh_r, wh_z, wh_n = np.split(h @ weight_hh.T + bias_hh, 3, axis=-1)
    r, z = _sigmoid(wx_r + wh_r), _sigmoid(wx_z + wh_z)
    n = np.tanh(wx_n + r * wh_n)
    return {"reset": r, "update": z, "candidate": n, "hidden": (1 - z) * n + z * h}


def rnn_step(wx: Array, before: LayerState, weight_hh: Array, bias_hh: Array) -> LayerState:
    """Compute a step of a tanh RNN (Elman 1990).

    Args:
        wx: W_ih x + b_ih, [B, H]; weight_hh is [H, H], bias_hh [H].
    """
    wh = before["hidden"] @ weight_hh.T + bias_hh
    return {"hidden": np.tanh(wx + wh)}


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """Properties of a cell type.

    A block is a gate or the candidate: H rows of each of PyTorch's weight matrices.

    Args:
        blocks: in row order.
        drawn: the blocks in the order of diagrams.
        gates: the blocks with a sigmoid, in order of computation.
        memory_gates: the gates that control what the state keeps and what enters it.
        has_cell_state: whether the cell has a cell state in addition to the hidden state.
        step: (wx, before, weight_hh, bias_hh) -> after, see `lstm_step`.
        torch_class: class name in `torch.nn`, or in `model.lstm`.
        recurrent_gates: for a block, the gate that multiplies its recurrent part.
        onnx_operator: the ONNX operator; None if ONNX doesn't have the cell.
        onnx_order: the operator's order of blocks.
        onnx_options: the operator's attributes.
        meanings: a description of each value.
    """

    blocks: tuple[str, ...]
    drawn: tuple[str, ...]
    gates: tuple[str, ...]
    memory_gates: tuple[str, ...]
    has_cell_state: bool
    step: Callable[[Array, LayerState, Array, Array], LayerState]
    torch_class: str
    recurrent_gates: Mapping[str, str] = field(default_factory=dict)
    onnx_operator: str | None = None
    onnx_order: tuple[str, ...] = ()
    onnx_options: Mapping[str, int] = field(default_factory=dict)
    meanings: Mapping[str, str]

    @property
    def values(self) -> tuple[str, ...]:
        """The names of a step's values, in order of computation."""
        candidate = ("candidate",) * ("candidate" in self.blocks)
        return (*self.gates, *candidate, *("cell",) * self.has_cell_state, "hidden")


_CANDIDATE: Final = "candidate for the new state"
_HIDDEN: Final = "the hidden state h: what the next layer and the next step read"

CELLS: Final[dict[str, CellSpec]] = {
    "lstm": CellSpec(
        blocks=("input", "forget", "candidate", "output"),
        drawn=("forget", "input", "candidate", "output"),
        gates=("input", "forget", "output"),
        memory_gates=("input", "forget"),
        has_cell_state=True,
        step=lstm_step,
        torch_class="LSTM",
        onnx_operator="LSTM",
        onnx_order=("input", "output", "forget", "candidate"),
        meanings={
            "input": "fraction of the candidate added to the cell state",
            "forget": "fraction of the cell state that is kept",
            "output": "fraction of tanh(cell state) passed to the hidden state",
            "candidate": _CANDIDATE,
            "cell": "the cell state: the memory",
            "hidden": _HIDDEN,
        },
    ),
    "gru": CellSpec(
        blocks=("reset", "update", "candidate"),
        drawn=("update", "candidate", "reset"),
        gates=("reset", "update"),
        memory_gates=("update",),
        has_cell_state=False,
        step=gru_step,
        torch_class="GRU",
        recurrent_gates={"candidate": "reset"},
        onnx_operator="GRU",
        onnx_order=("update", "reset", "candidate"),
        onnx_options={"linear_before_reset": 1},
        meanings={
            "reset": "fraction of the hidden state that the candidate reads",
            "update": "fraction of the hidden state that is kept",
            "candidate": _CANDIDATE,
            "hidden": _HIDDEN,
        },
    ),
    "rnn": CellSpec(
        blocks=("hidden",),
        drawn=("hidden",),
        gates=(),
        memory_gates=(),
        has_cell_state=False,
        step=rnn_step,
        torch_class="RNN",
        onnx_operator="RNN",
        onnx_order=("hidden",),
        meanings={"hidden": _HIDDEN},
    ),
}


def layer_weight(layer: int, name: str) -> str:
    """Return the full name of a layer's weight; `name` is `weight_ih`, for example."""
    return f"layers.{layer}.{name}_l0"


def layer_weights(weights: Mapping[str, npt.NDArray[Any]], layer: int) -> list[npt.NDArray[Any]]:
    """Return a layer's weight_ih, weight_hh, bias_ih and bias_hh."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [weights[layer_weight(layer, name)] for name in names]


class CellStack:
    """A complete model in numpy, reading one token per stream and step.

    Args:
        weights: float32, with the names of `lstm.CharLSTM`.
        unknown_probability: minimum probability of the unknown id.
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
        """Return the state of each layer before the first token."""
        zeros = np.zeros((batch_size, self.config.hidden_size), np.float32)
        return [dict.fromkeys(self.config.spec.values, zeros)] * self.config.num_layers

    @np.errstate(over="ignore", invalid="ignore")  # `log_probabilities` raises
    def step(
        self, ids_B: npt.NDArray[np.integer], before: list[LayerState]
    ) -> tuple[Array, list[LayerState]]:
        """Read one token in each stream.

        Args:
            ids_B: input ids [B].
            before: state of each layer, from `zero_state` or the previous call.

        Returns:
            Logits of the next token [B, V] and the new state of each layer.
        """
        z: Array = self._embedding[ids_B]
        states: list[LayerState] = []
        for weights, state in zip(self._layers, before, strict=True):
            weight_ih, weight_hh, bias_ih, bias_hh = weights
            states.append(self._step(z @ weight_ih.T + bias_ih, state, weight_hh, bias_hh))
            z = states[-1]["hidden"]
        hidden = np.concatenate([state["hidden"] for state in states], -1)
        return hidden @ self._head_weight.T + self._head_bias, states

    def log_probabilities(self, logits: Array) -> Array:
        """Return the next token's log-probabilities, as `CharLSTM.log_probabilities` does.

        Raises:
            CheckpointError: if the logits are not finite, although the weights are.
        """
        minimum = self._unknown_probability
        with np.errstate(over="ignore", invalid="ignore"):
            log_p: Array = logits - logits.max(-1, keepdims=True)
            log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
        if not np.isfinite(log_p).all():
            raise CheckpointError("the model's weights are too large: its predictions overflow")
        unknown_p = np.minimum(np.exp(log_p[..., :1]), minimum)
        # Zero where unknown is above its minimum.
        log_p[..., 1:] += np.log1p(-minimum) - np.log1p(-unknown_p)
        np.maximum(log_p[..., :1], np.log(minimum), out=log_p[..., :1])
        return log_p


def _sigmoid(x: Array) -> Array:
    # Unlike exp, tanh never overflows.
    half = np.float32(0.5)
    sigmoid: Array = half * np.tanh(half * x) + half
    return sigmoid
