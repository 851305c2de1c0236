from dataclasses import replace

import pytest
import torch
from conftest import MODEL, TRAIN, raising

from charlstm.training import step_benchmark
from charlstm.training.step_benchmark import StepBenchmark, ThreadTuner


class Clock:
    """Clock that advances by 0.1 s per reading."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.1
        return self.now


def candidates(vocabulary, *sizes):
    model = replace(MODEL, num_characters=len(vocabulary))
    return [(replace(model, hidden_size=size), TRAIN) for size in sizes]


@pytest.mark.parametrize(("budget_seconds", "limit"), [(800, 16), (5000, 20)])
def test_step_benchmark_uses_two_percent_of_budget(split, vocabulary, budget_seconds, limit):
    clock = Clock()
    timer = StepBenchmark(split, budget_seconds=budget_seconds, clock=clock)
    found = timer(candidates(vocabulary, 8, 16))
    assert found == pytest.approx([0.1, 0.1])
    assert clock.now <= limit
    # The limit holds for all calls together.
    for _ in range(4):
        timer(candidates(vocabulary, 8, 16))
    assert clock.now <= limit


def test_short_budget_still_gets_a_benchmark(split, vocabulary):
    (seconds,) = StepBenchmark(split, budget_seconds=0.01)(candidates(vocabulary, 8))
    assert 0 < seconds < 5


def test_candidate_too_large_for_memory_gets_none(split, vocabulary):
    timer = StepBenchmark(split, budget_seconds=0.1)
    first, second = timer(candidates(vocabulary, 8, 60_000))
    assert first is not None
    assert second is None


def test_other_errors_are_not_reported_as_memory(split, vocabulary, monkeypatch):
    monkeypatch.setattr(step_benchmark.TruncatedBPTT, "step", raising(RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        StepBenchmark(split, budget_seconds=0.1)(candidates(vocabulary, 8))


def test_threads_are_tuned_once(split, vocabulary):
    numbers = []
    before = torch.get_num_threads()
    timer = StepBenchmark(split, budget_seconds=0.1, set_threads=numbers.append)
    train = replace(TRAIN, threads=4)
    model, _ = candidates(vocabulary, 8)[0]
    timer([(model, train)])
    assert set(numbers) == {4, 3, 2}
    tried = len(numbers)
    timer([(model, train)])
    assert len(numbers) == tried
    assert torch.get_num_threads() == before


class Computer:
    """Simulated step times, which depend on the threads and the number of free cores."""

    def __init__(self, cores):
        self.cores = cores
        self.busy = 0
        self.threads = cores

    def set_threads(self, threads):
        self.threads = threads

    def step(self):
        free = self.cores - self.busy
        return 0.04 / self.threads if self.threads <= free else 0.1


def run(chooser, computer, steps):
    return sum(chooser.add(computer.step()) for _ in range(steps))


@pytest.mark.parametrize("cores", [2, 4, 8])
def test_thread_chooser_adapts_to_free_cores(cores):
    computer = Computer(cores)
    chooser = ThreadTuner(cores, computer.set_threads)
    run(chooser, computer, 100)
    assert chooser.chosen == computer.threads == cores

    computer.busy = 1
    assert run(chooser, computer, 400) == 1
    assert chooser.chosen == computer.threads == cores - 1

    computer.busy = 0
    assert run(chooser, computer, 8000) == 1
    assert chooser.chosen == computer.threads == cores


def test_thread_trials_are_rare():
    computer = Computer(2)
    computer.busy = 1
    chooser = ThreadTuner(2, computer.set_threads)
    tried = 0
    for _ in range(5000):
        tried += chooser.is_tuning
        chooser.add(computer.step())
    assert chooser.chosen == 1
    assert tried < 0.02 * 5000


def test_single_core_runs_no_trials():
    computer = Computer(1)
    chooser = ThreadTuner(1, computer.set_threads)
    assert not chooser.is_tuning
    assert run(chooser, computer, 100) == 0


def test_thread_chooser_prefers_fewer_threads_at_equal_speed():
    chooser = ThreadTuner(2, lambda _threads: None)
    while chooser.is_tuning:
        chooser.add(0.05)  # for any number of threads
    assert chooser.chosen == 1
