"""Step benchmarks: model sizes before a run, numbers of CPU threads also during it.

Estimates from operation counts are not enough: with AMX, a step's matrix products ran at a tenth
of the rate of larger ones. Measuring also covers documents, vocabulary, precision and device.

Steps of a 2 x 256 model on two cores took 19 ms with two threads and 26 ms with one; with another
program busy, 90 ms and 25 ms. The threads of a step wait for each other, so a thread without a
core of its own slows the step down.
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
from charlstm.model.lstm import CharLSTM
from charlstm.system.distributed import SINGLE_PROCESS
from charlstm.text.encoded_text import EncodedText
from charlstm.training.auto_config import ConfigPair
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.bucketing import batches_of
from charlstm.training.budgets import Clock
from charlstm.training.hardware import explain_memory_errors, require_memory

# Time for all benchmarks: a fraction of the budget, and the maximum.
_BUDGET_FRACTION: Final = 0.02
_MAX_SECONDS: Final = 20.0
# Each benchmark uses a quarter of the remaining time.
_TIME_DIVISOR: Final = 4
# The first steps initialize kernels; on a GPU, the third is captured as a CUDA graph.
_WARM_UP_STEPS: Final = 2
_FIRST_STEPS: Final = {"cpu": 1, "mps": 1, "cuda": 3}
# Steps per number of threads in a trial; the first one is warm-up.
_STEPS_PER_CANDIDATE: Final = 4
# More threads are used only if steps take at most this fraction of the time, since other programs
# may need the cores.
_MAX_TIME_RATIO: Final = 0.95
# A new trial starts when the median step time over the window rises by this factor.
_SLOWDOWN: Final = 1.4
_WINDOW: Final = 10
# Only a trial shows whether other cores are free again.
_SECONDS_BETWEEN_TRIALS: Final = 20.0


class StepBenchmark:
    """Benchmark of training steps, using at most two percent of a budget.

    Args:
        budget_seconds: budget of the run.
        num_processes: number of processes over which the streams will be divided.
        set_threads: sets the number of threads, which is then tuned first; None to keep it.
    """

    def __init__(
        self,
        train: EncodedText,
        *,
        budget_seconds: float,
        num_processes: int = 1,
        set_threads: Callable[[int], object] | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._train = train
        self._seconds_left = min(_MAX_SECONDS, _BUDGET_FRACTION * budget_seconds)
        self._num_processes = num_processes
        self._set_threads = set_threads
        self._clock = clock

    def __call__(self, candidates: Sequence[ConfigPair]) -> list[float | None]:
        """Return the step time of each candidate in seconds; None if it doesn't fit in memory.

        Steps of the candidates alternate, so that changes of the machine's speed affect all.
        """
        started_at = self._clock()
        steps = [self._prepare(*candidate) for candidate in candidates]
        times: list[list[float]] = [[] for _ in candidates]
        timing_started_at = self._clock()
        num_rounds = 0
        while (
            num_rounds <= _WARM_UP_STEPS
            or self._clock() - timing_started_at < self._seconds_left / _TIME_DIVISOR
        ):
            for step, step_times in zip(steps, times, strict=True):
                if step is not None:
                    step_times.append(self._time(step))
            num_rounds += 1
        self._seconds_left -= self._clock() - started_at
        return [
            None if step is None else median(step_times[_WARM_UP_STEPS:])
            for step, step_times in zip(steps, times, strict=True)
        ]

    def _prepare(self, model: ModelConfig, train: TrainConfig) -> Callable[[], object] | None:
        """Return a function that makes one step; None if the model doesn't fit in memory."""
        generator = torch.Generator().manual_seed(train.seed)
        train = replace(train, batch_size=max(1, train.batch_size // self._num_processes))
        try:
            require_memory(model, train)
            lstm = CharLSTM(model, generator=generator).to(train.device)
            bptt = TruncatedBPTT(lstm, train)
            batches = batches_of(self._train, train, bos_id=model.bos_id, world=SINGLE_PROCESS)

            def step() -> None:
                outcome = bptt.step(batches.next(generator), train.learning_rate)
                outcome.loss.item()  # waits for the device

            with explain_memory_errors():
                for _ in range(_FIRST_STEPS[train.device]):
                    step()
            self._tune_threads(step, train.threads)
        except TrainingError:
            return None
        return step

    def _tune_threads(self, step: Callable[[], object], maximum: int) -> None:
        """Choose the number of threads, once for all candidates."""
        if self._set_threads is None:
            return
        chooser = ThreadTuner(maximum, self._set_threads)
        while chooser.is_tuning:
            chooser.add(self._time(step))
        self._set_threads = None

    def _time(self, step: Callable[[], object]) -> float:
        started_at = self._clock()
        step()
        return self._clock() - started_at


class ThreadTuner:
    """Tuner of the number of CPU threads, which times training steps in trials.

    Args:
        most: maximum number of threads; trials also include one less and half of it.
        set_threads: sets the number of threads for the next steps.
    """

    def __init__(self, most: int, set_threads: Callable[[int], object]) -> None:
        self._candidates = sorted({most, max(1, most - 1), max(1, most // 2)}, reverse=True)
        self._set_threads = set_threads
        self.chosen = most
        self._reference = 0.0
        self._latest: list[float] = []
        self._seconds_since_trial = 0.0
        self._trial: list[tuple[int, list[float]]] = []
        self._start_trial()

    @property
    def is_tuning(self) -> bool:
        """Whether a trial is in progress."""
        return bool(self._trial)

    def add(self, seconds: float) -> bool:
        """Record the time of a step; return whether the chosen number of threads changed."""
        if self._trial:
            return self._add_to_trial(seconds)
        self._seconds_since_trial += seconds
        self._latest = [*self._latest[-_WINDOW + 1 :], seconds]
        is_slower = (
            len(self._latest) == _WINDOW and median(self._latest) > _SLOWDOWN * self._reference
        )
        cores_may_be_free = (
            self.chosen < self._candidates[0]
            and self._seconds_since_trial > _SECONDS_BETWEEN_TRIALS
        )
        is_due = self._seconds_since_trial > _SECONDS_BETWEEN_TRIALS / 4
        if (is_slower or cores_may_be_free) and is_due:
            self._start_trial()
        return False

    def _start_trial(self) -> None:
        if len(self._candidates) == 1:
            return
        self._trial = [(threads, []) for threads in self._candidates]
        self._set_threads(self._candidates[0])

    def _add_to_trial(self, seconds: float) -> bool:
        current = next(times for _, times in self._trial if _is_incomplete(times))
        current.append(seconds)
        remaining = [threads for threads, times in self._trial if _is_incomplete(times)]
        if remaining:
            self._set_threads(remaining[0])
            return False
        previous = self.chosen
        self._reference, self.chosen = _fastest(self._trial)
        self._set_threads(self.chosen)
        self._trial, self._latest, self._seconds_since_trial = [], [], 0.0
        return self.chosen != previous


def _is_incomplete(times: Sequence[float]) -> bool:
    return len(times) < _STEPS_PER_CANDIDATE


def _fastest(trial: Sequence[tuple[int, Sequence[float]]]) -> tuple[float, int]:
    """Return the step time in seconds and the number of threads, preferring fewer threads."""
    medians = sorted((threads, median(times[1:])) for threads, times in trial)
    best_threads, best_seconds = medians[0]
    for threads, seconds in medians[1:]:
        if seconds < _MAX_TIME_RATIO * best_seconds:
            best_threads, best_seconds = threads, seconds
    return best_seconds, best_threads
