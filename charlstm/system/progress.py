"""The progress bar (tqdm) of commands and of Python."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from charlstm.system.terminal import is_animated

if TYPE_CHECKING:
    from tqdm import tqdm


@contextmanager
def progress_bar(*, is_shown: bool | None = None, **options: Any) -> Iterator["tqdm[Any]"]:
    """A bar from 0 to 1, whose description may change.

    Args:
        is_shown: None for where stderr is a terminal; without, the bar does nothing.
        options: of tqdm.
    """
    with warnings.catch_warnings():
        # That a notebook's bars are new, or lack ipywidgets: then there is a bar of text.
        warnings.simplefilter("ignore")
        from tqdm.autonotebook import tqdm

    all_options: dict[str, Any] = {
        "total": 1.0,
        "bar_format": "{percentage:3.0f}% |{bar:20}| {desc}",
        "disable": not (is_animated(sys.stderr) if is_shown is None else is_shown),
        "file": sys.stderr,
        "dynamic_ncols": True,
        "leave": False,
        **options,
    }
    with tqdm(**all_options) as bar:
        yield bar


def move(bar: "tqdm[Any]", progress: float, description: str) -> None:
    """Move a bar to a share of the work, and say how it stands."""
    bar.set_description_str(description, refresh=False)
    bar.update(progress - bar.n)


@contextmanager
def counting_bar(num_chars: int, what: str) -> Iterator[Callable[[int], object]]:
    """A function to be told of so many characters, some at a time; shown after a second."""
    with progress_bar(
        total=num_chars,
        desc=what,
        unit=" characters",
        unit_scale=True,
        bar_format="{desc} {percentage:3.0f}% |{bar:20}| {rate_fmt}, {remaining} left",
        delay=1.0,
    ) as bar:
        yield bar.update
