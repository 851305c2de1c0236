"""Training budgets: the progress of a run, and the expected number of epochs at its end.

Dropout depends on the number of epochs of the entire run. A budget in steps or epochs determines
it exactly. With a budget in minutes it is a forecast: the speed varies by a factor of 1.5 within
seconds, and of 3 when other programs start.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from charlstm.config import Budget
from charlstm.settings import MAX_COUNT, require_real

Clock = Callable[[], float]
# Fraction of a budget in minutes for evaluations, including previews and saves.
EVALUATION_FRACTION: Final = 0.1
# Fraction of the budget reserved for the final evaluation until one has been timed.
_FIRST_RESERVE: Final = 0.02
# Time reserved for the final evaluation, save and output: a multiple of the latest evaluation's
# time, plus a constant.
_END_RESERVE_EVALUATIONS: Final = 1.2
_END_RESERVE_SECONDS: Final = 0.5
# Time constant of the running mean of the speed, as a fraction of the budget.
_TIME_CONSTANT: Final = 0.1


class Stopwatch:
    """Elapsed time of a run over all its sessions.

    Args:
        used_seconds: time used by earlier sessions.
        started_at: `clock` reading when this session's command started; None for now.
    """

    def __init__(
        self,
        *,
        used_seconds: float = 0.0,
        started_at: float | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        self._origin = (clock() if started_at is None else started_at) - used_seconds
        self.used_seconds = used_seconds

    def elapsed(self) -> float:
        return self._clock() - self._origin


class StepBudget:
    """Budget in steps, independent of the clock."""

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps

    def progress(self, step: int) -> float:
        return min(1.0, step / self.total_steps)

    @property
    def evaluation_seconds(self) -> float:
        return math.inf

    def add_evaluation(self, seconds: float) -> None:
        pass

    def may_evaluate(self) -> bool:
        return True

    def seconds_left(self, step: int, seconds_per_step: float) -> float:
        return max(0, self.total_steps - step) * seconds_per_step


class TimeBudget:
    """Budget in wall-clock time.

    Progress starts at construction, not at the start of the command, so that imports and reading
    the text don't shorten the warm-up.
    """

    def __init__(self, total_seconds: float, stopwatch: Stopwatch) -> None:
        self._total = total_seconds
        self._stopwatch = stopwatch
        self._first_elapsed = stopwatch.elapsed()
        self._first_progress = min(1.0, stopwatch.used_seconds / total_seconds)
        self._reserved = _FIRST_RESERVE * total_seconds
        self._evaluation_seconds = self._latest_seconds = 0.0

    def progress(self, step: int) -> float:
        """Return the fraction of the budget used, 0 to 1."""
        used = self._stopwatch.elapsed() - self._first_elapsed
        left = self._total - self._reserved - self._stopwatch.elapsed()
        if left <= 0:
            return 1.0
        return self._first_progress + (1.0 - self._first_progress) * used / (used + left)

    @property
    def evaluation_seconds(self) -> float:
        """The time budget of all evaluations together."""
        return EVALUATION_FRACTION * self._total

    def add_evaluation(self, seconds: float) -> None:
        """Record the duration of an evaluation, including its preview and save."""
        self._evaluation_seconds += seconds
        self._latest_seconds = seconds
        self._reserved = _END_RESERVE_EVALUATIONS * seconds + _END_RESERVE_SECONDS

    def may_evaluate(self) -> bool:
        """Return whether another evaluation keeps them within a tenth of the elapsed time."""
        needed = self._evaluation_seconds + self._latest_seconds
        return needed <= EVALUATION_FRACTION * self._stopwatch.elapsed()

    def seconds_left(self, step: int, seconds_per_step: float) -> float:
        """Return the time to the end of the budget."""
        return max(0.0, self._total - self._stopwatch.elapsed())


TrainingBudget = StepBudget | TimeBudget


def training_budget_for(
    budget: Budget, *, num_chars: int, chars_per_step: int, stopwatch: Stopwatch
) -> TrainingBudget:
    """Return the training budget for a text of `num_chars`."""
    total = budget.total_steps(num_chars=num_chars, chars_per_step=chars_per_step)
    if total is not None:
        return StepBudget(total)
    assert budget.minutes is not None
    return TimeBudget(budget.minutes * 60, stopwatch)


@dataclass(kw_only=True)
class Forecast:
    """Forecast of a run's total epochs, stored for resuming.

    Attributes:
        progress: fraction of the budget used at the latest step, 0 to 1.
        epoch: epochs read at the latest step.
        recent_epochs: exponentially decaying sum of the epochs of recent steps.
        recent_progress: likewise for their progress.
    """

    progress: float = 0.0
    epoch: float = 0.0
    recent_epochs: float = 0.0
    recent_progress: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require_real(name, value, 0.0, float(MAX_COUNT))

    def add(self, *, progress: float, epoch: float) -> None:
        """Record the progress and the epoch before a step."""
        used = max(0.0, progress - self.progress)
        decay = math.exp(-used / _TIME_CONSTANT)
        self.recent_progress = decay * self.recent_progress + used
        self.recent_epochs = decay * self.recent_epochs + max(0.0, epoch - self.epoch)
        self.progress, self.epoch = progress, epoch

    @property
    def epochs(self) -> float:
        """Expected epochs at the end of the run."""
        if not self.recent_progress:
            return self.epoch
        epochs_per_budget = self.recent_epochs / self.recent_progress
        return self.epoch + (1.0 - self.progress) * epochs_per_budget
