"""Gradient steps of truncated backpropagation through time (BPTT).

Shapes: T sequence length, B batch size, P segments, N characters, H hidden size.
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
from charlstm.model.checkpoints import without_prefix
from charlstm.model.lstm import CharLSTM, State, output_dropout
from charlstm.system.distributed import SINGLE_PROCESS, World
from charlstm.training.batches import Batch, PackedWindow
from charlstm.training.graphs import StepGraphs
from charlstm.training.head import head_loss
from charlstm.training.loss_meter import StepOutcome
from charlstm.training.optimization import Optimizer, entry, tensor_entry

# Loss scaling: float16 gradients underflow below 6e-8 (Micikevicius et al. 2018).
_FIRST_LOSS_SCALE: Final = 65536.0
_LOSS_SCALE_GROWTH_STEPS: Final = 2000
_NO_DROPOUT: Final = Dropouts()
_OPTIMIZER: Final = "optimizer."


class TruncatedBPTT:
    """Truncated BPTT with the recurrent state carried between windows (Williams & Peng 1990).

    Args:
        model: trained in place.
        world: the processes of the run; each reads its own streams.
    """

    def __init__(
        self, model: CharLSTM, config: TrainConfig, *, world: World = SINGLE_PROCESS
    ) -> None:
        self._model = model
        self._world = world
        self._batch_size = config.batch_size
        self._shard = world.shard(config.batch_size)
        self._precision = config.precision
        self._optimizer = Optimizer(
            model,
            weight_decay=config.weight_decay,
            vocabulary_decay=config.vocabulary_decay,
            dtype=_muon_dtype(config),
            world=world,
        )
        self._carried = model.zero_state(self._shard.stop - self._shard.start)
        # For dropout masks, different in each process.
        seed = config.seed + (world.rank << 32)
        self._generator = torch.Generator(model.device).manual_seed(seed)
        self._scales_loss = config.precision == "float16"
        first_scale = _FIRST_LOSS_SCALE if self._scales_loss else 1.0
        self._loss_scale = torch.tensor(first_scale, device=model.device)
        self._num_steps_at_scale = torch.tensor(0.0, device=model.device)
        self._graphs: StepGraphs | None = None
        if model.device.type == "cuda" and world.size == 1:
            self._graphs = StepGraphs(self._learn_from_window, self._generator)

    def step(
        self, batch: Batch, learning_rate: float, dropouts: Dropouts = _NO_DROPOUT
    ) -> StepOutcome:
        """Make a gradient step on one batch, or skip it if the gradient is not finite.

        Streams whose loss or state is not finite restart from a zero state.
        """
        if self._graphs is not None and batch.is_unsplit:
            window = torch.cat([batch.x_TB, batch.y_TB, batch.begins_TB[:1]])
            return StepOutcome(*self._graphs(window, learning_rate, dropouts))
        read = self._read_streams if batch.mask_TB is None else self._read_documents
        return self._learn(partial(read, batch), learning_rate, *dropouts, weight=batch.weight)

    def _learn_from_window(
        self,
        window: Tensor,
        learning_rate: Tensor,
        dropout: float | Tensor,
        recurrent_dropout: float | Tensor,
    ) -> StepOutcome:
        """Make a step on an unsplit window on the device: x, y and restarts, int64 [2T + 1, B]."""
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
    ) -> StepOutcome:
        """Make a step on the loss that `read` returns, and carry over the state it returns.

        Args:
            read: (dropout) -> (mean loss, new state; None to keep the carried state).
            weight: factor of the loss, see `Batch`.
        """
        self._optimizer.zero_grad()
        with self._model.weight_drop(recurrent_dropout, self._generator):
            loss, state = read(dropout)
            loss = loss * weight
            (loss * self._loss_scale).backward()  # type: ignore[no-untyped-call]
        # The weights make the mean over processes equal the mean over all characters.
        loss = loss.detach()
        self._world.all_reduce_mean_([*self._optimizer.gradients(), loss])
        is_finite = self._optimizer.step(learning_rate, loss_scale=self._loss_scale)
        outcome = StepOutcome(torch.where(is_finite, loss, math.nan), self._loss_scale.clone())
        if state is not None:
            for part, after in zip(self._carried, state, strict=True):
                part.copy_(after)
        if self._scales_loss:
            self._adjust_loss_scale(is_finite)
        return outcome

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on, except the weights; not copied.

        This is a collective operation: every process must call it.
        """
        state = {
            f"{_OPTIMIZER}{name}": value for name, value in self._optimizer.state_dict().items()
        }
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
            CheckpointError: if an entry is missing or has the wrong shape, dtype or range.
            RuntimeError: if a generator's state is invalid.
        """
        self._optimizer.load_state_dict(without_prefix(_OPTIMIZER, state))
        for name, part in self._carried._asdict().items():
            shape = (part.shape[0], self._batch_size, part.shape[2])
            part.copy_(tensor_entry(state, f"carried.{name}", shape)[:, self._shard])
        name = _generator_name(self._world.rank)
        # The run may have had fewer processes before, but always the main one.
        generator = entry(state, name) if self._world.is_main_process else state.get(name)
        # Generators of other device types have states of other sizes.
        if generator is not None and generator.shape == self._generator.get_state().shape:
            self._generator.set_state(generator)
        # Absent after training in another precision.
        if self._scales_loss and "loss_scale" in state:
            scale = tensor_entry(state, "loss_scale", (2,), minimum=0.0)
            self._loss_scale.copy_(scale[0])
            self._num_steps_at_scale.copy_(scale[1])

    def _read_documents(self, batch: Batch, dropout: float | Tensor) -> tuple[Tensor, None]:
        """Return the mean loss of complete documents, in nats per character, and no state."""
        assert batch.mask_TB is not None
        # Computed on the host: on the device, nonzero would synchronize.
        index_N = torch.from_numpy(np.flatnonzero(batch.mask_TB.numpy()))
        y_N = self._on_device(batch.y_TB.flatten()[index_N])
        with self._autocast():
            x_TB = self._on_device(batch.x_TB)
            z_TBH, _ = self._model.read(x_TB, self._model.zero_state(x_TB.shape[1]))
            z_TBH = output_dropout(z_TBH, dropout, self._generator)
        z_NH = z_TBH.flatten(0, 1).index_select(0, self._on_device(index_N))
        loss, _ = head_loss(z_NH, self._model.head, y_N)
        return loss, None

    def _read_window(
        self, x_TB: Tensor, y_TB: Tensor, begins_B: Tensor, dropout: float | Tensor
    ) -> tuple[Tensor, State]:
        """Return the loss and state of an unsplit window on the device, as `_read_streams` does."""
        with self._autocast():
            z_TBH, state = self._model.read(x_TB, self._carried.reset(begins_B))
            z_TBH = output_dropout(z_TBH, dropout, self._generator)
        return self._loss(z_TBH.flatten(0, 1), y_TB, state.detached())

    def _read_streams(self, batch: Batch, dropout: float | Tensor) -> tuple[Tensor, State]:
        """Return the mean loss in nats per character, and the state after the window."""
        packed = PackedWindow.of(batch.begins_TB.numpy())
        x_N = self._on_device(batch.x_TB.flatten())
        state = self._carried.take(self._on_device(packed.stream_P))
        state = state.reset(self._on_device(packed.begins_P))
        outputs, final_states = [], []
        with self._autocast():
            for chunk in packed.chunks:
                index_TP = self._on_device(chunk.index_TP)
                z_TPH, state = self._model.read(
                    x_N[index_TP],
                    state.first(index_TP.shape[1]),
                )
                z_TPH = output_dropout(z_TPH, dropout, self._generator)
                outputs.append(z_TPH.flatten(0, 1))
                final_states.append(state.take(self._on_device(chunk.ended)).detached())
        z_NH = torch.cat(outputs)
        if not packed.is_unsplit:
            # Restore the window's order and drop the padding.
            z_NH = z_NH[self._on_device(packed.order_TB.ravel())]
        state = State.joined(final_states).take(self._on_device(packed.stream_order_B))
        return self._loss(z_NH, self._on_device(batch.y_TB), state)

    def _loss(self, z_NH: Tensor, y_TB: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the mean loss, and the state with streams reset where either is not finite."""
        loss, loss_N = head_loss(z_NH, self._model.head, y_TB.flatten())
        is_invalid_B = ~loss_N.view(y_TB.shape).isfinite().all(0)
        for part in state:
            is_invalid_B |= ~part.isfinite().all(-1).all(0)
        return loss, state.reset(is_invalid_B)

    def _on_device(self, values: Tensor | npt.NDArray[Any]) -> Tensor:
        tensor = torch.as_tensor(values)
        if self._model.device.type == "cuda":
            # Only copies from pinned memory are asynchronous.
            tensor = tensor.pin_memory()
        return tensor.to(self._model.device, non_blocking=True)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(self._model.device.type, getattr(torch, self._precision))

    def _adjust_loss_scale(self, is_finite: Tensor) -> None:
        num_steps = self._num_steps_at_scale + 1
        may_grow = num_steps >= _LOSS_SCALE_GROWTH_STEPS
        smaller, larger = (self._loss_scale / 2).clamp(min=1.0), self._loss_scale * 2
        self._loss_scale.copy_(
            torch.where(is_finite, torch.where(may_grow, larger, self._loss_scale), smaller)
        )
        self._num_steps_at_scale.copy_(torch.where(is_finite & ~may_grow, num_steps, 0.0))


def _muon_dtype(config: TrainConfig) -> torch.dtype:
    """Return the dtype for Newton-Schulz, for which float16 has too small a range."""
    if config.precision == "float16" and config.device == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bfloat16 else torch.float32
    return torch.bfloat16 if config.precision == "bfloat16" else torch.float32


def _generator_name(rank: int) -> str:
    return f"generator.dropout.{rank}" if rank else "generator.dropout"
