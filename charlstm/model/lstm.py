"""The character model around `torch.nn.LSTM`: embedding -> recurrent layers -> linear head.

Shapes: T sequence length, B batch size, L layers, H hidden size, V output ids, N positions.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor, nn

from charlstm.model.config import ModelConfig
from charlstm.text.vocabulary import SMALLEST_UNKNOWN_PROBABILITY, UNKNOWN


def layer_class(config: ModelConfig) -> Any:
    """Return the class of a recurrent layer, from `torch.nn` or this module."""
    name = config.spec.torch_class
    return getattr(nn, name, None) or globals()[name]


class State(NamedTuple):
    """Recurrent state of a model, float32.

    Args:
        h_LBH: the hidden state [L, B, H].
        c_LBH: the LSTM's cell state [L, B, H]; [0, B, H] for GRU and RNN.
    """

    h_LBH: Tensor
    c_LBH: Tensor

    def reset(self, reset_B: Tensor) -> "State":
        """Return the state with zeros for the streams where `reset_B`, bool [B], is true."""
        keep_B1 = ~reset_B[:, None]
        # Not a product: NaN * 0 is NaN.
        return State(*(torch.where(keep_B1, part, 0.0) for part in self))

    def take(self, stream_B: Tensor) -> "State":
        """Return the state of the streams with these indices, int64 [B]."""
        return State(*(part[:, stream_B] for part in self))

    def first(self, num_streams: int) -> "State":
        """Return the state of the first `num_streams` streams."""
        return State(*(part[:, :num_streams].contiguous() for part in self))

    def detached(self) -> "State":
        """Return the state detached from the graph."""
        return State(*(part.detach() for part in self))

    @staticmethod
    def joined(states: "Sequence[State]") -> "State":
        """Concatenate states along the batch axis."""
        return State(*(torch.cat(parts, 1) for parts in zip(*states, strict=True)))


class CharLSTM(nn.Module):
    """Next-character predictor (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    The head reads the hidden states of all layers (Graves 2013, "Generating Sequences With
    Recurrent Neural Networks").

    Each layer is a module of its own: oneDNN and cuDNN run one primitive per layer anyway, and the
    values between layers stay accessible.

    Args:
        generator: random generator for the initial weights.
        unknown_probability: minimum probability of the unknown id.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        generator: torch.Generator | None = None,
        unknown_probability: float = SMALLEST_UNKNOWN_PROBABILITY,
    ) -> None:
        super().__init__()
        self.config = config
        self.unknown_probability = unknown_probability
        cell = layer_class(config)
        sizes = [config.embedding_size] + [config.hidden_size] * (config.num_layers - 1)
        self.embedding = nn.Embedding(config.num_inputs, config.embedding_size)
        self.layers = nn.ModuleList(cell(size, config.hidden_size) for size in sizes)
        self.head = nn.Linear(config.head_size, config.num_outputs)
        self._initialize(generator)

    @torch.no_grad()
    def _initialize(self, generator: torch.Generator | None) -> None:
        nn.init.normal_(self.embedding.weight, generator=generator)
        for name, weight in self.layers.named_parameters():
            if "weight_hh" in name:
                # Each gate's block is orthogonal (Saxe et al. 2014).
                for block in torch.split(weight, self.config.hidden_size):
                    nn.init.orthogonal_(block, generator=generator)
            elif "weight_ih" in name:
                nn.init.xavier_uniform_(weight, generator=generator)
            else:
                weight.zero_()
                blocks = self.config.spec.blocks
                if "forget" in blocks and "bias_ih" in name:
                    # Forget bias 1 (Jozefowicz et al. 2015): an untrained cell keeps its state.
                    # nn.LSTM adds two biases; the other stays 0.
                    torch.split(weight, self.config.hidden_size)[blocks.index("forget")].fill_(1.0)
        # The initial predictions are close to uniform.
        nn.init.normal_(self.head.weight, std=0.01, generator=generator)
        self.head.bias.zero_()

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    def load_arrays(self, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        """Load weights by name, such as a checkpoint's."""
        # torch.tensor copies: arrays read from a file may be read-only.
        self.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})

    def zero_state(self, batch_size: int) -> State:
        num_layers, hidden_size = self.config.num_layers, self.config.hidden_size
        h_LBH = torch.zeros(num_layers, batch_size, hidden_size, device=self.device)
        has_cell_state = self.config.spec.has_cell_state
        return State(h_LBH, torch.zeros_like(h_LBH) if has_cell_state else h_LBH[:0])

    def forward(self, x_TB: Tensor, state: State) -> tuple[Tensor, State]:
        """Compute the logits of the next token at each position.

        Args:
            x_TB: input ids, int64 [T, B].
            state: from `zero_state` or the previous call.

        Returns:
            Logits [T, B, V] and the final state.
        """
        z_TBH, state = self.read(x_TB, state)
        return self.head(z_TBH), state

    def read(self, x_TB: Tensor, state: State) -> tuple[Tensor, State]:
        """Return all layers' outputs [T, B, L * H] and the final state: `forward` without head."""
        z_TBH = self.embedding(x_TB)
        outputs: list[Tensor] = []
        layer_states: list[State] = []
        for number, layer in enumerate(self.layers):
            h_1BH = state.h_LBH[number : number + 1]
            if self.config.spec.has_cell_state:
                z_TBH, (h_1BH, c_1BH) = layer(z_TBH, (h_1BH, state.c_LBH[number : number + 1]))
                layer_states.append(State(h_1BH, c_1BH))
            else:
                z_TBH, h_1BH = layer(z_TBH, h_1BH)
                layer_states.append(State(h_1BH, h_1BH[:0]))
            outputs.append(z_TBH)
        state = State(*(torch.cat(parts).float() for parts in zip(*layer_states, strict=True)))
        return torch.cat(outputs, -1), state

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Return the next token's log-probabilities over the last axis, float32.

        The unknown id may never occur in training, so its probability is raised to at least
        `unknown_probability` and the others are renormalized.
        """
        log_p = logits.float().log_softmax(-1)
        unknown, correction = self._with_min_unknown(log_p[..., :1])
        return torch.cat([unknown, log_p[..., 1:] + correction], -1)

    def target_log_probabilities(self, logits_NV: Tensor, y_N: Tensor) -> Tensor:
        """Return the log-probabilities of target ids, int64 [N], as float32 [N].

        Equals a gather from `log_probabilities`, but passes over the logits once, not five times.
        """
        total_N = logits_NV.logsumexp(-1)
        unknown_N, correction_N = self._with_min_unknown(logits_NV[:, UNKNOWN] - total_N)
        log_p_N = logits_NV.gather(-1, y_N[:, None])[:, 0] - total_N
        return torch.where(y_N == UNKNOWN, unknown_N, log_p_N + correction_N)

    def _with_min_unknown(self, unknown: Tensor) -> tuple[Tensor, Tensor]:
        """Raise the unknown id's log-probability to at least the minimum.

        Returns:
            The result and the correction to add to the other log-probabilities.
        """
        minimum = self.unknown_probability
        # Zero where unknown is above its minimum.
        correction = math.log1p(-minimum) - torch.log1p(-unknown.exp().clamp(max=minimum))
        return unknown.clamp(min=math.log(minimum)), correction

    @contextlib.contextmanager
    def weight_drop(
        self, recurrent_dropout: float | Tensor, generator: torch.Generator
    ) -> Iterator[None]:
        """Within the context, zero some of the recurrent weights at random and scale the others up.

        DropConnect (Wan et al. 2013) regularizes the recurrent connections, which plain dropout
        doesn't reach (AWD-LSTM: Merity et al. 2018). The weights are changed in place, because
        the layers hold them; gradients computed within the context are masked as well.

        Args:
            recurrent_dropout: 0 for none; a tensor is never read back to the host.
            generator: random generator for the masks, on the model's device.
        """
        if not isinstance(recurrent_dropout, Tensor) and not recurrent_dropout:
            yield
            return
        keep = 1.0 - recurrent_dropout
        weights: list[Tensor] = [layer.get_parameter("weight_hh_l0") for layer in self.layers]
        originals = [weight.detach().clone() for weight in weights]
        masks = [
            (torch.rand(weight.shape, generator=generator, device=weight.device) < keep) / keep
            for weight in weights
        ]
        with torch.no_grad():
            torch._foreach_mul_(weights, masks)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(weights, originals)
                for weight, mask in zip(weights, masks, strict=True):
                    if weight.grad is not None:
                        weight.grad *= mask


def output_dropout(z_TBH: Tensor, dropout: float | Tensor, generator: torch.Generator) -> Tensor:
    """Apply output dropout with one mask per stream and window (Gal & Ghahramani 2016).

    Dropout between the layers cost 0.015 nats on tiny Shakespeare.

    Args:
        dropout: 0 for none; a tensor is never read back to the host.
    """
    if not isinstance(dropout, Tensor) and not dropout:
        return z_TBH
    keep = 1.0 - dropout
    mask_BH = torch.empty(z_TBH.shape[1:], device=generator.device)
    mask_BH.bernoulli_(keep, generator=generator).div_(keep)
    return z_TBH * mask_BH.to(z_TBH)
