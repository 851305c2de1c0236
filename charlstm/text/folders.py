"""The text files that a path stands for: itself, or what a folder holds."""

import codecs
import os
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Final

from charlstm.config import STDIN
from charlstm.errors import CorpusError
from charlstm.text.source import BYTE_ORDER_MARKS, unreadable

_SNIFFED_BYTES: Final = 1 << 16
# What a folder holds that is a run and no text.
_RUN_FILES: Final = frozenset({"best.safetensors", "last.safetensors", "events.jsonl"})


def files_in(path: str, include: Sequence[str]) -> tuple[list[str], str | None]:
    """The files that a path stands for: itself, or what a folder holds, in a fixed order.

    Hidden files and folders are skipped, and so are links to folders and charlstm's own runs.

    Args:
        include: patterns of file names, such as `*.py`; none takes every file that begins as text.

    Returns:
        The files, and a notice of those that were skipped.

    Raises:
        CorpusError: when a folder can't be read or has no such file.
    """
    if path == STDIN or not os.path.isdir(path):
        return [path], None

    def refuse(error: OSError) -> None:
        raise CorpusError(unreadable(str(error.filename), error)) from error

    found: list[str] = []
    for folder, folders, names in os.walk(path, onerror=refuse):
        if _RUN_FILES.intersection(names):
            folders[:] = []
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]
        found += [file for file in files if os.path.isfile(file)]
    if include:
        kept = [f for f in found if any(fnmatch(os.path.basename(f), p) for p in include)]
        if not kept:
            raise CorpusError(f"{path}: holds no file whose name matches {' or '.join(include)}")
        return kept, None
    kept = [file for file in found if _begins_as_text(file)]
    if not kept:
        raise CorpusError(f"{path}: a folder that holds no text file")
    if len(kept) == len(found):
        return kept, None
    skipped = next(file for file in found if file not in set(kept))
    return (
        kept,
        f"{path}: skipped {len(found) - len(kept)} files that are not text, such as {skipped}",
    )


def _begins_as_text(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            begin = file.read(_SNIFFED_BYTES)
    except OSError:
        return True  # and the reading says what is wrong
    if begin.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        return True
    # A compressed file's beginning may look like anything: it is asked for by its name only.
    return b"\0" not in begin and _is_utf8(begin)


def _is_utf8(data: bytes) -> bool:
    try:
        # What was cut off may end inside a character.
        codecs.getincrementaldecoder("utf-8")().decode(data, final=len(data) < _SNIFFED_BYTES)
    except UnicodeDecodeError:
        return False
    return True
