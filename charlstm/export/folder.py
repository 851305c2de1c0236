"""Replacement of earlier exports of the same run, and of nothing else."""

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from charlstm.errors import CharLSTMError, TensorFileError
from charlstm.model.checkpoints import Checkpoint
from charlstm.system.files import is_leftover, refuse_inputs, remove_leftovers, replace_file
from charlstm.system.tensor_file import open_regular
from charlstm.system.terminal import escape_line

# Reads an export's identity from the start of a file; ValueError or None if it is not an export.
ReadIdentity = Callable[[bytes], Any]
_MAX_IDENTITY_BYTES: Final = 1 << 16


def identity_of(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """Return the data that identifies a run's exports."""
    return {"run": escape_line(name), "fingerprint": checkpoint.spec.fingerprint}


def require_same_run(
    file: Path | None, output: Path, identity: Mapping[str, Any], read: ReadIdentity
) -> None:
    """Raise an error unless the output is an earlier export of the same run.

    Args:
        file: the file with the export's identity; None if the output can't be an export.
        output: file or folder to replace.

    Raises:
        CharLSTMError: if the output is something else, or another run's export.
    """
    found = None
    if file is not None:
        with (
            contextlib.suppress(OSError, TensorFileError, ValueError, RecursionError),
            os.fdopen(open_regular(file), "rb") as opened,
        ):
            found = read(opened.read(_MAX_IDENTITY_BYTES))
    if not isinstance(found, dict):
        raise CharLSTMError(f"{output}: is not an export of charlstm; choose a new name")
    if found | dict(identity) != found:
        raise CharLSTMError(f"{output}: is an export of another run; choose a new name")


def write_folder(
    folder: Path,
    contents: Mapping[str, bytes],
    *,
    identity: Mapping[str, Any],
    read: ReadIdentity,
    inputs: Iterable[str | Path],
) -> None:
    """Write all files of an export into a folder, or none.

    Args:
        contents: file name -> data; the last file holds the export's identity.
        inputs: files that must not be overwritten.

    Raises:
        CharLSTMError: if the folder can't be written, or contains anything but an earlier export of
            the same run.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir() if not is_leftover(path.name)}
    except OSError as error:
        raise CharLSTMError(f"{folder}: can't be created: {error.strerror}") from error
    if names:
        identity_file = folder / [*contents][-1] if names <= contents.keys() else None
        require_same_run(identity_file, folder, identity, read)
    inputs = tuple(inputs)
    for name in contents:
        refuse_inputs(folder / name, inputs)
    try:
        # Partial files of a killed export would get published.
        remove_leftovers(folder)
        with contextlib.ExitStack() as stack:
            # Sync all files before any is renamed; the last one in `contents` is renamed first, and
            # identifies the folder if the export is killed in between.
            for name, data in contents.items():
                file = stack.enter_context(replace_file(folder / name))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise CharLSTMError(f"{folder}: can't be written: {error.strerror}") from error
