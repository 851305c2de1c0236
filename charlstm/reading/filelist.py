"""The files of a corpus, listed once for reading, checking and reporting."""

import codecs
import contextlib
import filecmp
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Final

from charlstm.config import IN_MEMORY, STDIN, ReadingConfig
from charlstm.errors import ConfigError, CorpusError
from charlstm.reading.source import BYTE_ORDER_MARKS, kind_of, unreadable
from charlstm.reading.tables import format_of
from charlstm.system import run_files

# Name at most this many skipped files in a message.
NUM_NAMED: Final = 10
_SNIFFED_BYTES: Final = 1 << 16
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o666
_BOTH_USES: Final = ", used for both training and evaluation"


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A skipped file of a folder, with the reason."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FileList:
    """Paths of files in reading order; `-` is stdin.

    Args:
        main: files of the text to be split.
        val, test: separate validation and test files, instead of a fraction of `main`.
        notices: notices about skipped and repeated files.
    """

    main: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @classmethod
    def of(cls, config: ReadingConfig) -> "FileList":
        """List the files of a configuration, including the text files of its folders.

        Raises:
            CorpusError: if a name is empty, or a folder can't be read or has no matching file.
            ConfigError: if --include is given without a folder.
        """
        named = [path for path in (*config.paths, config.val, config.test) if path is not None]
        if config.include and named and not any(map(os.path.isdir, named)):
            raise ConfigError("--include selects files in folders: name a folder")
        notices: list[str] = []
        skipped: list[Skipped] = []
        parts = []
        for paths in (config.paths, (config.val,), (config.test,)):
            part: list[str] = []
            for path in paths:
                if path not in (None, IN_MEMORY):
                    files, others, num_links = _files_in(path, config)
                    part += files
                    skipped += others
                    if others or num_links:
                        notice = f"{path}: skipped {_describe_skipped(path, others, num_links)}"
                        if len(others) > NUM_NAMED:
                            notice += "; corpus check lists all"
                        notices.append(notice)
            parts.append(tuple(part))
        main, val, test = parts
        listed = cls(main=main, val=val, test=test, skipped=tuple(skipped))
        return replace(listed, notices=(*notices, *listed._repeated(), *listed._copied()))

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.main, *self.val, *self.test)

    def mode(self) -> int:
        """Return the mode for derived files: readable by those who may read every file."""
        mode = _PUBLIC
        for path in self.all:
            try:
                mode &= _readers(os.stat(path)) if path != STDIN else _PUBLIC
            except (OSError, ValueError):
                mode &= _PRIVATE
        return mode | _PRIVATE

    def _repeated(self) -> Iterator[str]:
        """Yield a notice for each file that is read twice."""
        seen: dict[tuple[int, int], int] = {}
        for number, path in enumerate(self.all):
            try:
                status = os.stat(path)
            except (OSError, ValueError):
                continue  # reported when it is read
            previous = seen.setdefault((status.st_dev, status.st_ino), number)
            if previous != number:
                is_evaluated = previous < len(self.main) <= number
                yield f"{path}: is read twice" + (_BOTH_USES * is_evaluated)

    def _copied(self) -> Iterator[str]:
        """Yield a notice for each val or test file that is a copy of a main file."""
        evaluated = (*self.val, *self.test)
        by_size: dict[int, list[str]] = {}
        for path in self.main if evaluated else ():
            by_size.setdefault(_size(path), []).append(path)
        by_size.pop(0, None)
        for path in evaluated:
            for other in by_size.get(_size(path), ()):
                if _is_copy(path, other):
                    yield f"{path}: is a copy of {other}{_BOTH_USES}"
                    break


def _size(path: str) -> int:
    """Return the size of a regular file in bytes; 0 for anything else."""
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    return 0


def _is_copy(path: str, other: str) -> bool:
    with contextlib.suppress(OSError):
        return not os.path.samefile(path, other) and filecmp.cmp(path, other, shallow=False)
    return False


def _readers(status: os.stat_result) -> int:
    """Return the mode for a new file with the same readers, even if its group differs."""
    mode = status.st_mode
    is_same_group = not hasattr(os, "getegid") or status.st_gid == os.getegid()
    return mode if is_same_group else mode & (0o707 | (mode & 0o007) << 3)


