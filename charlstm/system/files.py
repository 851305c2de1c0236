"""Files written whole or not at all; output that goes where the user sends it.

`replace_file` is how everything of charlstm's own is written: under a new name, forced to the disk,
then renamed. `open_output` is for files that the user named: they are opened before the work, so
that what can't be written is refused before it, and take their place after it.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePath
from typing import BinaryIO, Final

from charlstm.errors import CharLSTMError
from charlstm.system import layout

# Short, so that any file's folder has room for it; no other program's files look like this.
_TEMPORARY: Final = re.compile(r"\.charlstm-[0-9a-f]{16}\.tmp")
_DEFAULT_MODE: Final = 0o666
# Windows refuses to replace a file while somebody reads it.
_REPLACE_TRIES: Final = 50
_REPLACE_PAUSE_SECONDS: Final = 0.1
# A descriptor by its name: writing to it appends to whatever it is, as with `cat`.
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/(?:self|\d+|thread-self))/fd/(\d+)")
_STANDARD: Final = {"/dev/stdout": 1, "/dev/stderr": 2}


@contextlib.contextmanager
def replace_file(path: Path, *, mode: int = _DEFAULT_MODE) -> Iterator[BinaryIO]:
    """A new file that replaces `path` when the block has ended without an error.

    Durable: after that either the old or the new content is found, whatever happens.

    Args:
        mode: of the new file, less the umask; never more than what was there before.

    Raises:
        OSError: when that fails; what was there before is intact.
    """
    before = None
    with contextlib.suppress(OSError):
        before = stat.S_IMODE(path.lstat().st_mode)
    temporary = path.parent / f".charlstm-{secrets.token_hex(8)}.tmp"
    try:
        with _open_new(temporary, mode=mode if before is None else mode & before) as file:
            if before is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode & before)  # whatever the umask
            yield file
            file.flush()
            os.fsync(file.fileno())
        _rename(temporary, path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _open_new(path: Path, *, mode: int) -> BinaryIO:
    """A file that didn't exist, not even as a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flag("O_NOFOLLOW") | _flag("O_BINARY")
    return os.fdopen(os.open(path, flags, mode), "wb")


def open_to_append(path: Path, *, mode: int = _DEFAULT_MODE) -> BinaryIO:
    """A plain file to append to, read from as well; no link, and nothing that would wait.

    Raises:
        OSError: when it is something else.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _flag("O_BINARY")
    flags |= _flag("O_NOFOLLOW") | _flag("O_NONBLOCK")
    descriptor = os.open(path, flags, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "is not a file")
    return os.fdopen(descriptor, "a+b")


def _rename(source: Path, target: Path) -> None:
    """Replace a file by another one of the same folder."""
    for _ in range(_REPLACE_TRIES if os.name == "nt" else 0):
        with contextlib.suppress(PermissionError):
            os.replace(source, target)
            return
        time.sleep(_REPLACE_PAUSE_SECONDS)
    os.replace(source, target)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_leftover(name: str) -> bool:
    """Whether a file is what a killed writer left half-written."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder: Path, *, older_than_seconds: float = 0.0) -> None:
    """Remove what killed writers left half-written, and nothing else.

    Raises:
        OSError: when that can't be done.
    """
    for file in folder.iterdir():
        # Another process may be writing a file beside a run's checkpoints, and be done by now.
        with contextlib.suppress(FileNotFoundError):
            if is_leftover(file.name) and time.time() - file.lstat().st_mtime >= older_than_seconds:
                file.unlink()


@contextlib.contextmanager
def open_output(path: Path, *, inputs: Iterable[str | Path] = ()) -> Iterator[BinaryIO]:
    """A file that the user named, opened before the work and in its place after it.

    A descriptor (/dev/stdout, /dev/fd/3) and what is no plain file (a pipe, a device) are written
    into. A file is replaced whole; where that can't be, since its folder is read-only or it is a
    mount point, it is written over at the end.

    Args:
        inputs: what the same command reads; none of them may be written.

    Raises:
        CharLSTMError: naming the file.
        BrokenPipeError: when nobody reads the pipe any more.
    """
    try:
        with _opened(path, inputs) as file:
            yield file
    except BrokenPipeError:
        raise  # whoever reads has had enough
    except OSError as error:
        raise CharLSTMError(f"{path}: can't be written: {error.strerror or error}") from error


def _opened(path: Path, inputs: Iterable[str | Path]) -> AbstractContextManager[BinaryIO]:
    descriptor = _descriptor_of(path)
    if descriptor is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return os.fdopen(os.dup(descriptor), "wb")
    if not path.name or path.is_dir():
        raise CharLSTMError(f"{path}: is a folder; name a file")
    target = Path(os.path.realpath(path))  # where a link points to
    try:
        status = target.stat()
    except FileNotFoundError:
        _refuse_run_file(path, target)
        return replace_file(target)
    refuse_inputs(path, inputs)
    _refuse_run_file(path, target)
    if not stat.S_ISREG(status.st_mode):
        return open(target, "wb")
    return _rewritten(target)


@contextlib.contextmanager
def _rewritten(target: Path) -> Iterator[BinaryIO]:
    """An existing file, whose new content is kept aside until it is whole."""
    os.close(os.open(target, os.O_WRONLY))  # refused now, if at all
    with tempfile.TemporaryFile() as aside:
        yield aside
        aside.seek(0)
        try:
            with replace_file(target) as file:
                shutil.copyfileobj(aside, file)
        except OSError:
            aside.seek(0)
            with open(target, "r+b") as file:
                shutil.copyfileobj(aside, file)
                file.truncate()


def _descriptor_of(path: PurePath) -> int | None:
    name = path.as_posix()  # Windows has no such files, but `-` stands for one of them
    if name in _STANDARD:
        return _STANDARD[name]
    match = _DESCRIPTOR.fullmatch(name)
    return None if match is None else int(match[1])


def refuse_inputs(path: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to write over a file that the same command reads.

    Raises:
        CharLSTMError: naming the file.
    """
    if not path.exists():
        return
    for name in inputs:
        with contextlib.suppress(OSError, ValueError):
            if path.samefile(name):
                raise CharLSTMError(f"{path}: is read by the same command; name another file")


def _refuse_run_file(path: Path, target: Path) -> None:
    """Refuse to write over a file of a store."""
    is_of_run = layout.is_run_file(target.name) and (
        target.exists() or (target.parent / layout.LOCK).exists()
    )
    if is_of_run:
        raise CharLSTMError(f"{path}: belongs to a store of runs; name another file")


def _flag(name: str) -> int:
    """A flag of `os.open` that not every system has."""
    return int(getattr(os, name, 0))
