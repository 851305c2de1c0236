"""Lines of a stream, as soon as they are complete."""

import io
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from charlstm.errors import CorpusError

# Bounds memory for endless input such as /dev/zero.
MAX_LINE_CHARS: Final = 1 << 26


def complete_lines(
    name: str, pieces: Iterable[str], ends: Literal["\n", "\r\n"] = "\n"
) -> Iterator[list[str]]:
    r"""Yield lines with their line ends, as many at a time as are available.

    Args:
        name: name of the text, for messages.
        ends: the characters that end a line; \r\n counts as one line end.

    Raises:
        CorpusError: if a line has more than `MAX_LINE_CHARS` characters.
    """
    held: list[str] = []
    num_held = 0
    for piece in pieces:
        after = max(map(piece.rfind, ends)) + 1
        if after:
            text = "".join([*held, piece[:after]])
            yield list(io.StringIO(text, newline="\n" if ends == "\n" else ""))
            held, num_held = [], 0
        held.append(piece[after:])
        num_held += len(held[-1])
        if num_held > MAX_LINE_CHARS:
            raise CorpusError(f"{name}: a line has more than {MAX_LINE_CHARS:,} characters")
    if num_held:
        yield ["".join(held)]
