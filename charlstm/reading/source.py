"""Input files and pipes: bytes -> decompressed -> decoded -> pieces of text.

Memory use is bounded: files are read piece by piece, as often as needed.
"""

import bz2
import codecs
import contextlib
import errno
import functools
import gzip
import io
import lzma
import os
import shutil
import stat
import sys
import tempfile
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Final, Protocol

import regex

from charlstm.config import STDIN, ReadingConfig
from charlstm.errors import CorpusError, EncodingError
from charlstm.reading.documents import EOS, EOS_NOTICE, REPLACEMENT
from charlstm.reading.encodings import likely_encodings

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore] # Python 3.14
except ImportError:
    zstd = None  # type: ignore[assignment,unused-ignore]

_PIECE_BYTES: Final = 1 << 20
# The last character that never combines with preceding ones (Unicode Standard Annex 15).
_STANDS_ALONE: Final = regex.compile(r"(?rV1)[\p{NFC_Quick_Check=Yes}&&\p{CCC=0}]")


class Readable(Protocol):
    """Binary stream with `read`."""

    def read(self, size: int, /) -> bytes: ...


# Longest mark first: UTF-32-LE's starts with UTF-16-LE's.
BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECOMPRESSORS: Final[tuple[tuple[bytes, Callable[[IO[bytes]], Readable]], ...]] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    # Includes the magic of the first block or of the stream's end: a text can start with "BZh".
    *((b"BZh%c1AY&SY" % level, bz2.BZ2File) for level in b"123456789"),
    *((b"BZh%c\x17rE8P\x90" % level, bz2.BZ2File) for level in b"123456789"),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_BINARY_MAGICS: Final = ((b"%PDF-", "a PDF"), (b"PK\x03\x04", "a zip archive"))
_MAGIC_BYTES: Final = 10
# Exceptions that reading and decompressing can raise.
_READ_ERRORS: Final[tuple[type[Exception], ...]] = (
    OSError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    *([] if zstd is None else [zstd.ZstdError]),
)


class TextSource:
    """A text in memory, with the attributes of a `FileSource`."""

    def __init__(self, name: str, text: str, notices: Iterable[str] = ()) -> None:
        self.name = name
        self.notices = list(notices)
        self.encoding = ""
        self.line_ends: tuple[str, ...] = ()
        self._text = text

    def pieces(self) -> Iterator[str]:
        yield self._text


class FileSource:
    """A file or pipe; a pipe's bytes are copied to a temporary file, so they can be read twice.

    Args:
        errors: Python's decoding error handler; any but `strict` leaves a notice.

    Attributes:
        notices: notices of the latest reading, for the user.
        encoding: encoding used by the latest reading; `utf-8-sig` is UTF-8 with a byte order mark.
        line_ends: the distinct line ends found in the file.

    Raises:
        CorpusError: if it is missing, or is neither a file nor a pipe.
    """

    def __init__(self, path: str, config: ReadingConfig, errors: str = "strict") -> None:
        self.name = path
        self.notices: list[str] = []
        self.encoding = config.encoding
        self.line_ends: tuple[str, ...] = ()
        self._config = config
        self._errors = errors
        self._copy = _copy_pipe(path) if _is_pipe(path) else None

    def pieces(self) -> Iterator[str]:
        """Yield the text from its start, in pieces of about a megabyte.

        Raises:
            CorpusError: if the bytes can't be read, decompressed or decoded.
        """
        self.notices.clear()
        try:
            with (
                contextlib.nullcontext(self._copy) if self._copy else open(self.name, "rb") as file
            ):
                pieces = self._decoded(self._decompressed(file))
                yield from pieces if self._config.normalize == "none" else _composed(pieces)
        except _READ_ERRORS as error:
            raise CorpusError(unreadable(self.name, error)) from error

    def close(self) -> None:
        """Delete the temporary copy, if there is one."""
        if self._copy is not None:
            self._copy.close()

    def _decompressed(self, file: IO[bytes]) -> Readable:
        file.seek(0)
        if self._config.level == "byte":
            return file
        magic = file.read(_MAGIC_BYTES)
        file.seek(0)
        for begin, decompress in _DECOMPRESSORS:
            if magic.startswith(begin):
                return decompress(file)
        if magic.startswith(_ZSTD_MAGIC):
            if zstd is None:
                raise CorpusError(f"{self.name}: is compressed with zstd; pass <(zstdcat FILE)")
            opened: Readable = zstd.ZstdFile(file)
            return opened
        for begin, kind in _BINARY_MAGICS:
            if magic.startswith(begin):
                raise CorpusError(f"{self.name}: is {kind}, not text; extract its text first")
        return file

    def _encoding(self, first: bytes) -> str:
        if self._config.level == "byte":
            return "latin-1"
        if codecs.lookup(self._config.encoding).name != "utf-8":
            return self._config.encoding
        # A byte order mark overrides the default.
        marked = next((name for mark, name in BYTE_ORDER_MARKS if first.startswith(mark)), None)
        if marked not in (None, "utf-8-sig"):
            self.notices.append(f"{self.name}: read as {marked} because of its byte order mark")
        return marked or "utf-8"

    def _decoded(self, file: Readable) -> Iterator[str]:
        piece = file.read(_PIECE_BYTES)
        self.encoding = encoding = self._encoding(piece)
        keeps_line_ends = self._config.keeps_line_ends
        bytes_decoder: Any = codecs.getincrementaldecoder(encoding)()
        decoder = io.IncrementalNewlineDecoder(bytes_decoder, translate=not keeps_line_ends)
        num_bytes, has_nul, has_eos = 0, False, False
        while True:
            num_bytes += len(piece)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                position = num_bytes - len(error.object) + error.start
                invalid = _encoding_error(self.name, position, error)
                if self._errors == "strict":
                    raise invalid from error
                self.notices.append(f"{invalid.what}; such bytes are read as U+FFFD")
                bytes_decoder.errors = self._errors
                text = decoder.decode(piece, final=not piece)
            except UnicodeError as error:
                message = f"{self.name}: is not valid {encoding}: {error}"
                raise EncodingError(message, "give its --encoding") from error
            if not has_nul and "\0" in text:
                has_nul = True
                _refuse_utf_16(self.name, text, encoding)
            has_eos = has_eos or EOS in text
            if text:
                yield text.replace(EOS, REPLACEMENT)
            if not piece:
                break
            piece = file.read(_PIECE_BYTES)
        if has_nul and self._config.level == "char":
            self.notices.append(
                f"{self.name}: contains NUL characters; if it is not text, use --level byte"
            )
        if has_eos:
            self.notices.append(f"{self.name}: {EOS_NOTICE}")
        self.line_ends = _as_tuple(decoder.newlines)
        if not keeps_line_ends and set(self.line_ends) - {"\n"}:
            self.notices.append(
                f"{self.name}: CR and CRLF line ends became LF (--keep-line-ends keeps them)"
            )


