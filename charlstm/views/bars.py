"""A bar for what takes more than a moment, on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tqdm import tqdm

from charlstm.system.terminal import is_animated

_DELAY_SECONDS: Final = 1.0


@contextmanager
def counting_bar(num_chars: int, what: str) -> Iterator[Callable[[int], object]]:
    """A function to be told of so many characters, some at a time; shown after a second."""
    if not is_animated(sys.stderr):
        yield lambda _number: None
        return
    with tqdm(
        total=num_chars,
        desc=what,
        unit=" characters",
        unit_scale=True,
        bar_format="{desc} {percentage:3.0f}% |{bar:20}| {rate_fmt}, {remaining} left",
        delay=_DELAY_SECONDS,
        file=sys.stderr,
        dynamic_ncols=True,
        leave=False,
    ) as bar:
        yield bar.update
