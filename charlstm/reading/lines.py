"""Lines of a stream, as soon as they are complete."""

import io
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from charlstm.errors import CorpusError

# Bounds memory for endless input such as /dev/zero.
MAX_LINE_CHARS: Final = 1 << 26

LineEnds = Literal["\n", "\r\n"]


def complete_lines(name: str, pieces: Iterable[str], ends: LineEnds = "\n") -> Iterator[list[str]]:
    r"""Yield lines with their line ends, as many at a time as are available.

    Args:
        name: name of the text, for messages.
        ends: the characters that end a line; \r\n counts as one line end.

    Raises:
        CorpusError: if a line has more than `MAX_LINE_CHARS` characters.
    """
    for text in cut_at_line_ends(pieces, ends, max_chars=MAX_LINE_CHARS):
        if len(text) > MAX_LINE_CHARS and text[-1] not in ends:
            raise CorpusError(f"{name}: a line has more than {MAX_LINE_CHARS:,} characters")
        yield list(io.StringIO(text, newline="\n" if ends == "\n" else ""))


def cut_at_line_ends(
    pieces: Iterable[str], ends: LineEnds = "\n", *, max_chars: int
) -> Iterator[str]:
    """Yield the same text in pieces that end at a line end, except in lines over `max_chars`."""
    held: list[str] = []
    num_held = 0
    for piece in pieces:
        after = max(map(piece.rfind, ends)) + 1
        if not after and num_held + len(piece) > max_chars:
            after = len(piece)
        if after:
            yield "".join([*held, piece[:after]])
            held, num_held = [], 0
        held.append(piece[after:])
        num_held += len(held[-1])
    if num_held:
        yield "".join(held)
