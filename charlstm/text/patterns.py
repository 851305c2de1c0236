"""Searching lines for a regular expression that somebody else wrote, in bounded time.

Python's `re` tries one way after another. With a pattern such as `(a+)+$` and a line of forty a's
it would do so for years, and as it holds the interpreter's lock meanwhile, no thread could end it.
So an interpreter of its own searches, which ends itself when its time is over: that works in every
thread and on every system, and nothing is left running when this process is killed.
"""

import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Final

from charlstm.errors import PatternError

_BATCH_CHARS: Final = 1 << 20
# For the lines of a batch. Usual patterns took 0.1 to 0.7 seconds on a busy machine.
MAX_SECONDS: Final = 20.0
# Without these a pattern has nothing to try again: its time grows with the line.
_REPEATS: Final = frozenset("*+?{|")
_NUM_SHOWN: Final = 40
_SURROGATES: Final = "surrogatepass"
# Answers with a byte a line, so that whatever ends it, the line is known.
_SEARCHER: Final = f"""
import faulthandler, os, re, sys, warnings
warnings.simplefilter("ignore")
faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
pattern, lines = sys.stdin.buffer.read().split(b"\\n", 1)
found = re.compile(bytes.fromhex(pattern.decode()).decode("utf-8", "{_SURROGATES}")).search
for line in lines.decode("utf-8", "{_SURROGATES}").split("\\n"):
    os.write(1, b"\\1" if found(line) else b"\\0")
"""
_TIMEOUT: Final = b"Timeout ("


def found_in(pattern: str, lines: Sequence[str], *, first_number: int = 1) -> list[bool]:
    """Whether a pattern is found in each of some lines without their ends.

    Args:
        pattern: a regular expression that compiles.
        first_number: of the first line, for messages.

    Raises:
        PatternError: when it takes longer than `MAX_SECONDS`, naming the line.
    """
    # A program that was made of Python and all its modules can't be told to run other code.
    has_python = bool(sys.executable) and not getattr(sys, "frozen", False)
    if not has_python or not _REPEATS & set(pattern):
        return _found_here(pattern, lines)
    found: list[bool] = []
    while len(found) < len(lines):
        batch = list(_first_of(lines, len(found)))
        found += _found_elsewhere(pattern, batch, first_number + len(found))
    return found


def _first_of(lines: Sequence[str], first: int) -> Iterator[str]:
    """Lines of a megabyte or so, at least one."""
    num_chars = 0
    for number in range(first, len(lines)):
        yield lines[number]
        num_chars += len(lines[number]) + 1
        if num_chars > _BATCH_CHARS:
            return


def _found_elsewhere(pattern: str, lines: Sequence[str], first_number: int) -> list[bool]:
    request = [pattern.encode("utf-8", _SURROGATES).hex(), *lines]
    try:
        done = subprocess.run(  # noqa: S603 - this very interpreter
            [sys.executable, "-I", "-S", "-c", _SEARCHER, str(MAX_SECONDS)],
            input="\n".join(request).encode("utf-8", _SURROGATES),
            capture_output=True,
            check=False,
            # On Windows, under a program without a console, one would flash up.
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError:  # no room for another process
        return _found_here(pattern, lines)
    if _TIMEOUT in done.stderr:
        number = min(len(done.stdout), len(lines) - 1)
        line = lines[number]
        shown = repr(line[:_NUM_SHOWN]) + ("..." if len(line) > _NUM_SHOWN else "")
        raise PatternError(
            f"the pattern re:{pattern} took more than {MAX_SECONDS:g} seconds, on line "
            f"{first_number + number:,} ({shown}); a repetition inside another tries every way to "
            "share out a line"
        )
    if len(done.stdout) != len(lines):  # it couldn't start, or was ended
        return _found_here(pattern, lines)
    return [answer == 1 for answer in done.stdout]


def _found_here(pattern: str, lines: Sequence[str]) -> list[bool]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = re.compile(pattern).search
    return [found(line) is not None for line in lines]
