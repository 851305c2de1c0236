"""One step of the recurrent cells in numpy, written out with the gates in sight.

The fast sampler, the inspector and the tests of `torch.nn.LSTM` share it. It needs no torch.

Shapes: B streams, E what a layer reads, H hidden size, L layers, V symbols that can be predicted.
Gates stand in PyTorch's order: LSTM input, forget, candidate, output; GRU reset, update, candidate.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import ModelConfig
from charlstm.errors import CheckpointError
from charlstm.text.vocabulary import SMALLEST_UNKNOWN_PROBABILITY

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


_STEPS = {"lstm": lstm_step, "gru": gru_step, "rnn": rnn_step}


class CellStack:
    """A whole model in numpy, one character at a time.

    Args:
        weights: float32, by the names of `network.CharLSTM`.
        unknown_probability: the least probability of the unknown symbol.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, npt.NDArray[Any]],
        *,
        unknown_probability: float = SMALLEST_UNKNOWN_PROBABILITY,
    ) -> None:
        self.config = config
        self._unknown_probability = np.float32(unknown_probability)
        self._step = _STEPS[config.cell]
        self._layers = [
            [
                weights[f"layers.{number}.{name}_l0"]
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            for number in range(config.num_layers)
        ]
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
        return z @ self._head_weight.T + self._head_bias, after

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
