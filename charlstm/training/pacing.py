"""How far along its budget a run is: by counting steps, or by the clock."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from charlstm.config import Budget

Clock = Callable[[], float]

# Kept free at the end of a run by the clock, until a first evaluation has shown what one takes.
_FIRST_RESERVE: Final = 0.02


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

    def reserve(self, seconds: float) -> None:
        """Say how long the end of the run takes, after its last step."""

    def seconds_left(self, step: int, seconds_per_step: float) -> float:
        """To the end of the budget, at this pace."""


class StepPace:
    """Counts steps; never looks at a clock."""

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps

    def progress(self, step: int) -> float:
        return min(1.0, step / self.total_steps)

    def reserve(self, seconds: float) -> None:
        pass

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

    def progress(self, step: int) -> float:
        used = self._stopwatch.elapsed() - self._first_elapsed
        left = self._total - self._reserved - self._stopwatch.elapsed()
        if left <= 0:
            return 1.0
        return self._first_progress + (1.0 - self._first_progress) * used / (used + left)

    def reserve(self, seconds: float) -> None:
        self._reserved = seconds

    def seconds_left(self, step: int, seconds_per_step: float) -> float:
        return max(0.0, self._total - self._stopwatch.elapsed())


def pace_for(budget: Budget, *, num_chars: int, chars_per_step: int, stopwatch: Stopwatch) -> Pace:
    """The pace that keeps to a budget over a training text of `num_chars`."""
    total = budget.total_steps(num_chars=num_chars, chars_per_step=chars_per_step)
    if total is not None:
        return StepPace(total)
    assert budget.minutes is not None
    return ClockPace(budget.minutes * 60, stopwatch)
