"""Safetensors files with charlstm's JSON header and a digest of the content.

The header is the value of the metadata key `charlstm`: canonical JSON with sorted keys. Its
`digest` is the SHA-256 of the other keys and of every tensor's name, dtype, shape and bytes, since
safetensors checks a file's structure but not its values. The file's type and size and the header's
length are checked before any tensor is read.
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

from charlstm.errors import TensorFileError

# A vocabulary of all code points takes 9 MB; parsed JSON can take 20 times the size of its text.
MAX_HEADER_BYTES: Final = 16_000_000
# Reserved for the tensor table of safetensors.
_TABLE_BYTES: Final = 1 << 20
# Bounds memory: empty lists take the most per byte of JSON; the longest history has 200,000 lists.
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
    """Dtype and shape of a tensor in a file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=object))


@dataclass(frozen=True, kw_only=True)
class TensorFile:
    """An open file with a valid structure.

    Args:
        header: charlstm's header without the digest.
    """

    header: dict[str, Any]
    digest: str
    file: Any

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Dtypes and shapes of the tensors, by name.

        Raises:
            TensorFileError: if a dtype is not supported.
        """
        return {name: _entry(self.file.get_slice(name)) for name in self.file.keys()}  # noqa: SIM118

    def read(self) -> dict[str, Array]:
        """Read all tensors.

        Raises:
            TensorFileError: if the digest doesn't match.
        """
        arrays = {name: self.file.get_tensor(name) for name in self.entries}
        if _digest(self.header, arrays) != self.digest:
            raise TensorFileError("is damaged: its digest doesn't match its content")
        return arrays


@contextlib.contextmanager
def open_tensor_file(path: Path) -> Iterator[TensorFile]:
    """Open a file and check its structure; never blocks, not even on a pipe.

    Raises:
        TensorFileError: if it isn't a charlstm file, or its structure is damaged.
        OSError: if it can't be read.
    """
    _check_beginning(path)
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise TensorFileError("is a safetensors file, but not from charlstm")
            header = _parse(text)
            digest = header.pop("digest", None)
            yield TensorFile(header=header, digest=str(digest), file=file)
    except SafetensorError as error:
        raise TensorFileError(f"is damaged or cut short: {error}") from error


def to_bytes(arrays: Mapping[str, Array], header: Mapping[str, Any]) -> bytes:
    """Return the content of a file with arrays and a header.

    Raises:
        TensorFileError: if the header is longer than readers accept.
    """
    arrays = {
        name: value if value.flags.c_contiguous else value.copy() for name, value in arrays.items()
    }
    text = _dumps({**header, "digest": _digest(header, arrays)})
    # Safetensors escapes quotes and backslashes again.
    if len(text) + text.count('"') + text.count("\\") > MAX_HEADER_BYTES - _TABLE_BYTES:
        raise TensorFileError(
            f"a header of {len(text) / 1e6:.1f} MB is too long: name a folder instead of its files"
        )
    return save(arrays, {_KEY: text})


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file without blocking and return its descriptor.

    Raises:
        TensorFileError: if it is a pipe, a folder or a device.
        OSError: if it can't be read.
    """
    # Without O_NONBLOCK, opening a FIFO waits for a writer.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TensorFileError("is not a file")
    return descriptor


def _check_beginning(path: Path) -> None:
    with os.fdopen(open_regular(path), "rb") as file:
        head = file.read(_LENGTH_BYTES + 1)
        length = int.from_bytes(head[:_LENGTH_BYTES], "little")
        max_length = min(os.fstat(file.fileno()).st_size - _LENGTH_BYTES, MAX_HEADER_BYTES)
        if head[_LENGTH_BYTES:] != b"{" or length > max_length:
            raise TensorFileError("is not a checkpoint, or is cut short")


def _entry(tensor: Any) -> Entry:
    dtype, shape = tensor.get_dtype(), tuple(tensor.get_shape())
    if dtype not in _TYPES:
        raise TensorFileError(f"is damaged: it contains a tensor of type {dtype}")
    return Entry(dtype=np.dtype(_TYPES[dtype]), shape=shape)


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
    """Parse a header and check that it is canonical JSON.

    This rejects repeated keys, NaN, infinity and any changed byte.

    Raises:
        TensorFileError: if it isn't.
    """
    if text.count("[") + text.count("{") > _MAX_LISTS:
        raise TensorFileError("is damaged: its header has too many parts")
    try:
        header = json.loads(text)
        is_canonical = isinstance(header, dict) and _dumps(header) == text
    except (ValueError, TypeError, RecursionError) as error:
        raise TensorFileError(f"is damaged: its header is not valid: {error}") from error
    if not is_canonical:
        raise TensorFileError("is damaged: its header is not what charlstm writes")
    assert isinstance(header, dict)
    return header
