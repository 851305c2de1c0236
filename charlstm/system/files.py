"""Files that the user named as output: written whole, or not at all."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from charlstm.errors import CharLSTMError

RUN_LOCK: Final = "lock"  # in the folder of every run


def write_file(path: Path, data: bytes) -> None:
    """Write a file, replacing what was there.

    Raises:
        CharLSTMError: naming the file.
    """
    with new_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its place when the block has ended without an error.

    What is there and no plain file, such as a device or a pipe, is written into.

    Raises:
        CharLSTMError: naming the file.
    """
    if not path.name or path.is_dir():
        raise CharLSTMError(f"{path}: is a folder; name a file")
    try:
        path = path.resolve()  # where a link points to
        mode = path.stat().st_mode if path.exists() else None
        if mode is None or stat.S_ISREG(mode):
            _refuse_run_files(path)
            yield from _replacing(path, mode)
        else:
            with open(path, "wb") as file:
                yield file
    except OSError as error:
        raise CharLSTMError(f"{path}: can't be written: {error.strerror}") from error


def _replacing(path: Path, mode: int | None) -> Iterator[BinaryIO]:
    aside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            yield file
        if mode is not None:
            aside.chmod(stat.S_IMODE(mode))
        os.replace(aside, path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _refuse_run_files(path: Path) -> None:
    if (path.parent / RUN_LOCK).exists() and path.exists():
        raise CharLSTMError(f"{path}: belongs to a run; name another file")
