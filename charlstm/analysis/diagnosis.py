"""Checks of a text before training, for `corpus check`.

Each file is read once, in pieces; what needs a whole text (compression, repetition) is measured on
its first 16 million characters.
"""

import hashlib
import lzma
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.config import MAX_CHARACTERS, NATS_PER_BIT, Budget, CorpusConfig
from charlstm.errors import CharLSTMError, CorpusError
from charlstm.ngram.order_selection import learn_ngrams
from charlstm.settings import DEFAULT_MINUTES, TrainSettings
from charlstm.text.alphabet import Alphabet
from charlstm.text.assignment import MIN_DOCUMENTS, Assignment
from charlstm.text.documents import documents_in, found_nowhere, looks_like_list, split_documents
from charlstm.text.filelist import FileList, Skipped
from charlstm.text.source import FileSource
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary, code_points
from charlstm.training.recipe import Machine, make_plan

_SAMPLE_CHARS: Final = 16_000_000
_MIN_XZ_CHARS: Final = 1000
_MIN_COUNTED_CHARS: Final = 1000
# Of so many documents, or parts of the text, one is kept from counting and scored.
_HELD_OUT: Final = 10
_MIN_TRAIN_CHARS: Final = 2
_RARE_COUNT: Final = 10
_MAX_LINE: Final = 20_000
_MIN_CHARS: Final = 50_000
_REPEATED_LINE_CHARS: Final = 20
_MANY_REPEATS: Final = 0.1
_ALLOWED_CONTROLS: Final = "\n\r\t"


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """One file.

    Args:
        encoding: that it was read in; `utf-8-sig` is UTF-8 with a byte order mark.
        num_chars: with line ends as they stand in the file.
        notices: what `train` would say about it.
        problem: why it can't be read; None where it can.
    """

    path: str
    encoding: str
    num_chars: int
    num_lf: int
    num_crlf: int
    num_cr: int
    longest_line: int
    notices: tuple[str, ...]
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that may harm training, and what to do about it."""

    what: str
    cure: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What `diagnose` finds; counts are of all files that can be read, line ends as LF.

    Args:
        skipped: files of folders that are no text.
        num_rare: different characters that come fewer than ten times.
        control_characters: how often each control character but tab and line end comes.
        num_repeated_documents: those that came before.
        repeated_share: of the text that stands in longer lines seen before.
        xz_bits_per_char: None for a short text, where the container is all there is.
        ngram_bits_per_char: of the last tenth, of every tenth document of a list, by counts of the
            rest; None for a short text.
        num_train_chars: and the other two: how it would be split.
        model: what five minutes on two cores would train, by estimate; None for a text that is too
            short.
    """

    files: tuple[FileReport, ...]
    skipped: tuple[Skipped, ...]
    num_chars: int
    num_documents: int
    num_repeated_documents: int
    num_characters: int
    num_rare: int
    control_characters: dict[str, int]
    repeated_share: float
    xz_bits_per_char: float | None
    ngram_bits_per_char: float | None
    num_train_chars: int
    num_val_chars: int
    num_test_chars: int
    model: str | None
    problems: tuple[Problem, ...]


class _Tally:
    """What is counted while the files go by."""

    def __init__(self) -> None:
        self.char_counts = np.zeros(MAX_CHARACTERS, np.int64)
        self.num_chars = 0
        self.starts: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self.sample: list[str] = []
        self.num_sampled = 0
        self.is_composed = True
        self.num_lines = self.num_short_lines = 0

    def add(self, text: str, starts: list[int]) -> None:
        counts = np.bincount(code_points(text))
        self.char_counts[: len(counts)] += counts
        self.starts.append(self.num_chars + np.array(starts, np.int64))
        self.num_chars += len(text)
        self.is_composed = self.is_composed and unicodedata.is_normalized("NFC", text)
        if self.num_sampled < _SAMPLE_CHARS:
            self.sample.append(text[: _SAMPLE_CHARS - self.num_sampled])
            self.num_sampled += len(self.sample[-1])


