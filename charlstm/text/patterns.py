"""Search lines for a user's regular expression, in bounded time.

A pattern such as `(a|aa)+$` would try for years on a long line, and Python's `re` can't be stopped
meanwhile; the library `regex` can.
"""

import time
from collections.abc import Sequence
from typing import Final

import regex

from charlstm.errors import PatternError

# Usual patterns took 0.1 to 0.8 seconds for a million characters on a busy machine.
MAX_SECONDS: Final = 5.0
_MEGA_CHARS: Final = 1_000_000
# The library refuses a timeout of zero.
_LEAST_SECONDS: Final = 1e-3
_NUM_SHOWN: Final = 40


def found_in(pattern: str, lines: Sequence[str], *, first_number: int = 1) -> list[bool]:
    """Return whether a pattern is found in each of some lines without their ends.

    Args:
        pattern: a valid regular expression.
        first_number: of the first line, for messages.

    Raises:
        PatternError: naming the line, when the search takes longer than `MAX_SECONDS`, and as
            much again for each million characters.
    """
    search = regex.compile(pattern).search
    found: list[bool] = []
    started = time.monotonic()
    num_chars = 0
    for number, line in enumerate(lines, first_number):
        num_chars += len(line)
        left = MAX_SECONDS * (1 + num_chars / _MEGA_CHARS) - (time.monotonic() - started)
        try:
            # `concurrent` releases the interpreter's lock.
            match = search(line, timeout=max(_LEAST_SECONDS, left), concurrent=True)
        except TimeoutError as error:
            shown = repr(line[:_NUM_SHOWN]) + ("..." if len(line) > _NUM_SHOWN else "")
            raise PatternError(
                f"the pattern re:{pattern} took more than {MAX_SECONDS:g} seconds, on line "
                f"{number:,} ({shown}); a repetition inside another tries every way to "
                "share out a line"
            ) from error
        found.append(match is not None)
    return found
