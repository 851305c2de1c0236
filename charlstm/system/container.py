"""Safetensors files with one JSON header of charlstm's own, and a digest of all they hold.

The header is the value of the metadata key `charlstm`: JSON with sorted keys, as Python writes it.
Its `digest` is the SHA-256 of the other keys and of every tensor's name, type, shape and bytes:
safetensors checks a file's structure, not its values. The kind and size of a file, the length of
its header and the shapes of its tensors are checked before any data is read.
"""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from charlstm.errors import ContainerError

# A vocabulary of all code points takes 9 MB; parsed JSON can take 20 times its text.
MAX_HEADER_BYTES: Final = 16_000_000
# What safetensors adds for its table of tensors.
_TABLE_BYTES: Final = 1 << 20
# Empty ones take the most memory for their text; a history that fills a header has 200,000.
_MAX_LISTS: Final = 1_000_000
_KEY: Final = "charlstm"
_LENGTH_BYTES: Final = 8
_TYPES: Final = {
    "F32": np.float32,
    "F64": np.float64,
    "I64": np.int64,
    "U64": np.uint64,
    "I32": np.int32,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "I8": np.int8,
}

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The type and shape of a tensor in a file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=object))


@dataclass(frozen=True, kw_only=True)
class Container:
    """An open file whose structure is sound.

    Args:
        header: charlstm's own, without the digest.
    """

    header: dict[str, Any]
    digest: str
    file: Any

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The types and shapes by the tensors' names.

        Raises:
            ContainerError: when a type is none that charlstm writes.
        """
        return {name: _entry(self.file.get_slice(name)) for name in self.file.keys()}  # noqa: SIM118

    def read(self) -> dict[str, Array]:
        """Read all tensors.

        Raises:
            ContainerError: when the file isn't what was written.
        """
        arrays = {name: self.file.get_tensor(name) for name in self.entries}
        if _digest(self.header, arrays) != self.digest:
            raise ContainerError("is damaged: its digest doesn't match its content")
        return arrays


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Open a file and check its structure; never waits, not even for a pipe.

    Raises:
        ContainerError: when it isn't one of charlstm's, or is damaged as far as that shows it.
        OSError: when it can't be read.
    """
    _check_beginning(path)
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise ContainerError("is a safetensors file, but not charlstm's")
            header = _parse(text)
            digest = header.pop("digest", None)
            yield Container(header=header, digest=str(digest), file=file)
    except SafetensorError as error:
        raise ContainerError(f"is damaged or cut short: {error}") from error


def to_bytes(arrays: Mapping[str, Array], header: Mapping[str, Any]) -> bytes:
    """Return a file's content.

    Raises:
        ContainerError: when the header is longer than readers accept.
    """
    arrays = {
        name: value if value.flags.c_contiguous else value.copy() for name, value in arrays.items()
    }
    text = _dumps({**header, "digest": _digest(header, arrays)})
    # Safetensors escapes the quotes once more.
    if len(text) + text.count('"') + text.count("\\") > MAX_HEADER_BYTES - _TABLE_BYTES:
        raise ContainerError(
            f"a header of {len(text) / 1e6:.1f} MB is too long: name a folder instead of its files"
        )
    return save(arrays, {_KEY: text})


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a plain file without waiting and return its descriptor.

    Raises:
        ContainerError: when it is a pipe, a folder or a device.
        OSError: when it can't be read.
    """
    # Opening a FIFO otherwise waits for a writer.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ContainerError("is not a file")
    return descriptor


def _check_beginning(path: Path) -> None:
    with os.fdopen(open_regular(path), "rb") as file:
        head = file.read(_LENGTH_BYTES + 1)
        length = int.from_bytes(head[:_LENGTH_BYTES], "little")
        most = min(os.fstat(file.fileno()).st_size - _LENGTH_BYTES, MAX_HEADER_BYTES)
        if head[_LENGTH_BYTES:] != b"{" or length > most:
            raise ContainerError("is not a checkpoint, or is cut short")


def _entry(found: Any) -> Entry:
    kind, shape = found.get_dtype(), tuple(found.get_shape())
    if kind not in _TYPES:
        raise ContainerError(f"is damaged: it holds a tensor of type {kind}")
    return Entry(dtype=np.dtype(_TYPES[kind]), shape=shape)


def _digest(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(_dumps(header).encode("ascii"))
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _dumps(header: Mapping[str, Any]) -> str:
    return json.dumps(header, sort_keys=True, allow_nan=False, separators=(",", ":"))


def _parse(text: str) -> dict[str, Any]:
    """Parse a header, and refuse one that Python would have written in another way.

    So repeated keys, NaN, infinity and any changed byte are noticed.
    """
    if text.count("[") + text.count("{") > _MAX_LISTS:
        raise ContainerError("is damaged: its header has too many parts")
    try:
        header = json.loads(text)
        is_canonical = isinstance(header, dict) and _dumps(header) == text
    except (ValueError, TypeError, RecursionError) as error:
        raise ContainerError(f"is damaged: its header is not valid: {error}") from error
    if not is_canonical:
        raise ContainerError("is damaged: its header is not what charlstm writes")
    assert isinstance(header, dict)
    return header
