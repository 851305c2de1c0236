"""What became of gradient steps: their losses, read when a device has made them, and counted."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import torch

from charlstm.config import MAX_SECONDS, NATS_PER_BIT, from_plain
from charlstm.errors import TrainingError
from charlstm.settings import MAX_COUNT, require_int, require_real
from charlstm.training.bptt import Outcome

MAX_SKIPPED_STEPS: Final = 10
# To read a loss is to wait for a GPU. Fewer steps than end the run, so that a lower rate is tried
# before the run is given up.
_STEPS_PER_READING: Final = {"cpu": 1, "cuda": 8, "mps": 8}
# The running mean of the training loss forgets at this rate per step.
_DECAY: Final = 0.98


@dataclass(kw_only=True)
class LossCounts:
    """The numbers that are stored for resuming.

    Attributes:
        loss_sum: of the latest losses, each step's weight decaying; `loss_weight` their weights.
        rate_factor: halved with each step that has no finite gradient.
        num_skipped: such steps in a row.
    """

    loss_sum: float = 0.0
    loss_weight: float = 0.0
    rate_factor: float = 1.0
    num_skipped: int = 0

    def __post_init__(self) -> None:
        for name in ("loss_sum", "loss_weight", "rate_factor"):
            require_real(name, getattr(self, name), 0.0, MAX_SECONDS)
        require_int("num_skipped", self.num_skipped, 0, MAX_COUNT)


class Reading(NamedTuple):
    """What was found since the last report."""

    any_skipped: bool = False
    any_slowed: bool = False


class LossMeter:
    """Collects the outcomes of steps and reads them, some at a time.

    Args:
        learning_rate: the highest; named when training diverges.
    """

    def __init__(self, *, device: str, learning_rate: float) -> None:
        self.counts = LossCounts()
        self._learning_rate = learning_rate
        self._steps_per_reading = _STEPS_PER_READING[device]
        self._unread: list[Outcome] = []
        self._found = Reading()

    @property
    def is_read(self) -> bool:
        """Whether every outcome is counted."""
        return not self._unread

    @property
    def bits_per_char(self) -> float:
        """Running mean over the latest steps."""
        return self.counts.loss_sum / max(self.counts.loss_weight, 1e-9) / NATS_PER_BIT

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        return asdict(self.counts)

    def load_state_dict(self, state: Any) -> None:
        """Load what `state_dict` returned.

        Raises:
            ConfigError: when a count is missing or impossible.
        """
        self.counts = from_plain(LossCounts, state)

    def add(self, outcome: Outcome, step: int) -> None:
        """Take the outcome of a step, and read all at every eighth on a GPU, at each on a CPU.

        Raises:
            TrainingError: as `read` does.
        """
        self._unread.append(outcome)
        if step % self._steps_per_reading == 0:
            self.read(step)

    def take_found(self) -> Reading:
        """What was found since this was asked last."""
        found, self._found = self._found, Reading()
        return found

    def read(self, step: int) -> None:
        """Wait for the steps made since the last reading, and count what became of them.

        Raises:
            TrainingError: after ten steps in a row without a finite gradient.
        """
        if not self._unread:
            return
        counts = self.counts
        losses, scales = (torch.stack(part).tolist() for part in zip(*self._unread, strict=True))
        self._unread.clear()
        any_skipped, any_slowed = self._found
        for loss, loss_scale in zip(losses, scales, strict=True):
            if math.isfinite(loss):
                counts.num_skipped = 0
                counts.loss_sum = _DECAY * counts.loss_sum + loss
                counts.loss_weight = _DECAY * counts.loss_weight + 1.0
                continue
            any_skipped = True
            if loss_scale <= 1.0:
                any_slowed = True
                self._slow_down(step)
        self._found = Reading(any_skipped, any_slowed)

    def _slow_down(self, step: int) -> None:
        """Halve the rate after a step without a finite gradient, and give up after ten in a row."""
        self.counts.num_skipped += 1
        self.counts.rate_factor /= 2
        if self.counts.num_skipped >= MAX_SKIPPED_STEPS:
            raise TrainingError(
                f"training diverged: {MAX_SKIPPED_STEPS} steps in a row, up to step {step}, had no "
                f"finite gradient; try a smaller --learning-rate than {self._learning_rate:g}"
            )
