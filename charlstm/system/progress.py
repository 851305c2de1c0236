"""Progress bars (tqdm) of commands and the Python API."""

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
    """Open a progress bar from 0 to 1.

    Args:
        is_shown: whether to show it; None to show it if stderr is a terminal.
        options: options of tqdm.
    """
    with warnings.catch_warnings():
        # Notebook bars are experimental, and fall back to text without ipywidgets.
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
    """Set a bar's progress (0 to 1) and description."""
    bar.set_description_str(description, refresh=False)
    bar.update(progress - bar.n)


@contextmanager
def character_bar(num_chars: int, what: str) -> Iterator[Callable[[int], object]]:
    """Open a progress bar for `num_chars` characters, shown after one second.

    Yields:
        A function to call with the number of characters since its last call.
    """
    with progress_bar(
        total=num_chars,
        desc=what,
        unit=" characters",
        unit_scale=True,
        bar_format="{desc} {percentage:3.0f}% |{bar:20}| {rate_fmt}, {remaining} left",
        delay=1.0,
    ) as bar:
        yield bar.update
