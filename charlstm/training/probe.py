"""How long a step takes, measured: for sizes before a run, for numbers of CPU threads also in it.

No model of the arithmetic foresees it: with AMX the matrix products of a step ran at a tenth of
the rate of larger ones. Documents, alphabet, precision and device count without being modeled.

Steps of 2 x 256 on two cores took 19 ms with two threads and 26 with one; beside one busy program
90 and 25: the threads of a step wait for each other, so a thread without a core of its own costs
more than it gives.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Final

import torch

from charlstm.config import TrainConfig
from charlstm.errors import TrainingError
from charlstm.model.config import ModelConfig
from charlstm.model.network import CharLSTM
from charlstm.system.distributed import ALONE
from charlstm.text.split import Split
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.hardware import memory_errors_explained, require_memory
from charlstm.training.lists import batches_of
from charlstm.training.pacing import Clock
from charlstm.training.recipe import Candidate

# Of the budget, and at most.
_SHARE: Final = 0.02
_MAX_SECONDS: Final = 20.0
# A measurement takes one part in four of what is left: the guess, what is better, larger steps.
_PARTS: Final = 4
# The first steps set kernels up; on a GPU the third is captured as a CUDA graph.
_WARM_UP_STEPS: Final = 2
_FIRST_STEPS: Final = {"cpu": 1, "mps": 1, "cuda": 3}
# Steps of each candidate in a trial: the first with another number only warms up.
_STEPS_PER_CANDIDATE: Final = 4
# More threads have to be this much faster: they take what other programs could use.
_WORTH: Final = 0.95
# Steps that are this much slower than at the last trial call for another one.
_SLOWED: Final = 1.4
_WINDOW: Final = 10
# Whether the other cores are free again shows only when they are tried.
_SECONDS_BETWEEN_TRIALS: Final = 20.0


class StepTimer:
    """Times steps of candidates, alternating, within two percent of a budget.

    Args:
        budget_seconds: of the run.
        num_processes: that will share the streams of a step.
        set_threads: tries numbers of threads first; None keeps the number that is set.
    """

    def __init__(
        self,
        train: Split,
        *,
        budget_seconds: float,
        num_processes: int = 1,
        set_threads: Callable[[int], object] | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._train = train
        self._seconds_left = min(_MAX_SECONDS, _SHARE * budget_seconds)
        self._num_processes = num_processes
        self._set_threads = set_threads
        self._clock = clock

    def __call__(self, candidates: Sequence[Candidate]) -> list[float | None]:
        """Seconds of a step of each candidate; None where it doesn't fit in memory."""
        called = self._clock()
        steps = [self._start(*candidate) for candidate in candidates]
        times: list[list[float]] = [[] for _ in candidates]
        began = self._clock()
        number = 0
        while number <= _WARM_UP_STEPS or self._clock() - began < self._seconds_left / _PARTS:
            for step, found in zip(steps, times, strict=True):
                if step is not None:
                    found.append(self._time(step))
            number += 1
        self._seconds_left -= self._clock() - called
        return [
            None if step is None else median(found[_WARM_UP_STEPS:])
            for step, found in zip(steps, times, strict=True)
        ]

    def _start(self, model: ModelConfig, train: TrainConfig) -> Callable[[], object] | None:
        generator = torch.Generator().manual_seed(train.seed)
        train = replace(train, batch_size=max(1, train.batch_size // self._num_processes))
        try:
            require_memory(model, train)
            network = CharLSTM(model, generator=generator).to(train.device)
            learner = TruncatedBPTT(network, train)
            batches = batches_of(self._train, train, boundary=model.boundary, world=ALONE)

            def step() -> None:
                outcome = learner.step(batches.next(generator), train.learning_rate)
                outcome.loss.item()  # waits for the device

            with memory_errors_explained():
                for _ in range(_FIRST_STEPS[train.device]):
                    step()
            self._choose_threads(step, train.threads)
        except TrainingError:
            return None
        return step

    def _choose_threads(self, step: Callable[[], object], most: int) -> None:
        """Choose the number of threads once; it also suits neighboring model sizes."""
        if self._set_threads is None:
            return
        chooser = ThreadChooser(most, self._set_threads)
        while chooser.is_trying:
            chooser.add(self._time(step))
        self._set_threads = None

    def _time(self, step: Callable[[], object]) -> float:
        began = self._clock()
        step()
        return self._clock() - began


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
    for threads, measured in found[1:]:
        if measured < _WORTH * seconds:
            chosen, seconds = threads, measured
    return seconds, chosen
