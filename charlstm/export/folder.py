"""Exports replace nothing but an earlier export of the same run."""

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from charlstm.errors import CharLSTMError, ContainerError
from charlstm.model.checkpoints import Checkpoint
from charlstm.system.container import open_regular
from charlstm.system.files import is_leftover, refuse_inputs, remove_leftovers, replace_file
from charlstm.system.terminal import escape_line

# From the beginning of a file: what an earlier export says of itself; ValueError where it is none.
ReadIdentity = Callable[[bytes], Any]
_MAX_IDENTITY_BYTES: Final = 1 << 16


def identity_of(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """Return what tells the exports of a run from those of others."""
    return {"run": escape_line(name), "fingerprint": checkpoint.spec.fingerprint}


def require_same_run(
    file: Path | None, output: Path, identity: Mapping[str, Any], read: ReadIdentity
) -> None:
    """Refuse to replace anything but an earlier export of the same run.

    Args:
        file: what an export is known by, or None where something else is there.
        output: named in the message.

    Raises:
        CharLSTMError: naming the output.
    """
    found = None
    if file is not None:
        with (
            contextlib.suppress(OSError, ContainerError, ValueError, RecursionError),
            os.fdopen(open_regular(file), "rb") as opened,
        ):
            found = read(opened.read(_MAX_IDENTITY_BYTES))
    if not isinstance(found, dict):
        raise CharLSTMError(f"{output}: holds something else; choose a new name")
    if found | dict(identity) != found:
        raise CharLSTMError(f"{output}: holds another run's model; choose a new name")


def write_folder(
    folder: Path,
    contents: Mapping[str, bytes],
    *,
    identity: Mapping[str, Any],
    read: ReadIdentity,
    inputs: Iterable[str | Path],
) -> None:
    """Write files into a folder of their own, all of them or none.

    Args:
        contents: by name; the last file is what an export is known by.
        inputs: what must not be written over.

    Raises:
        CharLSTMError: when the folder can't be written, or holds other files, or another run's
            model.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir() if not is_leftover(path.name)}
    except OSError as error:
        raise CharLSTMError(f"{folder}: can't be made: {error.strerror}") from error
    if names:
        known_by = folder / [*contents][-1] if names <= contents.keys() else None
        require_same_run(known_by, folder, identity, read)
    inputs = tuple(inputs)
    for name in contents:
        refuse_inputs(folder / name, inputs)
    try:
        # What a killed export left half-written would be published.
        remove_leftovers(folder)
        with contextlib.ExitStack() as stack:
            # All of them are on the disk before the first is renamed, the one in `contents` last:
            # by it a folder is known again that a killed export left.
            for name, data in contents.items():
                file = stack.enter_context(replace_file(folder / name))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise CharLSTMError(f"{folder}: can't be written: {error.strerror}") from error