def diagnose(config: CorpusConfig) -> Diagnosis:
    """Look at a corpus as `train` would read it.

    Raises:
        CorpusError: when a path names nothing; what is wrong inside a file is reported.
    """
    tally = _Tally()
    found = FileList.of(config)
    notices = dict(found.notices)
    files = tuple(_examine(path, config, tally, notices.pop(path, ())) for path in found.main)
    sample = "".join(tally.sample)
    num_chars = int(tally.char_counts.sum())
    seen = np.flatnonzero(tally.char_counts)
    starts = np.concatenate(tally.starts)
    assignment = Assignment.of(config, starts, num_chars)
    sizes = config.split_sizes(num_chars) if assignment is None else assignment.sizes
    num_train, num_val, num_test = sizes
    controls = {
        f"U+{code:04X}": int(tally.char_counts[code])
        for code in seen
        if unicodedata.category(chr(code)) == "Cc" and chr(code) not in _ALLOWED_CONTROLS
    }
    diagnosis = Diagnosis(
        files=files,
        skipped=found.skipped,
        num_chars=num_chars,
        num_documents=len(starts),
        num_repeated_documents=_repeated_documents(sample, config),
        num_characters=len(seen),
        num_rare=int(np.count_nonzero(tally.char_counts[seen] < _RARE_COUNT)),
        control_characters=controls,
        repeated_share=_repeated_share(sample),
        xz_bits_per_char=_xz_bits(sample) if len(sample) >= _MIN_XZ_CHARS else None,
        ngram_bits_per_char=(
            _ngram_bits(sample, config) if len(sample) >= _MIN_COUNTED_CHARS else None
        ),
        num_train_chars=num_train,
        num_val_chars=num_val,
        num_test_chars=num_test,
        model=_model(num_train, len(seen)),
        problems=(),
    )
    return replace(diagnosis, problems=tuple(_problems(diagnosis, tally, config, sample)))


def _examine(path: str, config: CorpusConfig, tally: _Tally, notices: Iterable[str]) -> FileReport:
    """Read one file with its line ends as they are; count it as `train` would see it."""
    kept = config if config.level == "byte" else replace(config, keep_line_ends=True)
    counts = {"num_chars": 0, "num_lf": 0, "num_crlf": 0, "num_cr": 0}
    longest = line = 0

    def as_train_reads() -> Iterator[str]:
        for text in _whole_line_ends(source.pieces()):
            crlf = text.count("\r\n")
            counts["num_chars"] += len(text)
            counts["num_crlf"] += crlf
            counts["num_cr"] += text.count("\r") - crlf
            counts["num_lf"] += text.count("\n") - crlf
            yield text if config.keeps_line_ends else _with_lf(text)

    problem = None
    source = FileSource(path, kept, notices=notices)
    try:
        for text, starts in split_documents(as_train_reads(), config.split_documents):
            tally.add(text, starts)
            first, *others = text.split("\n")
            longest = max(longest, line + len(first), *map(len, others))
            line = len(others[-1]) if others else line + len(first)
    except CorpusError as error:
        problem = str(error)
    finally:
        source.close()
    return FileReport(
        path=path,
        encoding=source.encoding,
        **counts,
        longest_line=longest,
        notices=tuple(source.notices),
        problem=problem,
    )


def _with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _whole_line_ends(pieces: Iterator[str]) -> Iterator[str]:
    """The same text in pieces that never end between CR and LF."""
    held = ""
    for piece in pieces:
        text = held + piece
        held = "\r" if text.endswith("\r") else ""
        yield text.removesuffix("\r") if held else text
    if held:
        yield held


def _repeated_documents(sample: str, config: CorpusConfig) -> int:
    """How many documents of a text came before."""
    if config.split_documents is None:
        return 0
    documents = documents_in(sample, config.split_documents)
    return len(documents) - len({document.rstrip("\n") for document in documents})


def _repeated_share(sample: str) -> float:
    """How much of a text stands in lines of some length that came before."""
    seen: set[bytes] = set()
    repeated = 0
    for line in sample.split("\n"):
        if len(line) < _REPEATED_LINE_CHARS:
            continue
        digest = hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        repeated += len(line) if digest in seen else 0
        seen.add(digest)
    return repeated / max(1, len(sample))


def _xz_bits(sample: str) -> float:
    return 8 * len(lzma.compress(sample.encode("utf-8", "surrogatepass"))) / len(sample)


