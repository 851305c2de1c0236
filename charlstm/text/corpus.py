"""Read files into a vocabulary and a train, validation and test split.

Everything is read twice: once to find the characters and compute the fingerprint, once to encode
into a memory-mapped temporary file. So memory use is bounded, and files may change afterwards.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import IN_MEMORY, MAX_CHARACTERS, STDIN, ReadingConfig, SplitName
from charlstm.errors import ChangedTextError, CorpusError, PatternError
from charlstm.reading.documents import EOS, split_documents, with_eos
from charlstm.reading.filelist import FileList
from charlstm.reading.source import FileSource, Source, TextSource
from charlstm.reading.tables import Table
from charlstm.text.assignment import Assignment
from charlstm.text.encoded_text import EncodedText
from charlstm.text.notices import document_notices, form_notices, unknown_notices
from charlstm.text.tokenizer import CharTokenizer, to_chars
from charlstm.text.vocabulary import UNKNOWN, Ids, Vocabulary, code_points

DEFAULT_NAME: Final = "python-docs"

_PIECE_CHARS: Final = 1 << 20
_HELD_OUT_CHARS: Final = 50_000


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """Facts about one file of a corpus.

    Args:
        encoding: the encoding used; `utf-8-sig` is UTF-8 with a byte order mark.
        num_chars: characters, including end-of-document characters.
        line_ends: the distinct line ends found in the file.
    """

    path: str
    encoding: str
    num_chars: int
    line_ends: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The encoded splits of a text.

    Args:
        fingerprint: SHA-256 of the text, its split points, the document starts of a list and the
            random assignment of documents, in hexadecimal.
        notices: shown to the user: changes to the text, and possible problems with it.
        mode: permission bits of files derived from the text.
        files: the files read; empty for a run's copy.
    """

    name: str
    tokenizer: CharTokenizer
    train: EncodedText
    val: EncodedText
    test: EncodedText
    fingerprint: str
    notices: tuple[str, ...]
    mode: int = 0o666
    files: tuple[FileReport, ...] = ()

    @property
    def vocabulary(self) -> Vocabulary:
        return self.tokenizer.vocabulary

    @property
    def splits(self) -> dict[SplitName, EncodedText]:
        """The splits by name, in order."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def held_out(self) -> EncodedText:
        """Return the start of the test text for inspection.

        Without test text, use the validation text, or else the training text.
        """
        split = next(part for part in (self.test, self.val, self.train) if part.num_chars)
        return split.part(0, _HELD_OUT_CHARS)

    def require_fingerprint(self, expected: str) -> None:
        """Check that this is the text a model was trained on.

        Raises:
            ChangedTextError: naming both fingerprints.
        """
        if self.fingerprint != expected:
            raise ChangedTextError(
                f"{self.name}: the text has changed since the run started: its fingerprint was "
                f"{expected[:12]} and is {self.fingerprint[:12]}"
            )


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """Result of the first reading.

    Args:
        lengths: number of characters of each source.
        starts: document starts in the concatenated sources.
        codes: the distinct code points, ascending.
        digest: SHA-256 of the text.
    """

    lengths: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    codes: npt.NDArray[np.integer]
    digest: str

    @property
    def num_chars(self) -> int:
        return int(self.lengths.sum())


def load_corpus(
    config: ReadingConfig,
    files: FileList | None = None,
    *,
    texts: Sequence[str] = (),
    extra_characters: str = "",
) -> Corpus:
    """Read, split and encode a corpus; the vocabulary comes from the training split.

    Args:
        files: the configuration's files, if they were listed before.
        texts: texts in memory, if the configuration's path is `IN_MEMORY`.
        extra_characters: characters to add to the vocabulary, even if the text lacks them.

    Raises:
        CorpusError: if a file is missing, empty, not text, or too short to be split.
    """
    files = files or FileList.of(config)
    with contextlib.ExitStack() as stack:
        sources: list[Source] = [] if config.paths else [_python_docs()]
        sources += _in_memory(texts, config)
        num_main_sources = len(sources) + len(files.main)
        sources += _open(files, config, stack)
        has_documents = bool(config.split_documents or config.column) or num_main_sources > 1
        documents = _Documents(sources, config, adds_eos=has_documents)
        counted = _count(documents)
        main_end = int(counted.lengths[:num_main_sources].sum())
        val_end = main_end + int(counted.lengths[num_main_sources:][: len(files.val)].sum())
        main_starts = counted.starts[counted.starts < main_end]
        assignment = Assignment.of(config, main_starts, main_end)
        spans = _spans(config, main_end, val_end, counted.num_chars, assignment)
        return _split(files, documents, counted, spans, assignment, extra_characters)


class ReencodedText(NamedTuple):
    """A text encoded with the vocabulary of another one.

    Args:
        original: returns the characters from one position to another, including unknown ones.
    """

    split: EncodedText
    original: Callable[[int, int], str]
    notices: tuple[str, ...]


def encode_files(
    paths: Sequence[str], config: ReadingConfig, tokenizer: CharTokenizer, errors: str = "strict"
) -> ReencodedText:
    """Read and encode files with a given configuration and tokenizer.

    Args:
        errors: Python's decoding error handler.
    """
    vocabulary = tokenizer.vocabulary
    files = FileList.of(replace(config, paths=tuple(paths), val=None, test=None))
    with contextlib.ExitStack() as stack:
        sources = list(_open(files, config, stack, errors))
        documents = _Documents(sources, config, adds_eos=EOS in vocabulary.characters)
        counted = _count(documents)
        if not counted.num_chars:
            raise CorpusError(f"{', '.join(paths)}: no text")
        all_characters = Vocabulary.from_codes(counted.codes)
        original = _encode(documents, all_characters, counted)
        new_ids = np.append(UNKNOWN, vocabulary.encode(all_characters.characters))
        new_ids = new_ids.astype(vocabulary.dtype)
        ids = (new_ids[piece] for piece in _pieces(original))
        split = EncodedText(
            ids=_mapped(ids, vocabulary.dtype, counted.num_chars),
            starts=counted.starts,
            bytes_D=_bytes_of_documents(
                EncodedText(ids=original, starts=counted.starts), all_characters, config
            ),
        )
        notices = [
            *_notices(files, sources),
            *unknown_notices(split, "text"),
            *form_notices(all_characters, tokenizer),
        ]
        return ReencodedText(
            split, lambda first, after: all_characters.decode(original[first:after]), tuple(notices)
        )


def corpus_name(config: ReadingConfig) -> str:
    """Return the corpus's short name: the first file's, without folder and extensions."""
    if not config.paths:
        return DEFAULT_NAME
    if config.paths[0] in (STDIN, IN_MEMORY):
        return "stdin" if config.paths[0] == STDIN else "text"
    return Path(config.paths[0]).name.lstrip(".").split(".")[0] or "corpus"


def _in_memory(texts: Sequence[str], config: ReadingConfig) -> Iterator[Source]:
    for text in texts:
        notices: list[str] = []
        yield TextSource(IN_MEMORY, to_chars(text, config, notices.append), notices)


def _open(
    files: FileList, config: ReadingConfig, stack: contextlib.ExitStack, errors: str = "strict"
) -> Iterator[Source]:
    for path in files.all:
        source = FileSource(path, config, errors)
        stack.callback(source.close)
        yield source


def _spans(
    config: ReadingConfig, main_end: int, val_end: int, end: int, assignment: Assignment | None
) -> list[tuple[int, int]]:
    """Return (start, end) of train, val and test in the concatenated documents.

    Args:
        main_end, val_end, end: where the main, validation and test files end.
    """
    if not main_end:
        raise CorpusError(f"{_names_of(config)}: the corpus is empty")
    sizes = config.split_sizes(main_end) if assignment is None else assignment.sizes
    num_train, num_val, num_test = sizes
    if num_train < 2:
        raise CorpusError(
            f"{_names_of(config)}: {main_end} characters are too few to train on; "
            "use at least a few thousand"
        )
    for name, path, size in (
        ("val", config.val, val_end - main_end),
        ("test", config.test, end - val_end),
    ):
        if path is not None and not size:
            raise CorpusError(f"--{name} {path}: contains no text")
    return [
        (0, num_train),
        (num_train, num_train + num_val) if config.val is None else (main_end, val_end),
        (main_end - num_test, main_end) if config.test is None else (val_end, end),
    ]


class _Documents:
    """The documents of several sources; can be read repeatedly.

    Args:
        adds_eos: whether to add `EOS` to each document, unless documents are lines.

    Attributes:
        digest: SHA-256 of the texts and the boundaries between sources, after a reading.
    """

    def __init__(self, sources: Sequence[Source], config: ReadingConfig, *, adds_eos: bool) -> None:
        self.sources = sources
        self.config = config
        self.digest = ""
        self._adds_eos = adds_eos and config.split_documents != "lines"

    def pieces(self) -> Iterator[tuple[int, str, list[int]]]:
        """Yield pieces of the text: number of the source, characters, document starts in them.

        Raises:
            CorpusError: if a source can't be read or split.
        """
        digest = hashlib.sha256()
        num_bytes = 0
        for number, source in enumerate(self.sources):
            try:
                for text, starts in self._read(source):
                    yield number, text, starts
                    data = text.encode("utf-8", "surrogatepass")
                    digest.update(data)
                    num_bytes += len(data)
            except PatternError as error:
                raise CorpusError(f"{source.name}: {error}") from error
            digest.update(b"\0%d\0" % num_bytes)
        self.digest = digest.hexdigest()

    def _read(self, source: Source) -> Iterator[tuple[str, list[int]]]:
        if self.config.column is None:
            documents = split_documents(source.pieces(), self.config.split_documents)
        else:
            documents = self._rows(source, self.config.column)
        return with_eos(documents) if self._adds_eos else documents

    def _rows(self, source: Source, column: str) -> Iterator[tuple[str, list[int]]]:
        """Yield the documents of a table like `split_documents`."""

        def notify(notice: str) -> None:
            if (named := f"{source.name}: {notice}") not in source.notices:
                source.notices.append(named)

        for rows in Table(source.name, source.pieces(), column, self.config.format).rows():
            # JSON escapes can stand for any character, so cells are normalized too.
            texts = [to_chars(row.text, self.config, notify) for row in rows]
            yield "".join(texts), [0, *accumulate(map(len, texts[:-1]))]


def _count(documents: _Documents) -> _Counted:
    lengths = np.zeros(len(documents.sources), np.int64)
    starts: list[npt.NDArray[np.int64]] = []
    occurs = np.zeros(MAX_CHARACTERS, np.bool_)
    num_chars = 0
    for number, text, begins in documents.pieces():
        codes = code_points(text)
        occurs[codes] = True
        if begins:
            starts.append(num_chars + np.array(begins, np.int64))
        lengths[number] += len(codes)
        num_chars += len(codes)
    return _Counted(
        lengths=lengths,
        starts=np.concatenate(starts) if starts else np.zeros(0, np.int64),
        codes=np.flatnonzero(occurs),
        digest=documents.digest,
    )


def _encode(documents: _Documents, vocabulary: Vocabulary, counted: _Counted) -> Ids:
    """Return the ids of all documents, concatenated, as a memory-mapped temporary file."""
    pieces = (vocabulary.encode(text) for _, text, _ in documents.pieces())
    ids = _mapped(pieces, vocabulary.dtype, counted.num_chars)
    if documents.digest != counted.digest:
        raise CorpusError(f"{documents.sources[0].name}: changed while it was being read")
    return ids


def _mapped(pieces: Iterable[Ids], dtype: npt.DTypeLike, num_chars: int) -> Ids:
    """Concatenate pieces in a temporary file and map it into memory."""
    with tempfile.TemporaryFile() as file:
        try:
            # Write instead of filling a map: a full disk would crash the process there.
            for piece in pieces:
                file.write(piece.tobytes())
            file.flush()
        except OSError as error:
            raise CorpusError(
                f"no room for the encoded text in {tempfile.gettempdir()}: {error.strerror}"
            ) from error
        if file.tell() != num_chars * np.dtype(dtype).itemsize:
            raise CorpusError("a text changed while it was being read")
        if not num_chars:
            return np.zeros(0, dtype)
        return np.memmap(file, dtype, "r+", shape=(num_chars,))


def _split(
    files: FileList,
    documents: _Documents,
    counted: _Counted,
    spans: Sequence[tuple[int, int]],
    assignment: Assignment | None,
    extra_characters: str,
) -> Corpus:
    """Encode with all characters, then restrict the vocabulary to those in the training split."""
    config = documents.config
    extra_codes = code_points(extra_characters)
    all_characters = Vocabulary.from_codes(np.union1d(counted.codes, extra_codes))
    ids = _encode(documents, all_characters, counted)
    starts = counted.starts
    if assignment is not None:
        main_end = int(assignment.lengths_D.sum())
        ids = _mapped(chain(assignment.grouped(ids), _pieces(ids[main_end:])), ids.dtype, len(ids))
        starts = np.concatenate([assignment.grouped_starts, starts[starts >= main_end]])
    codes = np.append(0, all_characters.codes)
    is_kept = _counts(ids[slice(*spans[0])], len(codes)) >= config.min_count
    is_kept[1:] |= np.isin(all_characters.codes, extra_codes)
    if not is_kept.any():
        raise CorpusError(
            f"{_names_of(config)}: no character occurs --min-count {config.min_count} times"
        )
    vocabulary = Vocabulary.from_codes(codes[is_kept])

    all_documents = EncodedText(ids=ids, starts=starts)

    def split(first: int, last: int) -> EncodedText:
        text = all_documents.part(first, last)
        return replace(text, bytes_D=_bytes_of_documents(text, all_characters, config))

    train, val, test = (split(*span) for span in spans)
    # The splits are views of the same ids.
    if not is_kept[1:].all():
        new_ids = np.append(UNKNOWN, vocabulary.encode(all_characters.characters))
        new_ids = new_ids.astype(ids.dtype)
        for piece in _pieces(ids):
            piece[:] = new_ids[piece]
    tokenizer = CharTokenizer(config=config, vocabulary=vocabulary, num_train_chars=train.num_chars)
    notices = [
        *_notices(files, documents.sources),
        *(assignment.notices if assignment else ()),
        *document_notices(train, tokenizer, config),
        *unknown_notices(val, "validation text"),
        *unknown_notices(test, "test text"),
        *form_notices(all_characters, tokenizer),
    ]
    digest = hashlib.sha256(f"{counted.digest} {spans}".encode("ascii"))
    if config.split_documents is not None:
        digest.update(counted.starts.tobytes())
    if assignment is not None:
        digest.update(assignment.split_D.tobytes())
    return Corpus(
        name=corpus_name(config),
        tokenizer=tokenizer,
        train=train,
        val=val,
        test=test,
        fingerprint=digest.hexdigest(),
        notices=tuple(notices),
        mode=files.mode(),
        files=tuple(
            FileReport(
                path=source.name,
                encoding=source.encoding,
                num_chars=int(length),
                line_ends=source.line_ends,
            )
            for source, length in zip(documents.sources, counted.lengths, strict=True)
        ),
    )


def _pieces(ids: Ids) -> Iterator[Ids]:
    """Yield views of a long array, to bound the memory of computations on it."""
    for first in range(0, len(ids), _PIECE_CHARS):
        yield ids[first : first + _PIECE_CHARS]


def _counts(ids: Ids, num_ids: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(num_ids, np.int64)
    for piece in _pieces(ids):
        counts += np.bincount(piece, minlength=num_ids)
    return counts


def _bytes_of_documents(
    text: EncodedText, all_characters: Vocabulary, config: ReadingConfig
) -> npt.NDArray[np.int64]:
    """Return the number of bytes of each document, int64 [num_documents].

    Args:
        text: documents encoded with `all_characters`.
    """
    codes = np.append(0, all_characters.codes)
    num_bytes_V = np.ones(len(codes), np.int64)
    if config.level == "char":
        num_bytes_V += (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
    num_bytes_V[codes == ord(EOS)] = 0
    bytes_D = np.zeros(len(text.starts), np.int64)
    for _, ids, inside, begins in text.pieces(_PIECE_CHARS):
        bytes_D[inside] += np.add.reduceat(num_bytes_V[ids], begins)
    return bytes_D


def _notices(files: FileList, sources: Sequence[Source]) -> tuple[str, ...]:
    """Return the notices about files and their content, without repeats."""
    of_sources = (notice for source in sources for notice in source.notices)
    return tuple(dict.fromkeys((*files.notices, *of_sources)))


def _python_docs() -> Source:
    """Return the language reference that Python's `help()` uses."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise CorpusError(
            "this Python lacks its documentation (pydoc_data); name a text file"
        ) from error
    return TextSource(DEFAULT_NAME, "\n\n".join(topics[name] for name in sorted(topics)))


def _names_of(config: ReadingConfig) -> str:
    return ", ".join(config.paths) or DEFAULT_NAME
