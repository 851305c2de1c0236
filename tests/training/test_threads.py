import pytest

from charlstm.training.threads import ThreadChooser


class Computer:
    """Steps take a time that depends on the threads and on how many cores others use."""

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
def test_all_cores_when_they_are_free_fewer_beside_another_program(cores):
    computer = Computer(cores)
    chooser = ThreadChooser(cores, computer.set_threads)
    run(chooser, computer, 100)
    assert chooser.chosen == computer.threads == cores

    computer.busy = 1
    assert run(chooser, computer, 400) == 1
    assert chooser.chosen == computer.threads == cores - 1

    computer.busy = 0
    assert run(chooser, computer, 8000) == 1
    assert chooser.chosen == computer.threads == cores


def test_trials_are_rare():
    computer = Computer(2)
    computer.busy = 1
    chooser = ThreadChooser(2, computer.set_threads)
    tried = 0
    for _ in range(5000):
        tried += chooser.is_trying
        chooser.add(computer.step())
    assert chooser.chosen == 1
    assert tried < 0.02 * 5000


def test_a_single_core_has_no_choice():
    computer = Computer(1)
    chooser = ThreadChooser(1, computer.set_threads)
    assert not chooser.is_trying
    assert run(chooser, computer, 100) == 0


def test_more_threads_must_be_worth_it():
    chooser = ThreadChooser(2, lambda _threads: None)
    while chooser.is_trying:
        chooser.add(0.05)  # however many there are
    assert chooser.chosen == 1
