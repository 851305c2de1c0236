"""Running training-loss statistics, read from the device asynchronously."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from charlstm.config import MAX_SECONDS, NATS_PER_BIT
from charlstm.errors import TrainingError
from charlstm.settings import MAX_COUNT, require_int, require_real

MAX_SKIPPED_STEPS: Final = 10
# Each read synchronizes with the GPU. Less than MAX_SKIPPED_STEPS, so that a lower learning
# rate is tried before the run ends.
_STEPS_PER_READING: Final = {"cpu": 1, "cuda": 8, "mps": 8}
# Decay per step of the running mean of the training loss.
_DECAY: Final = 0.98


@dataclass(kw_only=True)
class LossStatistics:
    """State of a loss meter, stored for resuming.

    Attributes:
        loss_sum: exponentially decaying sum of losses; `loss_weight` is the sum of the weights.
        rate_factor: learning-rate factor, halved at each step whose gradient is not finite at a
            loss scale of 1.
        num_skipped: number of such steps since the last finite gradient.
    """

    loss_sum: float = 0.0
    loss_weight: float = 0.0
    rate_factor: float = 1.0
    num_skipped: int = 0

    def __post_init__(self) -> None:
        for name in ("loss_sum", "loss_weight", "rate_factor"):
            require_real(name, getattr(self, name), 0.0, MAX_SECONDS)
        require_int("num_skipped", self.num_skipped, 0, MAX_COUNT)


class StepOutcome(NamedTuple):
    """Result of a step, left on the device because reading it synchronizes.

    Args:
        loss: nats per character, float32 []; NaN if the gradient was not finite.
        loss_scale: loss scale of the step, float32 []. Above 1 (float16 only), a gradient that is
            not finite may only mean that the scale was too large; it is then halved.
    """

    loss: Tensor
    loss_scale: Tensor


class StepFlags(NamedTuple):
    """What happened in the steps read since the last `take_flags`.

    Args:
        any_skipped: a step was skipped because its gradient was not finite.
        any_slowed: the learning rate was also halved.
    """

    any_skipped: bool = False
    any_slowed: bool = False


class LossMeter:
    """Running training-loss statistics, read from the device asynchronously.

    Args:
        learning_rate: peak learning rate, for the message if training diverges.

    Attributes:
        statistics: everything that a resumed run needs.
    """

    def __init__(self, *, device: str, learning_rate: float) -> None:
        self.statistics = LossStatistics()
        self._learning_rate = learning_rate
        self._steps_per_reading = _STEPS_PER_READING[device]
        self._unread: list[StepOutcome] = []
        self._flags = StepFlags()

    @property
    def is_read(self) -> bool:
        """Whether the outcome of every step has been read."""
        return not self._unread

    @property
    def bits_per_char(self) -> float:
        """The running mean over the latest steps."""
        return self.statistics.loss_sum / max(self.statistics.loss_weight, 1e-9) / NATS_PER_BIT

    def add(self, outcome: StepOutcome, step: int) -> None:
        """Add a step's outcome; read all unread ones at every eighth step (every step on a CPU).

        Raises:
            TrainingError: see `read`.
        """
        self._unread.append(outcome)
        if step % self._steps_per_reading == 0:
            self.read(step)

    def take_flags(self) -> StepFlags:
        """Return the flags since the last call, and clear them."""
        flags, self._flags = self._flags, StepFlags()
        return flags

    def read(self, step: int) -> None:
        """Read all unread outcomes, waiting for the device, and update the statistics.

        Raises:
            TrainingError: if training diverged (see `_slow_down`).
        """
        if not self._unread:
            return
        statistics = self.statistics
        losses, scales = (torch.stack(part).tolist() for part in zip(*self._unread, strict=True))
        self._unread.clear()
        any_skipped, any_slowed = self._flags
        for loss, loss_scale in zip(losses, scales, strict=True):
            if math.isfinite(loss):
                statistics.num_skipped = 0
                statistics.loss_sum = _DECAY * statistics.loss_sum + loss
                statistics.loss_weight = _DECAY * statistics.loss_weight + 1.0
                continue
            any_skipped = True
            if loss_scale <= 1.0:
                any_slowed = True
                self._slow_down(step)
        self._flags = StepFlags(any_skipped, any_slowed)

    def _slow_down(self, step: int) -> None:
        """Halve the learning rate; raise TrainingError at the tenth time without a finite step."""
        self.statistics.num_skipped += 1
        self.statistics.rate_factor /= 2
        if self.statistics.num_skipped >= MAX_SKIPPED_STEPS:
            raise TrainingError(
                f"training diverged: the gradients of {MAX_SKIPPED_STEPS} steps in a row, up to "
                f"step {step}, were not finite; try a --learning-rate below {self._learning_rate:g}"
            )
