"""Atomic file writes.

`replace_file` is for charlstm's own files: it writes a temporary file, syncs it to disk and renames
it. `open_output` is for files named by the user: it opens them before the work starts, so that
errors show early, and writes them at the end.
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
from charlstm.system import run_files

# Short, to stay below limits on path lengths; no other program uses such names.
_TEMPORARY: Final = re.compile(r"\.charlstm-[0-9a-f]{16}\.tmp")
_DEFAULT_MODE: Final = 0o666
# Windows refuses to replace a file while it is open.
_REPLACE_TRIES: Final = 50
_REPLACE_PAUSE_SECONDS: Final = 0.1
# Names of file descriptors, to which output is appended, as with `cat`.
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/(?:self|\d+|thread-self))/fd/(\d+)")
_STANDARD: Final = {"/dev/stdout": 1, "/dev/stderr": 2}


@contextlib.contextmanager
def replace_file(path: Path, *, mode: int = _DEFAULT_MODE) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends without an error.

    Atomic and durable: even after a crash, `path` has either the old or the new content.

    Args:
        mode: permissions of the new file, before the umask; limited to those of an existing file.

    Raises:
        OSError: if that fails; an existing file is intact.
    """
    old_mode = None
    with contextlib.suppress(OSError):
        old_mode = stat.S_IMODE(path.lstat().st_mode)
    temporary = path.parent / f".charlstm-{secrets.token_hex(8)}.tmp"
    try:
        with _open_new(temporary, mode=mode if old_mode is None else mode & old_mode) as file:
            if old_mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode & old_mode)  # regardless of the umask
            yield file
            file.flush()
            os.fsync(file.fileno())
        _rename(temporary, path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _open_new(path: Path, *, mode: int) -> BinaryIO:
    """Create a file that must not exist, not even as a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flag("O_NOFOLLOW") | _flag("O_BINARY")
    return os.fdopen(os.open(path, flags, mode), "wb")


def open_to_append(path: Path, *, mode: int = _DEFAULT_MODE) -> BinaryIO:
    """Open a regular file for appending and reading, without following links or blocking.

    Raises:
        OSError: if it isn't a regular file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _flag("O_BINARY")
    flags |= _flag("O_NOFOLLOW") | _flag("O_NONBLOCK")
    descriptor = os.open(path, flags, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "is not a file")
    return os.fdopen(descriptor, "a+b")


def _rename(source: Path, target: Path) -> None:
    """Rename a file within a folder, replacing an existing one."""
    for _ in range(_REPLACE_TRIES if os.name == "nt" else 0):
        with contextlib.suppress(PermissionError):
            os.replace(source, target)
            return
        time.sleep(_REPLACE_PAUSE_SECONDS)
    os.replace(source, target)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; not available on Windows."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_leftover(name: str) -> bool:
    """Return whether a file is a temporary file of a killed writer."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of killed writers.

    Raises:
        OSError: if that fails.
    """
    for file in folder.iterdir():
        if is_leftover(file.name):
            # Another process may have renamed its temporary file in the meantime.
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def open_output(path: Path, *, inputs: Iterable[str | Path] = ()) -> Iterator[BinaryIO]:
    """Open an output file named by the user, before the work starts.

    Descriptors (/dev/stdout, /dev/fd/3), pipes and devices are written directly. A regular file is
    replaced at the end; if that is impossible (read-only folder, mount point), it is overwritten.

    Args:
        inputs: files that the same command reads; they must not be written.

    Raises:
        CharLSTMError: naming the file.
        BrokenPipeError: if the pipe's reader has closed it.
    """
    try:
        with _opened(path, inputs) as file:
            yield file
    except BrokenPipeError:
        raise  # the reader has closed the pipe
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
    target = Path(os.path.realpath(path))  # follow links
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
    """Open an existing file whose new content is buffered until it is complete."""
    os.close(os.open(target, os.O_WRONLY))  # check permissions early
    with tempfile.TemporaryFile() as buffer:
        yield buffer
        buffer.seek(0)
        try:
            with replace_file(target) as file:
                shutil.copyfileobj(buffer, file)
        except OSError:
            buffer.seek(0)
            with open(target, "r+b") as file:
                shutil.copyfileobj(buffer, file)
                file.truncate()


def _descriptor_of(path: PurePath) -> int | None:
    name = path.as_posix()  # `-` also means /dev/stdout on Windows
    if name in _STANDARD:
        return _STANDARD[name]
    match = _DESCRIPTOR.fullmatch(name)
    return None if match is None else int(match[1])


def refuse_inputs(path: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to overwrite a file that the same command reads.

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
    """Refuse to overwrite a file of a run."""
    is_of_run = run_files.is_run_file(target.name) and (
        target.exists() or (target.parent / run_files.LOCK).exists()
    )
    if is_of_run:
        raise CharLSTMError(f"{path}: belongs to a store of runs; name another file")


def _flag(name: str) -> int:
    """Return a flag of `os.open`; 0 on systems without it."""
    return int(getattr(os, name, 0))
