"""Files that the user named as output: written whole, or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from charlstm.errors import CharLSTMError


def write_file(path: Path, data: bytes) -> None:
    """Write a file in the place of what was there.

    Raises:
        CharLSTMError: naming the file.
    """
    with new_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its place when the block has ended without an error.

    Raises:
        CharLSTMError: naming the file.
    """
    if not path.name or path.is_dir():
        raise CharLSTMError(f"{path}: is a folder; name a file")
    aside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            yield file
        os.replace(aside, path)
    except OSError as error:
        raise CharLSTMError(f"{path}: can't be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