def _ngram_bits(sample: str, config: CorpusConfig) -> float:
    """What counting alone reaches, on text that it hasn't counted."""
    documents = [sample]
    if config.split_documents is not None:
        documents = documents_in(sample, config.split_documents)
    if len(documents) >= MIN_DOCUMENTS:
        held_out = documents[::_HELD_OUT]
        learned = [one for number, one in enumerate(documents) if number % _HELD_OUT]
    else:
        text = "".join(documents)
        edge = len(text) - len(text) // _HELD_OUT
        learned, held_out = [text[:edge]], [text[edge:]]
    vocabulary = Vocabulary.of("".join(learned))
    train, text_split = Split.of(learned, vocabulary), Split.of(held_out, vocabulary)
    alphabet = Alphabet.of(config, vocabulary, num_train_chars=train.num_chars)
    ngrams = learn_ngrams(train, Split.of([], vocabulary), alphabet)
    return float(ngrams.score(text_split).nats_N.mean()) / NATS_PER_BIT


def _model(num_train_chars: int, num_characters: int) -> str | None:
    if num_train_chars < _MIN_TRAIN_CHARS:
        return None
    try:
        plan = make_plan(
            TrainSettings(),
            num_train_chars=num_train_chars,
            num_characters=num_characters,
            budget=Budget(minutes=DEFAULT_MINUTES),
            machine=Machine(device="cpu", precision="bfloat16", threads=2),
        )
    except CharLSTMError:
        return None
    return f"{plan.model}, {plan.reason}"


def _problems(
    found: Diagnosis, tally: _Tally, config: CorpusConfig, sample: str
) -> Iterator[Problem]:
    for file in found.files:
        if file.problem is not None:
            yield Problem(what=file.problem, cure="fix it, or leave the file out")
        kinds = [bool(file.num_lf), bool(file.num_crlf), bool(file.num_cr)]
        if (file.num_crlf or file.num_cr) and not config.keeps_line_ends:
            mixed = "mixed line ends" if sum(kinds) > 1 else "line ends other than LF"
            yield Problem(
                what=f"{file.path}: {mixed}, which become LF", cure="--keep-line-ends keeps them"
            )
        if file.longest_line > _MAX_LINE:
            yield Problem(
                what=f"{file.path}: a line of {file.longest_line:,} characters",
                cure="fine for training; if it is no text, leave it out or give --level byte",
            )
    if found.control_characters and config.level == "char":
        named = ", ".join(f"{code} {n:,} times" for code, n in found.control_characters.items())
        yield Problem(
            what=f"control characters: {named}", cure="if it is no text, give --level byte"
        )
    if found.num_rare and config.min_count == 1 and config.level == "char":
        yield Problem(
            what=f"{found.num_rare:,} of {found.num_characters:,} characters occur fewer than "
            f"{_RARE_COUNT} times: too rare to be learned",
            cure=f"--min-count {_RARE_COUNT} treats them as unknown",
        )
    if not tally.is_composed and config.normalize == "none" and config.level == "char":
        yield Problem(
            what="accented letters in several forms, or in pieces", cure="--normalize nfc"
        )
    if found.repeated_share > _MANY_REPEATS:
        yield Problem(
            what=f"{found.repeated_share:.0%} of the text is in repeated lines: validation "
            "text may also be training text",
            cure="remove the copies, or give separate --val and --test files",
        )
    yield from _problems_of_documents(found, config, sample)
    if 0 < found.num_chars < _MIN_CHARS:
        yield Problem(
            what=f"{found.num_chars:,} characters are few: expect poor samples",
            cure="add text, or start from a model of more text: --from RUN",
        )
    if not found.num_chars:
        yield Problem(what="no text at all", cure="name files that hold some")


def _problems_of_documents(
    found: Diagnosis, config: CorpusConfig, sample: str
) -> Iterator[Problem]:
    if config.split_documents is not None and found.num_documents == len(found.files):
        yield Problem(
            what=f"--split-documents {found_nowhere(config.split_documents)}",
            cure="give lines, blank-lines, or another pattern",
        )
    if found.num_repeated_documents > _MANY_REPEATS * found.num_documents:
        yield Problem(
            what=f"{found.num_repeated_documents:,} of {found.num_documents:,} documents are "
            "repeated",
            cure="eval leaves out those of the test that are in the training text",
        )
    if config.split_documents is None and looks_like_list(sample):
        yield Problem(
            what="looks like a list: short lines, each predicted from those before it",
            cure="--split-documents lines makes each line a document",
        )
