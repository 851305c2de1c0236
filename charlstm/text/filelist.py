"""The files of a corpus, found once: those that are read, checked and reported are the same."""

import codecs
import contextlib
import filecmp
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Final

from charlstm.config import IN_MEMORY, STDIN, CorpusConfig
from charlstm.errors import ConfigError, CorpusError
from charlstm.system import layout
from charlstm.text.source import BYTE_ORDER_MARKS, kind_of, unreadable
from charlstm.text.tables import format_of

# Of the files of a folder that are skipped, so many are named in a message.
NUM_NAMED: Final = 10
_SNIFFED_BYTES: Final = 1 << 16
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o666


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file of a folder that isn't read, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FileList:
    """Paths of files in their order, `-` for stdin.

    Args:
        main: the text that is split.
        val: instead of a fraction of it; empty for none. `test` likewise.
        notices: what was skipped or found twice, by the path that it is reported with.
        skipped: files of folders that are not read.
    """

    main: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    notices: dict[str, list[str]] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()

    @classmethod
    def of(cls, config: CorpusConfig) -> "FileList":
        """Find the files that a configuration names; folders stand for the texts in them.

        Raises:
            CorpusError: when a name is empty, or a folder can't be read or has no such file.
            ConfigError: when files are to be chosen in folders, and there is none.
        """
        named = [path for path in (*config.paths, config.val, config.test) if path is not None]
        if config.include and named and not any(map(os.path.isdir, named)):
            raise ConfigError("--include chooses files in folders: name a folder")
        notices: dict[str, list[str]] = {}
        skipped: list[Skipped] = []
        parts = []
        for paths in (config.paths, (config.val,), (config.test,)):
            found: list[str] = []
            for path in paths:
                if path not in (None, IN_MEMORY):
                    files, others, num_links = _files_in(path, config)
                    found += files
                    skipped += others
                    if others or num_links:
                        notice = f"{path}: skipped {_named(path, others, num_links)}"
                        if len(others) > NUM_NAMED:
                            notice += "; corpus check lists all"
                        notices.setdefault(files[0], []).append(notice)
            parts.append(tuple(found))
        main, val, test = parts
        listed = cls(main=main, val=val, test=test, notices=notices, skipped=tuple(skipped))
        for path, notice in (*listed._repeated(), *listed._copied()):
            notices.setdefault(path, []).append(notice)
        return listed

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.main, *self.val, *self.test)

    def mode(self) -> int:
        """Who may read what is made of these texts: those who may read every one of them."""
        mode = _PUBLIC
        for path in self.all:
            try:
                mode &= _readers(os.stat(path)) if path != STDIN else _PUBLIC
            except (OSError, ValueError):
                mode &= _PRIVATE
        return mode | _PRIVATE

    def _repeated(self) -> Iterator[tuple[str, str]]:
        """Files that were named twice, or for training and for its score."""
        seen: dict[tuple[int, int], int] = {}
        for number, path in enumerate(self.all):
            try:
                status = os.stat(path)
            except (OSError, ValueError):
                continue  # and the reading says what is wrong
            before = seen.setdefault((status.st_dev, status.st_ino), number)
            if before != number:
                is_scored = before < len(self.main) <= number
                yield path, f"{path}: is read twice" + (", to learn and to score" * is_scored)

    def _copied(self) -> Iterator[tuple[str, str]]:
        """Files for the score of which the training text holds a copy."""
        scored = (*self.val, *self.test)
        learned: dict[int, list[str]] = {}
        for path in self.main if scored else ():
            learned.setdefault(_size(path), []).append(path)
        learned.pop(0, None)
        for path in scored:
            for other in learned.get(_size(path), ()):
                if _is_copy(path, other):
                    yield path, f"{path}: is a copy of {other}, to learn and to score"
                    break


def _size(path: str) -> int:
    """Bytes of a plain file; 0 for anything else."""
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    return 0


def _is_copy(path: str, other: str) -> bool:
    with contextlib.suppress(OSError):
        return not os.path.samefile(path, other) and filecmp.cmp(path, other, shallow=False)
    return False


def _readers(status: os.stat_result) -> int:
    """Who may read a file, as the mode of another one, whose group may not be the same."""
    mode = status.st_mode
    is_same_group = not hasattr(os, "getegid") or status.st_gid == os.getegid()
    return mode if is_same_group else mode & (0o707 | (mode & 0o007) << 3)


