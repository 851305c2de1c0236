"""Files that the user named as output."""

import os
from pathlib import Path

from charlstm.errors import CharLSTMError


def write_file(path: Path, data: bytes) -> None:
    """Write a file in the place of what was there, or not at all.

    Raises:
        CharLSTMError: naming the file.
    """
    if not path.name or path.is_dir():
        raise CharLSTMError(f"{path}: is a folder; name a file")
    aside = path.with_name(f".{path.name}.tmp")
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    except OSError as error:
        raise CharLSTMError(f"{path}: can't be written: {error.strerror}") from error