def sources_of(config: ReadingConfig) -> Iterator[str]:
    """Yield the files of a configuration, or nothing if they can't be listed; lazily."""
    with contextlib.suppress(CorpusError):
        yield from FileList.of(config).all


def is_read_once(path: str | None) -> bool:
    """Return whether a path can be read only once: stdin, a pipe, a text in memory."""
    if path is None:
        return False
    if path == IN_MEMORY:
        return True
    with contextlib.suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return path == STDIN or path.startswith(("/dev/", "/proc/"))


def _files_in(path: str, config: ReadingConfig) -> tuple[list[str], list[Skipped], int]:
    """List the file at a path, or the files of a folder, in a fixed order.

    Hidden files and folders are skipped, as are links to folders, links to files of the same
    folder, and charlstm's own runs. The rest is filtered by `--include`; without it, by whether a
    file starts with text or, with `--column`, is named like a table.

    Returns:
        The files, the skipped files, and the number of skipped links.
    """
    if not path:
        raise CorpusError("the name of a text is empty")
    if path == STDIN or not os.path.isdir(path):
        return [path], [], 0

    def refuse(error: OSError) -> None:
        raise CorpusError(unreadable(str(error.filename), error)) from error

    found: list[str] = []
    for folder, folders, names in os.walk(path, onerror=refuse):
        if any(run_files.is_checkpoint(name) or name == run_files.EVENTS for name in names):
            folders[:] = []
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]
        found += [file for file in files if os.path.isfile(file) and not _is_lock(file)]
    if include := config.include:
        found = [f for f in found if any(fnmatch(os.path.basename(f), p) for p in include)]
        if not found:
            raise CorpusError(f"{path}: no file name matches {' or '.join(include)}")
    real_paths = {os.path.realpath(file) for file in found if not os.path.islink(file)}
    unique = [f for f in found if not (os.path.islink(f) and os.path.realpath(f) in real_paths)]
    reasons = {} if include else {file: _skip_reason(file, config) for file in unique}
    kept = [file for file in unique if reasons.get(file) is None]
    skipped = [Skipped(path=file, reason=reason) for file, reason in reasons.items() if reason]
    if not kept:
        listed = f": skipped {_describe_skipped(path, skipped, 0)}" if skipped else ""
        kind = "text file" if config.column is None else "table"
        raise CorpusError(f"{path}: folder contains no {kind}{listed}")
    return kept, skipped, len(found) - len(unique)


def _describe_skipped(folder: str, skipped: Sequence[Skipped], num_links: int) -> str:
    """Describe a folder's skipped files for a message."""
    parts = []
    if skipped:
        number = "1 file" if len(skipped) == 1 else f"{len(skipped)} files"
        names = [
            f"{os.path.relpath(file.path, folder)} ({file.reason})" for file in skipped[:NUM_NAMED]
        ]
        if more := len(skipped) - len(names):
            names.append(f"and {more} more")
        parts.append(f"{number}: {', '.join(names)}")
    if num_links:
        number = "1 link to a file" if num_links == 1 else f"{num_links} links to files"
        parts.append(f"{number} {'that is' if num_links == 1 else 'that are'} read anyway")
    return "; ".join(parts)


def _is_lock(path: str) -> bool:
    """Return whether a file is the lock of a run without checkpoints, perhaps the current run."""
    return os.path.basename(path) == run_files.LOCK and not os.path.getsize(path)


def _skip_reason(path: str, config: ReadingConfig) -> str | None:
    """Return why a file of a folder is skipped; None if it is read."""
    if config.column is not None and config.format is None and format_of(path) is None:
        return "not a table"
    try:
        with open(path, "rb") as file:
            begin = file.read(_SNIFFED_BYTES)
    except OSError:
        return None  # reported when it is read
    if begin.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        return None
    if b"\0" not in begin and _is_utf8(begin):
        return None
    return kind_of(begin) or ("binary" if b"\0" in begin else "not UTF-8")


def _is_utf8(data: bytes) -> bool:
    try:
        # A truncated sample may end inside a character.
        codecs.getincrementaldecoder("utf-8")().decode(data, final=len(data) < _SNIFFED_BYTES)
    except UnicodeDecodeError:
        return False
    return True
