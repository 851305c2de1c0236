"""Line search for a user's regular expression, with a time limit.

A pattern such as `(a|aa)+$` would backtrack for years on a long line. Python's `re` can't be
interrupted; the library `regex` has a timeout.
"""

import time
from collections.abc import Sequence
from typing import Final

import regex

from charlstm.errors import PatternError

# Typical patterns took 0.1 to 0.8 seconds for a million characters on a busy machine.
MAX_SECONDS: Final = 5.0
_MEGA_CHARS: Final = 1_000_000
# `regex` rejects a timeout of zero.
_MIN_TIMEOUT_SECONDS: Final = 1e-3
_NUM_SHOWN: Final = 40


def found_in(pattern: str, lines: Sequence[str], *, first_number: int = 1) -> list[bool]:
    """Return for each line whether it contains a match.

    Args:
        pattern: a valid regular expression.
        lines: lines without their line ends.
        first_number: number of the first line, for messages.

    Raises:
        PatternError: naming the line, if the search takes longer than `MAX_SECONDS`, plus
            `MAX_SECONDS` for each million characters.
    """
    search = regex.compile(pattern).search
    is_found: list[bool] = []
    started = time.monotonic()
    num_chars = 0
    for number, line in enumerate(lines, first_number):
        num_chars += len(line)
        seconds_left = MAX_SECONDS * (1 + num_chars / _MEGA_CHARS) - (time.monotonic() - started)
        try:
            # `concurrent` releases the interpreter's lock.
            match = search(line, timeout=max(_MIN_TIMEOUT_SECONDS, seconds_left), concurrent=True)
        except TimeoutError as error:
            shown = repr(line[:_NUM_SHOWN]) + ("..." if len(line) > _NUM_SHOWN else "")
            raise PatternError(
                f"the pattern re:{pattern} took more than {MAX_SECONDS:g} seconds, on line "
                f"{number:,} ({shown}); simplify it: nested repetitions try every way to "
                "divide up a line"
            ) from error
        is_found.append(match is not None)
    return is_found