def sources_of(config: CorpusConfig) -> Iterator[str]:
    """The files that a configuration names, as far as they are there; found when asked for."""
    with contextlib.suppress(CorpusError):
        yield from FileList.of(config).all


def is_fleeting(path: str | None) -> bool:
    """Whether a path can be read only once: stdin, a pipe, by whatever name."""
    if path is None:
        return False
    if path == IN_MEMORY:
        return True
    with contextlib.suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return path == STDIN or path.startswith(("/dev/", "/proc/"))


def _files_in(path: str, config: CorpusConfig) -> tuple[list[str], list[Skipped], int]:
    """The files that a path stands for: itself, or what a folder holds, in a fixed order.

    Hidden files and folders are skipped, and so are links to folders, links to files that the
    folder holds anyway, and charlstm's own runs. Of the others, those are taken that match
    `--include`; without it those that begin as text, for `--column` those named as tables.

    Returns:
        The files, those that were skipped, with the reason, and the number of skipped links.
    """
    if not path:
        raise CorpusError("the name of a text is empty")
    if path == STDIN or not os.path.isdir(path):
        return [path], [], 0

    def refuse(error: OSError) -> None:
        raise CorpusError(unreadable(str(error.filename), error)) from error

    found: list[str] = []
    for folder, folders, names in os.walk(path, onerror=refuse):
        if any(layout.is_checkpoint(name) or name == layout.EVENTS for name in names):
            folders[:] = []
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]
        found += [file for file in files if os.path.isfile(file) and not _is_lock(file)]
    if include := config.include:
        found = [f for f in found if any(fnmatch(os.path.basename(f), p) for p in include)]
        if not found:
            raise CorpusError(f"{path}: holds no file whose name matches {' or '.join(include)}")
    own = {os.path.realpath(file) for file in found if not os.path.islink(file)}
    unique = [f for f in found if not (os.path.islink(f) and os.path.realpath(f) in own)]
    reasons = {} if include else {file: _why_not_read(file, config) for file in unique}
    kept = [file for file in unique if reasons.get(file) is None]
    skipped = [Skipped(path=file, reason=reason) for file, reason in reasons.items() if reason]
    if not kept:
        named = f": skipped {_named(path, skipped, 0)}" if skipped else ""
        what = "text file" if config.column is None else "table"
        raise CorpusError(f"{path}: a folder that holds no {what}{named}")
    return kept, skipped, len(found) - len(unique)


def _named(folder: str, skipped: Sequence[Skipped], num_links: int) -> str:
    """What of a folder isn't read, in words."""
    parts = []
    if skipped:
        number = "1 file" if len(skipped) == 1 else f"{len(skipped)} files"
        names = [
            f"{os.path.relpath(one.path, folder)} ({one.reason})" for one in skipped[:NUM_NAMED]
        ]
        if more := len(skipped) - len(names):
            names.append(f"and {more} more")
        parts.append(f"{number}: {', '.join(names)}")
    if num_links:
        number = "1 link to a file" if num_links == 1 else f"{num_links} links to files"
        parts.append(f"{number} that {'is' if num_links == 1 else 'are'} read anyway")
    return "; ".join(parts)


def _is_lock(path: str) -> bool:
    """Whether a file is the lock of a run that was not saved yet, perhaps this very one."""
    return os.path.basename(path) == layout.LOCK and not os.path.getsize(path)


def _why_not_read(path: str, config: CorpusConfig) -> str | None:
    """Return why a file of a folder isn't read; None for one that is."""
    if config.column is not None and config.format is None and format_of(path) is None:
        return "not a table"
    try:
        with open(path, "rb") as file:
            begin = file.read(_SNIFFED_BYTES)
    except OSError:
        return None  # and the reading says what is wrong
    if begin.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        return None
    if b"\0" not in begin and _is_utf8(begin):
        return None
    # Its beginning may look like anything: it is asked for by its name only.
    what = kind_of(begin)
    return what or ("binary" if b"\0" in begin else "not UTF-8")


def _is_utf8(data: bytes) -> bool:
    try:
        # What was cut off may end inside a character.
        codecs.getincrementaldecoder("utf-8")().decode(data, final=len(data) < _SNIFFED_BYTES)
    except UnicodeDecodeError:
        return False
    return True
