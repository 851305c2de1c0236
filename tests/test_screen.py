"""Each command's default output fits a terminal of 80 columns and 24 lines."""

import re

import pytest
from conftest import SMALL, posix

pytestmark = [posix, pytest.mark.slow]


@pytest.fixture
def lines(stored, here):
    from pseudo_terminal import in_a_terminal

    def run(*arguments):
        written = in_a_terminal(here, arguments)
        plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written).replace("\r\n", "\n")
        # A progress bar is redrawn on its line, and gone at the end.
        return [line.rsplit("\r", 1)[-1] for line in plain.rstrip("\n").split("\n")]

    return run


@pytest.mark.parametrize(
    "command",
    [
        "predict qu", "predict quick --ladder", "eval", "inspect",
        "runs", "runs show tiny", "corpus check tiny.txt",
        "compare tiny.txt --steps 2 --hidden-size 8 --threads 1",
    ],
)  # fmt: skip
def test_default_output_fits_a_screen(lines, command):
    shown = lines(*command.split())
    assert max(map(len, shown)) <= 80
    assert len(shown) <= 24


def test_a_training_of_eight_evaluations_fits_a_screen(lines):
    shown = lines("train", "tiny.txt", "--run", "new", "--epochs", "8", *SMALL)
    assert sum("epoch" in line and "val" in line for line in shown) == 8
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
