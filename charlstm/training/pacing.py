"""How far along its budget a run is: by counting steps, or by the clock."""

import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from charlstm.config import Budget

Clock = Callable[[], float]

# Of a budget in minutes: all that evaluations take, with their previews and saves.
EVALUATION_SHARE: Final = 0.1
# Kept free at the end of a run by the clock, until a first evaluation has shown what one takes.
_FIRST_RESERVE: Final = 0.02
# What the end takes beyond an evaluation: another save, printing.
_END_RESERVE: Final = 1.2
_MIN_END_RESERVE_SECONDS: Final = 0.5


class Stopwatch:
    """Seconds that a run has used, over all its sessions.

    Args:
        used_seconds: by earlier sessions.
        started_at: when this session's command began, by `clock`; None for now.
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


class Pace(Protocol):
    """The part of the budget that is used, from 0 to 1."""

    def progress(self, step: int) -> float: ...

    @property
    def evaluation_seconds(self) -> float:
        """What all evaluations may take."""

    def add_evaluation(self, seconds: float) -> None:
        """Take how long an evaluation took, all that followed from it included."""

    def may_evaluate(self) -> bool:
        """Return whether there is time for an evaluation in the middle of the run."""

    def seconds_left(self, step: int, seconds_per_step: float) -> float:
        """To the end of the budget, at this pace."""


class StepPace:
    """Counts steps; never looks at a clock."""

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


class ClockPace:
    """Divides the time from its making to the end of the budget.

    The time before the first step, for imports and reading, isn't progress: so that the schedule
    begins at its beginning.
    """

    def __init__(self, total_seconds: float, stopwatch: Stopwatch) -> None:
        self._total = total_seconds
        self._stopwatch = stopwatch
        self._first_elapsed = stopwatch.elapsed()
        self._first_progress = min(1.0, stopwatch.used_seconds / total_seconds)
        self._reserved = _FIRST_RESERVE * total_seconds
        self._evaluated_seconds = self._latest_seconds = 0.0

    def progress(self, step: int) -> float:
        used = self._stopwatch.elapsed() - self._first_elapsed
        left = self._total - self._reserved - self._stopwatch.elapsed()
        if left <= 0:
            return 1.0
        return self._first_progress + (1.0 - self._first_progress) * used / (used + left)

    @property
    def evaluation_seconds(self) -> float:
        return EVALUATION_SHARE * self._total

    def add_evaluation(self, seconds: float) -> None:
        self._evaluated_seconds += seconds
        self._latest_seconds = seconds
        self._reserved = _END_RESERVE * seconds + _MIN_END_RESERVE_SECONDS

    def may_evaluate(self) -> bool:
        wanted = self._evaluated_seconds + self._latest_seconds
        return wanted <= EVALUATION_SHARE * self._stopwatch.elapsed()

    def seconds_left(self, step: int, seconds_per_step: float) -> float:
        return max(0.0, self._total - self._stopwatch.elapsed())


def pace_for(budget: Budget, *, num_chars: int, chars_per_step: int, stopwatch: Stopwatch) -> Pace:
    """The pace that keeps to a budget over a training text of `num_chars`."""
    total = budget.total_steps(num_chars=num_chars, chars_per_step=chars_per_step)
    if total is not None:
        return StepPace(total)
    assert budget.minutes is not None
    return ClockPace(budget.minutes * 60, stopwatch)
