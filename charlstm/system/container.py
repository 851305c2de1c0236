"""Safetensors files with one JSON header of charlstm's own and a digest over the whole file.

The header stands in the metadata under the key `charlstm`. Its digest is SHA-256 over the whole
file with the digest's own characters as zeros: safetensors checks a file's structure, not its
values. A file is opened, its table of arrays checked and compared with its size before any of its
data is read, so that nothing of a wrong size is ever taken into memory.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from charlstm.errors import ContainerError

# A vocabulary of all code points takes 9 MB; parsed JSON can take 20 times its text.
MAX_HEADER_BYTES: Final = 16_000_000
# Empty ones take the most memory for their text; a history that fills a header has 200,000.
_MAX_LISTS: Final = 1_000_000
NO_DIGEST: Final = "0" * 64

_KEY: Final = "charlstm"
# Inside the outer JSON string the inner quotes are escaped once. A quote inside one of the inner
# strings would be escaped twice, so no name or vocabulary can imitate this.
_DIGEST: Final = re.compile(rb'\\"digest\\":\\"([0-9a-f]{64})\\"')
_LENGTH_BYTES: Final = 8
_MAX_ARRAYS: Final = 10_000
_MAX_DIMENSIONS: Final = 8
_MAX_LENGTH: Final = 1 << 48
_PIECE_BYTES: Final = 1 << 20
# By safetensors' names, the widest first, as it orders arrays.
_TYPES: Final = {
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
    "F32": "<f4",
    "U32": "<u4",
    "I32": "<i4",
    "U16": "<u2",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where an array lies in the data, and what it is."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int


@dataclass(frozen=True, kw_only=True)
class Container:
    """An open file whose beginning is sound.

    Args:
        header: charlstm's own.
        entries: by the arrays' names.
        digest_place: of the digest's characters in the file.
        first: where the data begins.
    """

    file: BinaryIO
    header: dict[str, Any]
    entries: dict[str, Entry]
    digest_place: slice
    first: int

    def check_digest(self) -> None:
        """Read the whole file.

        Raises:
            ContainerError: when it isn't what was written.
        """
        self.file.seek(0)
        begin = bytearray(self.file.read(self.first))
        written = bytes(begin[self.digest_place])
        begin[self.digest_place] = NO_DIGEST.encode("ascii")
        digest = hashlib.sha256(begin)
        while piece := self.file.read(_PIECE_BYTES):
            digest.update(piece)
        if digest.hexdigest().encode("ascii") != written:
            raise ContainerError("is damaged: its digest doesn't match its content")

    def read(self, name: str) -> Array:
        """An array in memory.

        Raises:
            ContainerError: when the file has become shorter.
        """
        entry = self.entries[name]
        array = np.empty(entry.shape, entry.dtype)
        content = array.reshape(-1).view(np.uint8)
        self.file.seek(self.first + entry.begin)
        if self.file.readinto(content) != content.nbytes:  # type: ignore[attr-defined]
            raise ContainerError("is cut short")
        return array

    def mapped(self, name: str) -> Array:
        """An array in the file, read where it is used; a copy where it is written to."""
        entry = self.entries[name]
        if 0 in entry.shape:
            return np.zeros(entry.shape, entry.dtype)
        return np.memmap(self.file, entry.dtype, "c", self.first + entry.begin, entry.shape)


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Open a file and check its beginning; never waits, not even for a pipe.

    Raises:
        ContainerError: when it isn't one of charlstm's, or is damaged as far as that shows it.
        OSError: when it can't be read.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ContainerError("is not a file")
        head = file.read(_LENGTH_BYTES + 1)
        length = int.from_bytes(head[:_LENGTH_BYTES], "little")
        if head[_LENGTH_BYTES:] != b"{" or length > min(
            status.st_size - _LENGTH_BYTES, MAX_HEADER_BYTES
        ):
            raise ContainerError("is not a checkpoint, or is cut short")
        begin = head + file.read(length - 1)
        table = _parse(begin[_LENGTH_BYTES:])
        metadata = table.pop("__metadata__", None)
        entries, num_bytes = _entries(table)
        if status.st_size != len(begin) + num_bytes:
            raise ContainerError(
                f"is damaged: it is {status.st_size:,} bytes long, not what its header says"
            )
        if not isinstance(metadata, dict) or not isinstance(metadata.get(_KEY), str):
            raise ContainerError("is a safetensors file, but not charlstm's")
        yield Container(
            file=file,
            header=_parse(metadata[_KEY].encode("utf-8", "surrogatepass")),
            entries=entries,
            digest_place=_digest_place(begin),
            first=len(begin),
        )


def metadata_of(header: Mapping[str, Any]) -> dict[str, str]:
    """Safetensors' metadata for a header, its digest still missing.

    Raises:
        ContainerError: when it is longer than readers accept.
    """
    text = json.dumps(
        {**header, "digest": NO_DIGEST}, sort_keys=True, allow_nan=False, separators=(",", ":")
    )
    # The quotes in it are escaped once more.
    if len(text) + text.count('"') + text.count("\\") > MAX_HEADER_BYTES - _PIECE_BYTES:
        raise ContainerError(
            f"a header of {len(text) / 1e6:.1f} MB is too long: name a folder instead of its files"
        )
    return {_KEY: text}


def sealed(data: bytes) -> bytes:
    """A file's content with its digest put in."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    place = _digest_place(data[: _LENGTH_BYTES + length])
    digest = hashlib.sha256(data).hexdigest().encode("ascii")
    return data[: place.start] + digest + data[place.stop :]


