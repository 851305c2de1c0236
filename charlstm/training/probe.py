"""How long a gradient step takes: measured, on the run's own batches.

No model of the arithmetic foresees it: with AMX the matrix products of a step ran at a tenth of
the rate of larger ones. Documents, alphabet, precision and device count without being modeled.
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
from charlstm.training.hardware import require_memory
from charlstm.training.lists import batches_of
from charlstm.training.memory import memory_errors_explained
from charlstm.training.pacing import Clock
from charlstm.training.recipe import Candidate
from charlstm.training.threads import ThreadChooser

# Of the budget, and at most.
_SHARE: Final = 0.02
_MAX_SECONDS: Final = 20.0
# A measurement takes one part in four of what is left: the guess, what is better, larger steps.
_PARTS: Final = 4
# The first steps set kernels up; on a GPU the third is captured as a CUDA graph.
_WARM_UP_STEPS: Final = 2
_FIRST_STEPS: Final = {"cpu": 1, "mps": 1, "cuda": 3}


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
        """Once: what is fastest for one size is for its neighbors, too."""
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
