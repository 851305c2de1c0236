"""One document on its way in: bytes of a file or pipe -> decompressed -> decoded -> pieces of text.

Memory is bounded whatever the size: a document is read piece by piece, as often as needed.
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

from charlstm.config import STDIN, CorpusConfig
from charlstm.errors import CorpusError, EncodingError
from charlstm.text.encodings import likely_encodings
from charlstm.text.vocabulary import END, END_NOTICE, REPLACEMENT

_PIECE_BYTES: Final = 1 << 20


class Readable(Protocol):
    """The part of a binary file that is needed here."""

    def read(self, size: int, /) -> bytes: ...


# The longest mark first: UTF-32-LE's begins with UTF-16-LE's.
BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECOMPRESSORS: Final[tuple[tuple[bytes, Callable[[IO[bytes]], Readable]], ...]] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    # The second half is the first block's magic, or the end's: "BZh" alone can begin a text.
    *((b"BZh%c1AY&SY" % level, bz2.BZ2File) for level in b"123456789"),
    *((b"BZh%c\x17rE8P\x90" % level, bz2.BZ2File) for level in b"123456789"),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_BINARY_MAGICS: Final = ((b"%PDF-", "a PDF"), (b"PK\x03\x04", "a zip archive"))
_MAGIC_BYTES: Final = 10


class Source(Protocol):
    """A document that can be read again and again.

    Args:
        notices: of the latest reading, shown to the user.
        encoding: that the latest reading used; `utf-8-sig` is UTF-8 with a byte order mark, and a
            text in memory has none.
        line_ends: those that it found, as they stand in the file.
    """

    name: str
    notices: list[str]
    encoding: str
    line_ends: tuple[str, ...]

    def pieces(self) -> Iterator[str]:
        """The text from its beginning, in pieces of a megabyte or so."""

    def close(self) -> None:
        """Delete the temporary copy, if there is one."""


class TextSource:
    """A document that is in memory."""

    def __init__(self, name: str, text: str, notices: Iterable[str] = ()) -> None:
        self.name = name
        self.notices = list(notices)
        self.encoding = ""
        self.line_ends: tuple[str, ...] = ()
        self._text = text

    def pieces(self) -> Iterator[str]:
        yield self._text

    def close(self) -> None:
        pass


class FileSource:
    """A file, or a pipe, whose bytes are copied to a temporary file to be read twice.

    Raises:
        CorpusError: when it is missing or no file.
    """

    def __init__(self, path: str, config: CorpusConfig, *, notices: Iterable[str] = ()) -> None:
        self.name = path
        self.notices: list[str] = []
        self.encoding = config.encoding
        self.line_ends: tuple[str, ...] = ()
        self._first_notices = list(notices)
        self._config = config
        self._aside = _put_aside(path) if _is_pipe(path) else None

    def pieces(self) -> Iterator[str]:
        """See `Source.pieces`.

        Raises:
            CorpusError: when the bytes can't be read, decompressed or decoded.
        """
        self.notices[:] = self._first_notices
        try:
            with (
                contextlib.nullcontext(self._aside)
                if self._aside
                else open(self.name, "rb") as file
            ):
                pieces = self._decoded(self._decompressed(file))
                yield from pieces if self._config.normalize == "none" else _composed(pieces)
        except _read_errors() as error:
            raise CorpusError(unreadable(self.name, error)) from error

    def close(self) -> None:
        if self._aside is not None:
            self._aside.close()

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
            return _zstd(self.name, file)
        for begin, what in _BINARY_MAGICS:
            if magic.startswith(begin):
                raise CorpusError(f"{self.name}: is {what}, not text; extract its text first")
        return file

    def _encoding(self, first: bytes) -> str:
        if self._config.level == "byte":
            return "latin-1"
        if codecs.lookup(self._config.encoding).name != "utf-8":
            return self._config.encoding
        # A byte order mark overrules the default.
        marked = next((name for mark, name in BYTE_ORDER_MARKS if first.startswith(mark)), None)
        if marked not in (None, "utf-8-sig"):
            self.notices.append(f"{self.name}: read as {marked}, as its first bytes say")
        return marked or "utf-8"

    def _decoded(self, file: Readable) -> Iterator[str]:
        piece = file.read(_PIECE_BYTES)
        self.encoding = encoding = self._encoding(piece)
        keeps_line_ends = self._config.keeps_line_ends
        decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(encoding)(), translate=not keeps_line_ends
        )
        num_bytes, has_nul, has_end = 0, False, False
        while True:
            num_bytes += len(piece)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                place = num_bytes - len(error.object) + error.start
                raise _explained(self.name, place, error) from error
            except UnicodeError as error:
                what = f"{self.name}: is not valid {encoding}: {error}"
                raise EncodingError(what, "give its --encoding") from error
            if not has_nul and "\0" in text:
                has_nul = True
                _refuse_utf_16(self.name, text, encoding)
            has_end = has_end or END in text
            if text:
                yield text.replace(END, REPLACEMENT)
            if not piece:
                break
            piece = file.read(_PIECE_BYTES)
        if has_nul and self._config.level == "char":
            self.notices.append(
                f"{self.name}: holds NUL characters; if it is not text, give --level byte"
            )
        if has_end:
            self.notices.append(f"{self.name}: {END_NOTICE}")
        self.line_ends = _as_tuple(decoder.newlines)
        if not keeps_line_ends and set(self.line_ends) - {"\n"}:
            self.notices.append(
                f"{self.name}: line ends CR or CRLF became LF (--keep-line-ends keeps them)"
            )


def _composed(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the same text in Unicode's normal form C.

    Characters at the end of a piece may combine with what follows; so each piece is cut before its
    last character that never combines with anything before it.
    """
    held = ""
    for piece in pieces:
        text = held + piece
        cut = next((i for i in range(len(text) - 1, -1, -1) if _stands_alone(text[i])), 0)
        held = text[cut:]
        if cut:
            yield unicodedata.normalize("NFC", text[:cut])
    if held:
        yield unicodedata.normalize("NFC", held)


