"""The loss of a step and its gradient, and what became of steps: read from the device, and counted.

With thousands of symbols the logits of a window are the largest tensor of a step by far, and
softmax, loss and gradient walk through it again and again. In chunks that stay in the processor's
cache, each with its gradient at once, this takes a third of the time and hardly any memory (the
idea of fused linear cross-entropy: Wijmans et al. 2024, "Cut Your Losses in Large-Vocabulary
Language Models").

Shapes: N characters, H hidden size, V symbols that can be predicted.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from charlstm.config import MAX_SECONDS, NATS_PER_BIT, from_plain
from charlstm.errors import TrainingError
from charlstm.settings import MAX_COUNT, require_int, require_real
from charlstm.training.hardware import chunk_size

# The smallest probability whose logarithm is taken: no number but zero is lost.
_LEAST: Final = 1e-38
MAX_SKIPPED_STEPS: Final = 10
# To read a loss is to wait for a GPU. Fewer steps than end the run, so that a lower rate is tried
# before the run is given up.
_STEPS_PER_READING: Final = {"cpu": 1, "cuda": 8, "mps": 8}
# The running mean of the training loss forgets at this rate per step.
_DECAY: Final = 0.98


def head_loss(z_NH: Tensor, head: nn.Linear, y_N: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the head's predictions, computed in the precision of `z_NH`.

    Args:
        z_NH: what the head reads.
        y_N: the symbols that follow, int64 [N].

    Returns:
        The mean in nats per character, float32 [], whose gradient flows into `z_NH` and the head;
        and the loss of each character, float32 [N], without one.
    """
    mean: Tensor
    mean, loss_N = _HeadLoss.apply(z_NH, head.weight, head.bias, y_N)  # type: ignore[no-untyped-call]
    return mean, loss_N


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, y_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        dtype, num_chars = z_NH.dtype, len(z_NH)
        loss_N = torch.empty(num_chars, device=z_NH.device)
        # By the sum of the losses: by their mean, float16 could not hold so small numbers.
        by_z_NH = torch.empty_like(z_NH)
        by_weight_VH, by_bias_V = torch.zeros_like(weight_VH), torch.zeros_like(bias_V)
        weight_VH, bias_V = weight_VH.to(dtype), bias_V.to(dtype)
        chunk = chunk_size(len(weight_VH), z_NH.device.type)
        for first in range(0, num_chars, chunk):
            part = slice(first, first + chunk)
            logits_NV = torch.addmm(bias_V, z_NH[part], weight_VH.t())
            p_NV = logits_NV.softmax(-1, dtype=torch.float32)
            y_N1 = y_N[part, None]
            p_N1 = p_NV.gather(-1, y_N1)
            loss_N[part] = -p_N1[:, 0].clamp(min=_LEAST).log()
            # By the logits: the probabilities, less 1 where the character is.
            by_logits_NV = p_NV.scatter_(-1, y_N1, p_N1 - 1.0)
            by_bias_V += by_logits_NV.sum(0)
            by_logits_NV = by_logits_NV.to(dtype)
            by_z_NH[part] = by_logits_NV @ weight_VH
            by_weight_VH += by_logits_NV.t() @ z_NH[part]
        ctx.save_for_backward(by_z_NH, by_weight_VH, by_bias_V)
        ctx.mark_non_differentiable(loss_N)
        return loss_N.mean(), loss_N

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        by_z_NH, by_weight_VH, by_bias_V = ctx.saved_tensors
        scale = upstream / len(by_z_NH)
        return by_z_NH * scale.to(by_z_NH.dtype), by_weight_VH * scale, by_bias_V * scale, None


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


class Outcome(NamedTuple):
    """What came of a step; on the model's device, since to read it is to wait for it.

    Args:
        loss: nats per character, float32 []; NaN where the gradient was not finite.
        loss_scale: that the gradient was computed at, float32 []; above 1, with float16, a step
            that fails may only show that it was too large, which mends itself.
    """

    loss: Tensor
    loss_scale: Tensor


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
        """Return what was found since the last call."""
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
