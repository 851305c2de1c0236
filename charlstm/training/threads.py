"""How many CPU threads make the fastest steps, on a machine that does other things, too.

Steps of 2 x 256 on two cores took 19 ms with two threads and 26 with one; beside one busy program
90 and 25: the threads of a step wait for each other, so a thread without a core of its own costs
more than it gives.
"""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

# Steps of each candidate in a trial: the first with another number only warms up.
_STEPS_PER_CANDIDATE: Final = 4
# More threads have to be this much faster: they take what other programs could use.
_WORTH: Final = 0.95
# Steps that are this much slower than at the last trial call for another one.
_SLOWED: Final = 1.4
_WINDOW: Final = 10
# Whether the other cores are free again shows only when they are tried.
_SECONDS_BETWEEN_TRIALS: Final = 20.0


class ThreadChooser:
    """Tries numbers of threads on real steps, and again when the pace changes.

    Args:
        most: the highest number; half of it and one less are tried, too.
        set_threads: called with the number for the steps that follow.
    """

    def __init__(self, most: int, set_threads: Callable[[int], object]) -> None:
        self._candidates = sorted({most, max(1, most - 1), max(1, most // 2)}, reverse=True)
        self._set_threads = set_threads
        self.chosen = most
        self._reference = 0.0
        self._latest: list[float] = []
        self._seconds_since_trial = 0.0
        self._trial: list[tuple[int, list[float]]] = []
        self._begin_trial()

    @property
    def is_trying(self) -> bool:
        """Whether the next steps still belong to a trial."""
        return bool(self._trial)

    def add(self, seconds: float) -> bool:
        """Take the time of a step; returns whether another number of threads was chosen for it."""
        if self._trial:
            return self._add_to_trial(seconds)
        self._seconds_since_trial += seconds
        self._latest = [*self._latest[-_WINDOW + 1 :], seconds]
        has_slowed = (
            len(self._latest) == _WINDOW and median(self._latest) > _SLOWED * self._reference
        )
        may_be_free = (
            self.chosen < self._candidates[0]
            and self._seconds_since_trial > _SECONDS_BETWEEN_TRIALS
        )
        if (has_slowed or may_be_free) and self._seconds_since_trial > _SECONDS_BETWEEN_TRIALS / 4:
            self._begin_trial()
        return False

    def _begin_trial(self) -> None:
        if len(self._candidates) == 1:
            return
        self._trial = [(threads, []) for threads in self._candidates]
        self._set_threads(self._candidates[0])

    def _add_to_trial(self, seconds: float) -> bool:
        number = next(n for n, (_, times) in enumerate(self._trial) if _is_short(times))
        self._trial[number][1].append(seconds)
        left = [threads for threads, times in self._trial if _is_short(times)]
        if left:
            self._set_threads(left[0])
            return False
        before = self.chosen
        self._reference, self.chosen = _fastest(self._trial)
        self._set_threads(self.chosen)
        self._trial, self._latest, self._seconds_since_trial = [], [], 0.0
        return self.chosen != before


def _is_short(times: Sequence[float]) -> bool:
    return len(times) < _STEPS_PER_CANDIDATE


def _fastest(trial: Sequence[tuple[int, Sequence[float]]]) -> tuple[float, int]:
    """Seconds of a step, and the number of threads; fewer where more are hardly faster."""
    found = sorted((threads, median(times[1:])) for threads, times in trial)
    chosen, seconds = found[0]
    for threads, time in found[1:]:
        if time < _WORTH * seconds:
            chosen, seconds = threads, time
    return seconds, chosen
