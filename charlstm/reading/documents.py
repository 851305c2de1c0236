"""Splitting of files into documents: names of a list, poems, tunes, messages.

A document starts at the start of a line and includes its last line end. If each line is a
document, its LF marks the end. Other documents, and files of a corpus with several, get U+FDD0.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, repeat
from typing import Final

from charlstm.config import DOCUMENT_WORDS, document_pattern
from charlstm.reading.lines import cut_at_line_ends
from charlstm.reading.patterns import found_in

# EOS of documents that aren't lines: a Unicode noncharacter, reserved for a program's internal use.
# If a text contains it, `REPLACEMENT` takes its place.
EOS: Final = "\ufdd0"
REPLACEMENT: Final = "\ufffd"
EOS_NOTICE: Final = "U+FDD0, reserved for the end of a document, was replaced by U+FFFD"

# More than _LIST_LINES lines of at most _SHORT_LINE characters look like a list.
_LIST_LINES: Final = 200
_SHORT_LINE: Final = 40
# Longer lines are processed in parts; only the first part can start a document.
_MAX_HELD_CHARS: Final = 1 << 20


def split_documents(pieces: Iterable[str], how: str | None) -> Iterator[tuple[str, list[int]]]:
    """Find the document starts in a text.

    Args:
        how: `lines`: each line is a document; `blank-lines`: documents start after blank lines;
            anything else is a regular expression: documents start at lines that match; None: the
            text is one document. The first line always starts one.

    Yields:
        Pieces of the same text, each with its document starts.

    Raises:
        PatternError: if the regular expression takes too long.
    """
    if how is None:
        is_first = True
        for piece in pieces:
            if piece:
                yield piece, [0] if is_first else []
                is_first = False
        return
    # `before` is the previous line, None at the start; `held` is the beginning of a line in parts.
    at_line_start, before, held = True, None, ""
    num_lines = 0
    for piece in cut_at_line_ends(pieces, max_chars=_MAX_HELD_CHARS):
        starts = []
        position = 0
        lines = piece.split("\n")
        # The first line always starts a document; a continued line never does.
        searched = lines if at_line_start and before is not None else ["", *lines[1:]]
        for line, is_found in zip(lines, _found(how, searched, num_lines), strict=True):
            if at_line_start and position < len(piece) and _begins(how, line, before, is_found):
                starts.append(position)
            position += len(line) + 1
            # The last line is incomplete; the next piece continues it.
            at_line_start = position <= len(piece)
            # A line in parts is blank only if all its parts are.
            held = held if held.strip() else line
            if at_line_start:
                before, held = held, ""
        at_line_start = piece.endswith("\n")
        num_lines += len(lines) - 1
        yield piece, starts


def with_eos(documents: Iterable[tuple[str, list[int]]]) -> Iterator[tuple[str, list[int]]]:
    """Yield the same pieces with `EOS` after each document.

    Args:
        documents: the documents of one file, as yielded by `split_documents`.
    """
    is_open = False
    for piece, starts in documents:
        edges = [0, *starts, len(piece)]
        parts: list[str] = []
        begins: list[int] = []
        length = 0
        for number, (first, after) in enumerate(pairwise(edges)):
            if number:
                eos = EOS if is_open else ""
                begins.append(length + len(eos))
                parts.append(eos)
                length += len(eos)
                is_open = True
            parts.append(piece[first:after])
            length += after - first
        yield "".join(parts), begins
    if is_open:
        yield EOS, []


def documents_in(text: str, how: str | None) -> list[str]:
    """Return the documents of a text; see `split_documents`."""
    documents: list[str] = []
    for piece, starts in split_documents([text], how):
        first, *rest = [*starts, len(piece)]
        if documents:
            documents[-1] += piece[:first]
        documents += [piece[begin:end] for begin, end in pairwise([first, *rest])]
    return documents


def looks_like_list(sample: str) -> bool:
    """Return whether a text consists of many short, non-empty lines; its start is enough."""
    lines = sample.split("\n")
    return len(lines) > _LIST_LINES and all(0 < len(line) <= _SHORT_LINE for line in lines[:-1])


def _begins(how: str, line: str, before: str | None, is_found: bool) -> bool:  # noqa: FBT001
    """Return whether a document starts at a line; `before` is the previous line, if any."""
    if before is None:
        return True
    if how == "blank-lines":
        return not before.strip() and bool(line.strip())
    return is_found


def _found(how: str, lines: Sequence[str], num_before: int) -> Iterable[bool]:
    """Return for each line whether the pattern matches; True for rules without a pattern."""
    if how in DOCUMENT_WORDS:
        return repeat(True, len(lines))
    return found_in(document_pattern(how), lines, first_number=num_before + 1)
