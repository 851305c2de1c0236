"""Find documents inside a file: names of a list, poems, tunes, messages.

A document begins at the beginning of a line. Its own line end belongs to it: of lines, that is what
a model learns their end by. Other documents, and files, get a character that ends them.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, repeat
from typing import Final

from charlstm.config import DOCUMENT_WORDS, document_pattern
from charlstm.text.patterns import found_in
from charlstm.text.vocabulary import END

# How many lines of at most how many characters look like a list.
_LIST_LINES: Final = 200
_SHORT_LINE: Final = 40
# A line longer than this is taken in parts; only its first part can begin a document.
_MAX_HELD_CHARS: Final = 1 << 20


def split_documents(pieces: Iterable[str], how: str | None) -> Iterator[tuple[str, list[int]]]:
    """Find the documents in a text that comes in pieces.

    Args:
        how: `lines`: each line is one; `blank-lines`: one begins after blank lines; anything else
            is a regular expression: one begins at each line that it is found in; None: all is one.
            The first line always begins one.

    Yields:
        Pieces of the same text, and where in each of them documents begin.

    Raises:
        PatternError: when a regular expression takes too long.
    """
    if how is None:
        is_first = True
        for piece in pieces:
            if piece:
                yield piece, [0] if is_first else []
                is_first = False
        return
    at_line_start, before, held = True, None, ""
    num_lines = 0
    for piece in _whole_lines(pieces):
        starts = []
        place = 0
        lines = piece.split("\n")
        # The first line always begins a document; a continued line never does.
        searched = lines if at_line_start and before is not None else ["", *lines[1:]]
        for line, is_found in zip(lines, _found(how, searched, num_lines), strict=True):
            if at_line_start and place < len(piece) and _begins(how, line, before, is_found):
                starts.append(place)
            place += len(line) + 1
            # The last part of the split is not a whole line; the next piece continues it.
            at_line_start = place <= len(piece)
            # A line that comes in parts is blank only if all of them are.
            held = held if held.strip() else line
            if at_line_start:
                before, held = held, ""
        at_line_start = piece.endswith("\n")
        num_lines += len(lines) - 1
        yield piece, starts


def with_ends(documents: Iterable[tuple[str, list[int]]]) -> Iterator[tuple[str, list[int]]]:
    """Yield the same pieces, with an end after each document.

    Args:
        documents: of one file, as `split_documents` yields them.
    """
    is_open = False
    for piece, starts in documents:
        edges = [0, *starts, len(piece)]
        parts: list[str] = []
        begins: list[int] = []
        length = 0
        for number, (first, after) in enumerate(pairwise(edges)):
            if number:
                mark = END if is_open else ""
                begins.append(length + len(mark))
                parts.append(mark)
                length += len(mark)
                is_open = True
            parts.append(piece[first:after])
            length += after - first
        yield "".join(parts), begins
    if is_open:
        yield END, []


def documents_in(text: str, how: str | None) -> list[str]:
    """Return the documents of a whole text; see `split_documents`."""
    found: list[str] = []
    for piece, starts in split_documents([text], how):
        first, *rest = [*starts, len(piece)]
        if found:
            found[-1] += piece[:first]
        found += [piece[begin:end] for begin, end in pairwise([first, *rest])]
    return found


def looks_like_list(sample: str) -> bool:
    """Return whether a text, or its start, consists of many short lines, none of them empty."""
    lines = sample.split("\n")
    return len(lines) > _LIST_LINES and all(0 < len(line) <= _SHORT_LINE for line in lines[:-1])


def _begins(how: str, line: str, before: str | None, is_found: bool) -> bool:  # noqa: FBT001
    """Return whether a document begins with a line; `before` is the line before it, if any."""
    if before is None:
        return True
    if how == "blank-lines":
        return not before.strip() and bool(line.strip())
    return is_found


def _found(how: str, lines: Sequence[str], num_before: int) -> Iterable[bool]:
    """Return for each line whether the pattern is found; True for rules without a pattern."""
    if how in DOCUMENT_WORDS:
        return repeat(True, len(lines))
    return found_in(document_pattern(how), lines, first_number=num_before + 1)


def _whole_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the same text in pieces that end with a line, unless it is too long."""
    held: list[str] = []
    num_held = 0
    for piece in pieces:
        end = piece.rfind("\n") + 1
        if end or num_held + len(piece) > _MAX_HELD_CHARS:
            end = end or len(piece)
            yield "".join([*held, piece[:end]])
            held, num_held = [], 0
            piece = piece[end:]  # noqa: PLW2901 - the rest of it
        if piece:
            held.append(piece)
            num_held += len(piece)
    if held:
        yield "".join(held)