# A text that can be read repeatedly.
Source = TextSource | FileSource


def _composed(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the same text in Unicode normal form C.

    The end of a piece may combine with the next piece, so each piece is cut before the last
    character that never combines with preceding ones.
    """
    held = ""
    for piece in pieces:
        text = held + piece
        last = _STANDS_ALONE.search(text)
        cut = 0 if last is None else last.start()
        held = text[cut:]
        if cut:
            yield unicodedata.normalize("NFC", text[:cut])
    if held:
        yield unicodedata.normalize("NFC", held)


def _is_pipe(path: str) -> bool:
    """Return whether a path is a pipe rather than a file; refuse anything else."""
    if path == STDIN:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise CorpusError(unreadable(path, error)) from error
    # A character device such as /dev/zero may never end.
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise CorpusError(f"{path}: is neither a file nor a pipe")
    return stat.S_ISFIFO(mode)


def _copy_pipe(path: str) -> IO[bytes]:
    """Copy a pipe's content to a temporary file."""
    try:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    except OSError as error:
        raise CorpusError(f"no temporary folder is writable: {error.strerror}") from error
    try:
        if path == STDIN:
            if sys.stdin is None:
                raise OSError(errno.EBADF, "stdin is closed")
            # `read1` stops at the first Ctrl-D of a terminal.
            stdin: Any = sys.stdin.buffer
            for piece in iter(functools.partial(stdin.read1, _PIECE_BYTES), b""):
                copy.write(piece)
        else:
            with open(path, "rb") as pipe:
                shutil.copyfileobj(pipe, copy)
    except OSError as error:
        copy.close()
        if error.errno == errno.ENOSPC:
            folder = tempfile.gettempdir()
            raise CorpusError(f"no room for a copy of {path} in {folder}") from error
        raise CorpusError(unreadable(path, error)) from error
    return copy


def kind_of(begin: bytes) -> str | None:
    """Return the kind of a compressed or binary file by its first bytes; None for others."""
    if begin.startswith((_ZSTD_MAGIC, *(magic for magic, _ in _DECOMPRESSORS))):
        return "compressed"
    return next((kind for magic, kind in _BINARY_MAGICS if begin.startswith(magic)), None)


def unreadable(path: str, error: Exception) -> str:
    """Return the message for a file that can't be read or decompressed."""
    return f"{path}: can't be read: {getattr(error, 'strerror', None) or error}"


def _encoding_error(name: str, position: int, error: UnicodeDecodeError) -> EncodingError:
    byte = f"0x{error.object[error.start]:02X}" if error.start < len(error.object) else "the end"
    advice = "give its --encoding, or use --level byte if it is not text"
    guesses = likely_encodings(error.object[max(0, error.start - _PIECE_BYTES // 16) :])
    if len(guesses) == 1:
        ((guess, piece),) = guesses.items()
        advice = f"it looks like {guess} ({piece!r}): use --encoding {guess}, or --level byte"
    elif guesses:
        listed = ", ".join(f"{guess} ({piece!r})" for guess, piece in guesses.items())
        advice = f"it may be {listed}: use --encoding with the right one, or --level byte"
    return EncodingError(f"{name}: byte {position} ({byte}) is not valid {error.encoding}", advice)


def _refuse_utf_16(name: str, text: str, encoding: str) -> None:
    """Refuse UTF-16 without a byte order mark: every second byte of ASCII text is NUL.

    Raises:
        EncodingError: naming the likely encoding.
    """
    for half, likely in ((1, "utf-16-le"), (0, "utf-16-be")):
        others = text[1 - half :: 2]
        if encoding == "utf-8" and text[half::2].count("\0") > 0.9 * len(others) > 5:
            message = f"{name}: every second byte is NUL"
            raise EncodingError(message, f"it looks like {likely}: use --encoding {likely}")


def _as_tuple(newlines: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return newlines if isinstance(newlines, tuple) else (newlines,) if newlines else ()
