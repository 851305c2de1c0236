"""The character model around `torch.nn.LSTM`: embedding -> stacked cells -> linear head.

Shapes: T sequence length, B batch size, L layers, H hidden size, V symbols that can be predicted.
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
    """Return the class of one recurrent layer: of `torch.nn`, or of this module."""
    name = config.spec.torch_class
    return getattr(nn, name, None) or globals()[name]


class State(NamedTuple):
    """What a model remembers between calls, float32.

    Args:
        h_LBH: the hidden state, what each cell shows, [L, B, H].
        c_LBH: the cell state, what each LSTM cell keeps, [L, B, H]; for GRU and RNN [0, B, H].
    """

    h_LBH: Tensor
    c_LBH: Tensor

    def reset(self, reset_B: Tensor) -> "State":
        """Zero the state of the streams where `reset_B`, bool [B], is true."""
        keep_B1 = ~reset_B[:, None]
        # `where`, not a product: NaN times zero stays NaN.
        return State(*(torch.where(keep_B1, part, 0.0) for part in self))

    def take(self, stream_B: Tensor) -> "State":
        """The state of chosen streams, int64 [B], in their order."""
        return State(*(part[:, stream_B] for part in self))

    def first(self, num_streams: int) -> "State":
        """The state of the first streams."""
        return State(*(part[:, :num_streams].contiguous() for part in self))

    def detached(self) -> "State":
        """The same state, where gradients end."""
        return State(*(part.detach() for part in self))

    @staticmethod
    def joined(states: "Sequence[State]") -> "State":
        """The streams of several states side by side."""
        return State(*(torch.cat(parts, 1) for parts in zip(*states, strict=True)))


class CharLSTM(nn.Module):
    """Predicts the next character (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    The head reads the hidden states of all layers, not only of the last one (Graves 2013,
    "Generating Sequences With Recurrent Neural Networks").

    The stack is made of one-layer modules: each is a primitive of its own in oneDNN and cuDNN
    anyway, and what stands between them stays in sight.

    Args:
        generator: draws the initial weights.
        unknown_probability: the least probability of the unknown symbol.
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
                # Each gate's block orthogonal by itself (Saxe et al. 2014).
                for block in torch.split(weight, self.config.hidden_size):
                    nn.init.orthogonal_(block, generator=generator)
            elif "weight_ih" in name:
                nn.init.xavier_uniform_(weight, generator=generator)
            else:
                weight.zero_()
                blocks = self.config.spec.blocks
                if "forget" in blocks and "bias_ih" in name:
                    # Forget bias 1 (Jozefowicz et al. 2015): a new cell keeps what it has.
                    # nn.LSTM adds two biases; the other one stays 0.
                    torch.split(weight, self.config.hidden_size)[blocks.index("forget")].fill_(1.0)
        # A first guess close to uniform.
        nn.init.normal_(self.head.weight, std=0.01, generator=generator)
        self.head.bias.zero_()

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    def load_arrays(self, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over weights by name, such as a checkpoint's."""
        # Copied: an array read from a file may not be written to.
        self.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})

    def zero_state(self, batch_size: int) -> State:
        num_layers, hidden_size = self.config.num_layers, self.config.hidden_size
        h_LBH = torch.zeros(num_layers, batch_size, hidden_size, device=self.device)
        has_cell_state = self.config.spec.has_cell_state
        return State(h_LBH, torch.zeros_like(h_LBH) if has_cell_state else h_LBH[:0])

    def forward(self, x_TB: Tensor, state: State) -> tuple[Tensor, State]:
        """Read T symbols of B streams.

        Args:
            x_TB: symbols read, int64 [T, B].
            state: from `zero_state` or from the call before.

        Returns:
            Logits of the next symbol [T, B, V] and the state after the last one.
        """
        z_TBH, state = self.read(x_TB, state)
        return self.head(z_TBH), state

    def read(self, x_TB: Tensor, state: State) -> tuple[Tensor, State]:
        """As `forward`, but without the head: the outputs of all layers [T, B, L * H]."""
        z_TBH = self.embedding(x_TB)
        outputs: list[Tensor] = []
        after: list[State] = []
        for number, layer in enumerate(self.layers):
            h_1BH = state.h_LBH[number : number + 1]
            if self.config.spec.has_cell_state:
                z_TBH, (h_1BH, c_1BH) = layer(z_TBH, (h_1BH, state.c_LBH[number : number + 1]))
                after.append(State(h_1BH, c_1BH))
            else:
                z_TBH, h_1BH = layer(z_TBH, h_1BH)
                after.append(State(h_1BH, h_1BH[:0]))
            outputs.append(z_TBH)
        state = State(*(torch.cat(parts).float() for parts in zip(*after, strict=True)))
        return torch.cat(outputs, -1), state

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Natural logarithms of the next symbol's probabilities, over the last axis, float32.

        Unknown, which training may never have shown, gets at least `unknown_probability`; the rest
        is renormalized.
        """
        log_p = logits.float().log_softmax(-1)
        unknown, shrunk = self._with_least(log_p[..., :1])
        return torch.cat([unknown, log_p[..., 1:] + shrunk], -1)

    def log_probabilities_of(self, logits_NV: Tensor, y_N: Tensor) -> Tensor:
        """As `log_probabilities`, of one symbol each alone, int64 [N]: float32 [N].

        Thousands of symbols are walked through once, not five times.
        """
        total_N = logits_NV.logsumexp(-1)
        unknown_N, shrunk_N = self._with_least(logits_NV[:, UNKNOWN] - total_N)
        log_p_N = logits_NV.gather(-1, y_N[:, None])[:, 0] - total_N
        return torch.where(y_N == UNKNOWN, unknown_N, log_p_N + shrunk_N)

    def _with_least(self, unknown: Tensor) -> tuple[Tensor, Tensor]:
        """The unknown symbol's log probability raised to the least, and what others lose by it."""
        least = self.unknown_probability
        # Zero where unknown is above its least probability.
        shrunk = math.log1p(-least) - torch.log1p(-unknown.exp().clamp(max=least))
        return unknown.clamp(min=math.log(least)), shrunk

    @contextlib.contextmanager
    def weight_drop(
        self, recurrent_dropout: float | Tensor, generator: torch.Generator
    ) -> Iterator[None]:
        """Within the context, zero a random fraction of the recurrent weights.

        DropConnect (Wan et al. 2013) regularizes what the cells pass from step to step, which plain
        dropout doesn't reach (Merity et al. 2018). The weights are changed in place, because the
        layers read them where they are; gradients computed inside the context are masked as well.

        Args:
            recurrent_dropout: 0 for none; the value of a tensor is never read.
            generator: draws the masks, on the model's device.
        """
        if not isinstance(recurrent_dropout, Tensor) and not recurrent_dropout:
            yield
            return
        keep = 1.0 - recurrent_dropout
        weights: list[Tensor] = [layer.get_parameter("weight_hh_l0") for layer in self.layers]
        whole = [weight.detach().clone() for weight in weights]
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
                torch._foreach_copy_(weights, whole)
                for weight, mask in zip(weights, masks, strict=True):
                    if weight.grad is not None:
                        weight.grad *= mask


def drop_output(z_TBH: Tensor, dropout: float | Tensor, generator: torch.Generator) -> Tensor:
    """Apply dropout to what the head reads, one mask per stream and window.

    See Gal & Ghahramani (2016). Between the layers, dropout cost 0.015 nats on tiny Shakespeare.

    Args:
        dropout: 0 for none; the value of a tensor is never read.
    """
    if not isinstance(dropout, Tensor) and not dropout:
        return z_TBH
    keep = 1.0 - dropout
    mask_BH = torch.empty(z_TBH.shape[1:], device=generator.device)
    mask_BH.bernoulli_(keep, generator=generator).div_(keep)
    return z_TBH * mask_BH.to(z_TBH)
