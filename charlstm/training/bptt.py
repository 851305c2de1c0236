"""Truncated backpropagation through time, one gradient step after another.

Shapes: T sequence length, B batch size.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charlstm.config import Dropouts, TrainConfig
from charlstm.model.network import CharLSTM, State, drop_output
from charlstm.system.distributed import ALONE, World
from charlstm.training.batches import Batch, Pieces
from charlstm.training.graphs import StepGraphs
from charlstm.training.losses import Outcome, head_loss
from charlstm.training.optimization import Optimizer
from charlstm.training.state import entry, tensor_entry, with_prefix, without_prefix

# float16 gradients vanish below 6e-8: the loss is scaled up, as far as it stays finite
# (Micikevicius et al. 2018).
_FIRST_LOSS_SCALE: Final = 65536.0
_LOSS_SCALE_GROWTH_STEPS: Final = 2000
_NO_DROPOUT: Final = Dropouts()


class TruncatedBPTT:
    """Learns from one window after another, the state carried along (Williams & Peng 1990).

    Args:
        model: learns in place.
        world: the processes that learn together, each from its share of the streams.
    """

    def __init__(self, model: CharLSTM, config: TrainConfig, *, world: World = ALONE) -> None:
        self._model = model
        self._world = world
        self._shard = world.share(config.batch_size)
        self._precision = config.precision
        self._optimizer = Optimizer(
            model,
            weight_decay=config.weight_decay,
            vocabulary_decay=config.vocabulary_decay,
            dtype=_muon_dtype(config),
            world=world,
        )
        self._carried = model.zero_state(self._shard.stop - self._shard.start)
        # Dropout's masks are drawn on the model's device, and by each process for itself.
        seed = config.seed + (world.rank << 32)
        self._generator = torch.Generator(model.device).manual_seed(seed)
        self._scales_loss = config.precision == "float16"
        first_scale = _FIRST_LOSS_SCALE if self._scales_loss else 1.0
        self._loss_scale = torch.tensor(first_scale, device=model.device)
        self._num_steps_at_scale = torch.tensor(0.0, device=model.device)
        self._graphs: StepGraphs | None = None
        if model.device.type == "cuda" and world.size == 1:
            self._graphs = StepGraphs(self._learn_from_window, self._generator)

    def step(self, batch: Batch, learning_rate: float, dropouts: Dropouts = _NO_DROPOUT) -> Outcome:
        """Learn from one window; nothing, where the gradient is not finite.

        Streams whose loss or state is not finite restart from a zero state.
        """
        if self._graphs is not None and batch.is_whole:
            window = torch.cat([batch.x_TB, batch.y_TB, batch.begins_TB[:1]])
            return Outcome(*self._graphs(window, learning_rate, dropouts))
        read = self._read_streams if batch.counts_TB is None else self._read_documents
        return self._learn(partial(read, batch), learning_rate, *dropouts, weight=batch.weight)

    def _learn_from_window(
        self,
        window: Tensor,
        learning_rate: Tensor,
        dropout: float | Tensor,
        recurrent_dropout: float | Tensor,
    ) -> Outcome:
        """Learn from a whole window on the device: x, y and the restarts, int64 [2T + 1, B]."""
        x_TB, y_TB = window[:-1].chunk(2)
        read = partial(self._read_window, x_TB, y_TB, window[-1].bool())
        return self._learn(read, learning_rate, dropout, recurrent_dropout)

    def _learn(
        self,
        read: Callable[[float | Tensor], tuple[Tensor, State | None]],
        learning_rate: float | Tensor,
        dropout: float | Tensor,
        recurrent_dropout: float | Tensor,
        *,
        weight: float = 1.0,
    ) -> Outcome:
        """Learn from the loss that `read` returns; the state that it returns is carried along."""
        self._optimizer.zero_grad()
        with self._model.weight_drop(recurrent_dropout, self._generator):
            loss, state = read(dropout)
            loss = loss * weight
            (loss * self._loss_scale).backward()  # type: ignore[no-untyped-call]
        # With these weights the mean of the shares' means is the mean over all characters.
        loss = loss.detach()
        self._world.average_([*self._optimizer.gradients(), loss])
        is_finite = self._optimizer.step(learning_rate, loss_scale=self._loss_scale)
        outcome = Outcome(torch.where(is_finite, loss, math.nan), self._loss_scale.clone())
        if state is not None:
            for part, after in zip(self._carried, state, strict=True):
                part.copy_(after)
        if self._scales_loss:
            self._adjust_loss_scale(is_finite)
        return outcome

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything but the weights that the next step depends on; not copied.

        It is gathered from all processes, so all of them have to call this.
        """
        state = with_prefix("optimizer", self._optimizer.state_dict())
        for name, part in self._carried._asdict().items():
            state[f"carried.{name}"] = torch.cat(self._world.gather(part), 1)
        for rank, generator in enumerate(self._world.gather(self._generator.get_state())):
            state[_generator_name(rank)] = generator
        if self._scales_loss:
            state["loss_scale"] = torch.stack([self._loss_scale, self._num_steps_at_scale])
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what `state_dict` returned, before the first step.

        Raises:
            CheckpointError: when an entry is missing or has another shape, type or range than this
                model's.
            RuntimeError: when a generator's state is invalid.
        """
        self._optimizer.load_state_dict(without_prefix("optimizer", state))
        batch_size = self._shard.stop * self._world.size // (self._world.rank + 1)
        for name, part in self._carried._asdict().items():
            shape = (part.shape[0], batch_size, part.shape[2])
            part.copy_(tensor_entry(state, f"carried.{name}", shape)[:, self._shard])
        name = _generator_name(self._world.rank)
        # There may be more processes than before, and the first one is always there.
        generator = entry(state, name) if self._world.leads else state.get(name)
        # A generator of another kind of device has a state of another size.
        if generator is not None and generator.shape == self._generator.get_state().shape:
            self._generator.set_state(generator)
        if self._scales_loss and "loss_scale" in state:  # absent after another precision
            scale = tensor_entry(state, "loss_scale", (2,), least=0.0)
            self._loss_scale.copy_(scale[0])
            self._num_steps_at_scale.copy_(scale[1])

    def _read_documents(self, batch: Batch, dropout: float | Tensor) -> tuple[Tensor, None]:
        """The mean loss, nats per character; whole documents leave no state."""
        assert batch.counts_TB is not None
        # Found here, not on the device, which would have to be waited for.
        place_N = torch.from_numpy(np.flatnonzero(batch.counts_TB.numpy()))
        y_N = self._on_device(batch.y_TB.flatten()[place_N])
        with self._autocast():
            x_TB = self._on_device(batch.x_TB)
            z_TBH, _ = self._model.read(x_TB, self._model.zero_state(x_TB.shape[1]))
            z_TBH = drop_output(z_TBH, dropout, self._generator)
        z_NH = z_TBH.flatten(0, 1).index_select(0, self._on_device(place_N))
        loss, _ = head_loss(z_NH, self._model.head, y_N)
        return loss, None

    def _read_window(
        self, x_TB: Tensor, y_TB: Tensor, begins_B: Tensor, dropout: float | Tensor
    ) -> tuple[Tensor, State]:
        """As `_read_streams`, of a whole window on the device."""
        with self._autocast():
            z_TBH, state = self._model.read(x_TB, self._carried.reset(begins_B))
            z_TBH = drop_output(z_TBH, dropout, self._generator)
        return self._loss(z_TBH.flatten(0, 1), y_TB, state.detached())

    def _read_streams(self, batch: Batch, dropout: float | Tensor) -> tuple[Tensor, State]:
        """The mean loss, nats per character, and the state after the window."""
        pieces = Pieces.of(batch.begins_TB.numpy())
        x_N = self._on_device(batch.x_TB.flatten())
        state = self._carried.take(self._on_device(pieces.stream_P))
        state = state.reset(self._on_device(pieces.begins_P))
        read, ended = [], []
        with self._autocast():
            for stretch in pieces.stretches:
                place_TP = self._on_device(stretch.place_TP)
                z_TPH, state = self._model.read(
                    x_N[place_TP],
                    state.first(place_TP.shape[1]),
                )
                z_TPH = drop_output(z_TPH, dropout, self._generator)
                read.append(z_TPH.flatten(0, 1))
                ended.append(state.take(self._on_device(stretch.ends_P)).detached())
        z_NH = torch.cat(read)
        if not pieces.is_whole:
            # In the window's order, without what lies past the pieces' ends.
            z_NH = z_NH[self._on_device(pieces.order_TB.ravel())]
        state = State.joined(ended).take(self._on_device(pieces.stream_order_B))
        return self._loss(z_NH, self._on_device(batch.y_TB), state)

    def _loss(self, z_NH: Tensor, y_TB: Tensor, state: State) -> tuple[Tensor, State]:
        """The mean loss, and the state with streams zeroed whose loss or state is not finite."""
        loss, loss_N = head_loss(z_NH, self._model.head, y_TB.flatten())
        is_bad_B = ~loss_N.view(y_TB.shape).isfinite().all(0)
        for part in state:
            is_bad_B |= ~part.isfinite().all(-1).all(0)
        return loss, state.reset(is_bad_B)

    def _on_device(self, values: Tensor | npt.NDArray[Any]) -> Tensor:
        tensor = torch.as_tensor(values)
        if self._model.device.type == "cuda":
            # Only from pinned memory is it copied without waiting for what is under way.
            tensor = tensor.pin_memory()
        return tensor.to(self._model.device, non_blocking=True)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(self._model.device.type, getattr(torch, self._precision))

    def _adjust_loss_scale(self, is_finite: Tensor) -> None:
        number = self._num_steps_at_scale + 1
        may_grow = number >= _LOSS_SCALE_GROWTH_STEPS
        smaller, larger = (self._loss_scale / 2).clamp(min=1.0), self._loss_scale * 2
        self._loss_scale.copy_(
            torch.where(is_finite, torch.where(may_grow, larger, self._loss_scale), smaller)
        )
        self._num_steps_at_scale.copy_(torch.where(is_finite & ~may_grow, number, 0.0))


def _muon_dtype(config: TrainConfig) -> torch.dtype:
    """float16 has too small a range for Newton-Schulz."""
    if config.precision == "float16" and config.device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if config.precision == "bfloat16" else torch.float32


def _generator_name(rank: int) -> str:
    return f"generator.dropout.{rank}" if rank else "generator.dropout"
