"""From files to a vocabulary and a train, a validation and a test split."""

import bz2
import codecs
import gzip
import hashlib
import lzma
import math
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from charlstm.config import STDIN, CorpusConfig
from charlstm.errors import CorpusError
from charlstm.split import Split
from charlstm.vocabulary import Vocabulary

DEFAULT_NAME: Final = "python-docs"

# The longest mark first: UTF-32-LE's begins with UTF-16-LE's.
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECOMPRESSORS: Final[tuple[tuple[bytes, str, Callable[[bytes], bytes]], ...]] = (
    (b"\x1f\x8b", "gzip", gzip.decompress),
    (b"BZh", "bzip2", bz2.decompress),
    (b"\xfd7zXZ\x00", "xz", lzma.decompress),
)
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_BINARY_MAGICS: Final = ((b"%PDF-", "a PDF"), (b"PK\x03\x04", "a zip archive"))


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A text, ready to train on and to be measured by.

    Args:
        fingerprint: SHA-256 of the three splits' text, in hexadecimal.
        notices: what was done to the text that its owner may want to know.
    """

    name: str
    vocabulary: Vocabulary
    train: Split
    val: Split
    test: Split
    fingerprint: str
    notices: tuple[str, ...]

    def require_fingerprint(self, expected: str) -> None:
        """Refuse a text that isn't the one a model was trained on.

        Raises:
            CorpusError: naming both fingerprints.
        """
        if self.fingerprint != expected:
            raise CorpusError(
                f"{self.name}: the text changed since the run began: its fingerprint was "
                f"{expected[:12]} and is {self.fingerprint[:12]}"
            )


def load_corpus(config: CorpusConfig) -> Corpus:
    """Read, split and encode a corpus; the vocabulary comes from the training split.

    Raises:
        CorpusError: when a file is missing, empty, not text, or too short to be split.
    """
    notices: list[str] = []

    def read(path: str) -> str:
        return read_text(path, config=config, notices=notices)

    documents = [read(path) for path in config.paths] if config.paths else [_python_docs()]
    num_chars = sum(map(len, documents))
    if not num_chars:
        raise CorpusError(f"{_listed(config.paths)}: the corpus is empty")
    num_val = 0 if config.val is not None else math.ceil(num_chars * config.val_fraction)
    num_test = 0 if config.test is not None else math.ceil(num_chars * config.test_fraction)
    # Less than two characters to train on: nothing can be learned from a single one.
    if num_chars - num_val - num_test < 2:
        raise CorpusError(
            f"{_listed(config.paths)}: {num_chars} characters are too few to train on; "
            "a few thousand are the least that makes sense"
        )
    train, rest = _cut(documents, num_chars - num_val - num_test)
    val, test = _cut(rest, num_val)
    if config.val is not None:
        val = [read(config.val)]
    if config.test is not None:
        test = [read(config.test)]

    vocabulary = Vocabulary.of("".join(train))
    return Corpus(
        name=corpus_name(config),
        vocabulary=vocabulary,
        train=Split.of(train, vocabulary),
        val=Split.of(val, vocabulary),
        test=Split.of(test, vocabulary),
        fingerprint=_fingerprint(train, val, test),
        notices=tuple(notices),
    )


def corpus_name(config: CorpusConfig) -> str:
    """The corpus's short name: its first file's, without folder and endings."""
    if not config.paths:
        return DEFAULT_NAME
    if config.paths[0] == STDIN:
        return "stdin"
    return Path(config.paths[0]).name.lstrip(".").split(".")[0] or "corpus"


def read_text(path: str, *, config: CorpusConfig, notices: list[str]) -> str:
    """Read one file (`-` is stdin) as text, with the line ends of Unix unless they are kept.

    Raises:
        CorpusError: when it is missing, not a file, or not text in the encoding.
    """
    data = _decompress(path, _read_bytes(path))
    encoding = config.encoding
    if codecs.lookup(encoding).name == "utf-8":
        # A byte order mark says what the text is, whatever the default.
        for mark, marked in _BYTE_ORDER_MARKS:
            if data.startswith(mark):
                encoding = marked
                if marked != "utf-8-sig":
                    notices.append(f"{path}: read as {marked.upper()}, as its first bytes say")
                break
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise CorpusError(_explain(path, data, error)) from error
    if "\0" in text:
        notices.append(f"{path}: contains NUL characters; is it text?")
    if "\r" in text and not config.keep_line_ends:
        text = config.normalized(text)
        notices.append(f"{path}: line ends CR or CRLF became LF (--keep-line-ends keeps them)")
    return text


def _read_bytes(path: str) -> bytes:
    try:
        if path == STDIN:
            return sys.stdin.buffer.read()
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise CorpusError(f"{path}: is a folder; name the text files in it")
        # A character device such as /dev/zero may never end.
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise CorpusError(f"{path}: is neither a file nor a pipe")
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"{path}: can't be read: {reason}") from error


def _decompress(path: str, data: bytes) -> bytes:
    for magic, name, decompress in _DECOMPRESSORS:
        if data.startswith(magic):
            try:
                return decompress(data)
            except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
                raise CorpusError(f"{path}: a damaged {name} file: {error}") from error
    if data.startswith(_ZSTD_MAGIC):
        raise CorpusError(f"{path}: is compressed by zstd; give it as <(zstdcat {path})")
    for magic, name in _BINARY_MAGICS:
        if data.startswith(magic):
            raise CorpusError(f"{path}: is {name}, not text; extract its text first")
    return data


def _explain(path: str, data: bytes, error: UnicodeDecodeError) -> str:
    where = f"byte {error.start} (0x{data[error.start]:02X}) is not valid {error.encoding}"
    if guess := _likely_encoding(data):
        return f"{path}: {where}; it looks like {guess}: give --encoding {guess}"
    return f"{path}: {where}; name its encoding with --encoding"


def _likely_encoding(data: bytes) -> str | None:
    """A guess for the message only; nothing is ever decoded by it."""
    sample = data[: 1 << 16]
    high = sum(byte >= 0x80 for byte in sample) / len(sample)
    if sample.count(0) > len(sample) / 4:
        candidates = ["utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"]
    elif high < 0.25:
        candidates = ["cp1252", "latin-1"]
    else:
        candidates = ["gb18030", "shift_jis", "euc_kr", "big5", "cp1251", "cp1252"]
    for candidate in candidates:
        try:
            codecs.getincrementaldecoder(candidate)().decode(sample)
        except UnicodeDecodeError:
            continue
        return candidate
    return None


def _python_docs() -> str:
    """The language reference that every Python carries for `help()`."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise CorpusError(
            "this Python comes without its documentation (pydoc_data); name a text file"
        ) from error
    return "\n\n".join(topics[name] for name in sorted(topics))


def _cut(documents: list[str], num_chars: int) -> tuple[list[str], list[str]]:
    """Divide documents after `num_chars` characters."""
    head: list[str] = []
    for number, text in enumerate(documents):
        if len(text) > num_chars:
            return [*head, text[:num_chars]], [text[num_chars:], *documents[number + 1 :]]
        head.append(text)
        num_chars -= len(text)
    return head, []


def _fingerprint(*splits: list[str]) -> str:
    digest = hashlib.sha256()
    for documents in splits:
        for text in documents:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(b"document %d\n" % len(data))
            digest.update(data)
        digest.update(b"split\n")
    return digest.hexdigest()


def _listed(paths: tuple[str, ...]) -> str:
    return ", ".join(paths) or DEFAULT_NAME
