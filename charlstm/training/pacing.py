"""How far along its budget a run is, and how many epochs it will have read at its end.

Progress counts steps, or goes by the clock. What regularizes a run follows from its epochs: a
budget of steps or epochs makes them exact; by the clock the pace changes, by a factor of 1.5 within
seconds and of 3 when other programs start.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from charlstm.config import Budget, from_plain
from charlstm.settings import MAX_COUNT, require_real

Clock = Callable[[], float]
# Of a budget in minutes: all that evaluations take, with their previews and saves.
EVALUATION_SHARE: Final = 0.1
# Kept free at the end of a run by the clock, until a first evaluation has shown what one takes.
_FIRST_RESERVE: Final = 0.02
# What the end takes beyond an evaluation: another save, printing.
_END_RESERVE: Final = 1.2
_MIN_END_RESERVE_SECONDS: Final = 0.5
# Of the budget: how long the pace of a moment is remembered.
_MEMORY: Final = 0.1


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
        """Return the part of the budget that is used, from 0 to 1."""
        used = self._stopwatch.elapsed() - self._first_elapsed
        left = self._total - self._reserved - self._stopwatch.elapsed()
        if left <= 0:
            return 1.0
        return self._first_progress + (1.0 - self._first_progress) * used / (used + left)

    @property
    def evaluation_seconds(self) -> float:
        """What all evaluations may take."""
        return EVALUATION_SHARE * self._total

    def add_evaluation(self, seconds: float) -> None:
        """Take how long an evaluation took, with its preview and save."""
        self._evaluated_seconds += seconds
        self._latest_seconds = seconds
        self._reserved = _END_RESERVE * seconds + _MIN_END_RESERVE_SECONDS

    def may_evaluate(self) -> bool:
        """Return whether there is time for an evaluation in the middle of the run."""
        wanted = self._evaluated_seconds + self._latest_seconds
        return wanted <= EVALUATION_SHARE * self._stopwatch.elapsed()

    def seconds_left(self, step: int, seconds_per_step: float) -> float:
        """Return the seconds to the end of the budget."""
        return max(0.0, self._total - self._stopwatch.elapsed())


Pace = StepPace | ClockPace


def pace_for(budget: Budget, *, num_chars: int, chars_per_step: int, stopwatch: Stopwatch) -> Pace:
    """The pace that keeps to a budget over a training text of `num_chars`."""
    total = budget.total_steps(num_chars=num_chars, chars_per_step=chars_per_step)
    if total is not None:
        return StepPace(total)
    assert budget.minutes is not None
    return ClockPace(budget.minutes * 60, stopwatch)


@dataclass(kw_only=True)
class Forecast:
    """The numbers that are stored for resuming.

    Attributes:
        progress: the part of the budget that was used at the latest step, 0 to 1.
        epoch: read by then.
        recent_epochs: of the latest steps, each one's weight decaying; `recent_progress` likewise.
    """

    progress: float = 0.0
    epoch: float = 0.0
    recent_epochs: float = 0.0
    recent_progress: float = 0.0

    def __post_init__(self) -> None:
        for name in ("progress", "epoch", "recent_epochs", "recent_progress"):
            require_real(name, getattr(self, name), 0.0, float(MAX_COUNT))

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers."""
        return asdict(self)

    def load_state_dict(self, state: Any) -> None:
        """Load what `state_dict` returned.

        Raises:
            ConfigError: when a number is missing or impossible.
        """
        for name, value in asdict(from_plain(Forecast, state)).items():
            setattr(self, name, value)

    def add(self, *, progress: float, epoch: float) -> None:
        """Take where a run stands after a step."""
        used = max(0.0, progress - self.progress)
        kept = math.exp(-used / _MEMORY)
        self.recent_progress = kept * self.recent_progress + used
        self.recent_epochs = kept * self.recent_epochs + max(0.0, epoch - self.epoch)
        self.progress, self.epoch = progress, epoch

    @property
    def epochs(self) -> float:
        """Expected epochs at the end of the run."""
        if not self.recent_progress:
            return self.epoch
        pace = self.recent_epochs / self.recent_progress
        return self.epoch + (1.0 - self.progress) * pace