def _stands_alone(char: str) -> bool:
    """Return whether a character never combines with those before it."""
    if char < "\u0300":
        return True
    # Some Tibetan marks are starters themselves, but are made of two that combine.
    first = unicodedata.normalize("NFD", char)[0]
    return not unicodedata.combining(first) and first not in _combining_starters()


@functools.cache
def _combining_starters() -> frozenset[str]:
    """Characters of class 0 that are the second half of a composed one: Indic vowels, Hangul."""
    found = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            second = chr(int(parts[1], 16))
            if not unicodedata.combining(second):
                found.add(second)
    return frozenset(found)


def _is_pipe(path: str) -> bool:
    """Return whether a path names a pipe, not a file; refuse anything else."""
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


def _put_aside(path: str) -> IO[bytes]:
    """Copy what comes out of a pipe into a temporary file."""
    try:
        aside = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    except OSError as error:
        raise CorpusError(f"no temporary folder can be written: {error.strerror}") from error
    try:
        if path == STDIN:
            if sys.stdin is None:
                raise OSError(errno.EBADF, "stdin is closed")
            # Piece by piece: a single end of what is typed is enough.
            stdin: Any = sys.stdin.buffer
            for piece in iter(functools.partial(stdin.read1, _PIECE_BYTES), b""):
                aside.write(piece)
        else:
            with open(path, "rb") as pipe:
                shutil.copyfileobj(pipe, aside)
    except OSError as error:
        aside.close()
        if error.errno == errno.ENOSPC:
            place = tempfile.gettempdir()
            raise CorpusError(f"no room for a copy of {path} in {place}") from error
        raise CorpusError(unreadable(path, error)) from error
    return aside


def kind_of(begin: bytes) -> str | None:
    """Return a file's kind by its first bytes, if it is compressed or not text."""
    if begin.startswith((_ZSTD_MAGIC, *(magic for magic, _ in _DECOMPRESSORS))):
        return "compressed"
    return next((what for magic, what in _BINARY_MAGICS if begin.startswith(magic)), None)


def unreadable(path: str, error: Exception) -> str:
    """Return the message for a file that can't be read or decompressed."""
    return f"{path}: can't be read: {getattr(error, 'strerror', None) or error}"


def _zstd(name: str, file: IO[bytes]) -> Readable:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore] # Python 3.14
    except ImportError as error:
        raise CorpusError(f"{name}: is compressed by zstd; give it as <(zstdcat FILE)") from error
    opened: Readable = zstd.ZstdFile(file)
    return opened


def _read_errors() -> tuple[type[Exception], ...]:
    """Return what reading raises for a file that can't be read or decompressed."""
    errors = (OSError, EOFError, lzma.LZMAError, zlib.error)
    with contextlib.suppress(ImportError):
        from compression import zstd

        return (*errors, zstd.ZstdError)
    return errors


def _explained(name: str, place: int, error: UnicodeDecodeError) -> EncodingError:
    byte = f"0x{error.object[error.start]:02X}" if error.start < len(error.object) else "the end"
    advice = "give its --encoding, or --level byte if it is not text"
    guesses = likely_encodings(error.object[max(0, error.start - _PIECE_BYTES // 16) :])
    if len(guesses) == 1:
        ((guess, piece),) = guesses.items()
        advice = f"it looks like {guess} ({piece!r}): give --encoding {guess}, or --level byte"
    elif guesses:
        named = ", ".join(f"{guess} ({piece!r})" for guess, piece in guesses.items())
        advice = f"it may be {named}: give the right one as --encoding, or --level byte"
    return EncodingError(f"{name}: byte {place} ({byte}) is not valid {error.encoding}", advice)


def _refuse_utf_16(name: str, text: str, encoding: str) -> None:
    """Refuse UTF-16 without a byte order mark, where half of the ASCII text's bytes are NUL."""
    for half, likely in ((1, "utf-16-le"), (0, "utf-16-be")):
        others = text[1 - half :: 2]
        if encoding == "utf-8" and text[half::2].count("\0") > 0.9 * len(others) > 5:
            what = f"{name}: every second byte is NUL"
            raise EncodingError(what, f"it looks like {likely}: give --encoding {likely}")


def _as_tuple(newlines: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return newlines if isinstance(newlines, tuple) else (newlines,) if newlines else ()