def write_container(file: BinaryIO, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write arrays piece by piece, so that memory stays bounded; they are read twice."""
    names = {dtype: name for name, dtype in _TYPES.items()}
    types = {name: names[array.dtype.newbyteorder("<").str] for name, array in arrays.items()}
    ranks = list(_TYPES)
    ordered = sorted(arrays, key=lambda name: (ranks.index(types[name]), name))
    table: dict[str, Any] = {"__metadata__": metadata_of(header)}
    offset = 0
    for name in ordered:
        end = offset + arrays[name].nbytes
        table[name] = {
            "dtype": types[name],
            "shape": list(arrays[name].shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(table, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _LENGTH_BYTES)
    begin = len(text).to_bytes(_LENGTH_BYTES, "little") + text
    digest = hashlib.sha256(begin)
    for name in ordered:
        for piece in _pieces(arrays[name]):
            digest.update(piece)
    place = _digest_place(begin)
    file.write(begin[: place.start] + digest.hexdigest().encode("ascii") + begin[place.stop :])
    for name in ordered:
        for piece in _pieces(arrays[name]):
            file.write(piece)


def _pieces(array: Array) -> Iterator[bytes]:
    flat = array.reshape(-1)
    for first in range(0, len(flat), _PIECE_BYTES):
        yield flat[first : first + _PIECE_BYTES].tobytes()


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a FIFO otherwise waits for somebody to write into it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _entries(table: Mapping[str, Any]) -> tuple[dict[str, Entry], int]:
    """The arrays of a file's table, which lie one after another, and their length in bytes."""
    if len(table) > _MAX_ARRAYS:
        raise ContainerError(f"is damaged: it lists {len(table):,} arrays")
    found = {}
    end = 0
    try:
        for name, entry in sorted(table.items(), key=lambda one: one[1]["data_offsets"]):
            dtype = np.dtype(_TYPES[entry["dtype"]])
            shape, (begin, after) = entry["shape"], entry["data_offsets"]
            numbers = [begin, after, *shape]
            if len(shape) > _MAX_DIMENSIONS or not all(
                type(number) is int and 0 <= number <= _MAX_LENGTH for number in numbers
            ):
                raise ValueError(f"{name} has an impossible shape")
            if begin != end or after - begin != dtype.itemsize * math.prod(shape):
                raise ValueError(f"{name} doesn't lie where it should")
            found[name] = Entry(dtype=dtype, shape=tuple(shape), begin=begin)
            end = after
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ContainerError(f"is damaged: its table of arrays makes no sense: {error}") from error
    return found, end


def _digest_place(begin: bytes) -> slice:
    places = list(_DIGEST.finditer(begin))
    if len(places) != 1:
        raise ContainerError("is damaged: it carries no digest")
    return slice(*places[0].span(1))


def _parse(text: bytes) -> dict[str, Any]:
    """Parse a JSON object, refusing what JSON leaves open: repeated names, NaN, deep nesting."""

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    def finite(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            raise ValueError(f"{number[:20]} is too large")
        return value

    if text.count(b"[") + text.count(b"{") > _MAX_LISTS:
        raise ContainerError("is damaged: its header has too many parts")
    try:
        # Lone surrogates can be characters of a vocabulary.
        value = json.loads(
            text.decode("utf-8", "surrogatepass"),
            object_pairs_hook=without_repeats,
            parse_constant=refuse,
            parse_float=finite,
        )
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"is damaged: its header is not valid: {error}") from error
    if not isinstance(value, dict):
        raise ContainerError("is damaged: its header is no JSON object")
    return value
