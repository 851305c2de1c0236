"""Checks of a text for `corpus check`: how `train` reads it, and how predictable it is."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from charlstm.config import NATS_PER_BIT, Budget, ReadingConfig
from charlstm.evaluation.baselines import all_baselines
from charlstm.reading.filelist import FileList, Skipped
from charlstm.settings import DEFAULT_MINUTES, TrainSettings
from charlstm.text.corpus import Corpus, FileReport, load_corpus
from charlstm.text.duplicates import are_repeated
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import UNKNOWN
from charlstm.training.auto_config import Machine, auto_configure

# Only the start of longer training texts is analysed.
_SAMPLE_CHARS: Final = 16_000_000
_MIN_SCORED_CHARS: Final = 100
_RARE_COUNT: Final = 10
_MIN_CHARS: Final = 50_000
_MAX_EPOCHS: Final = 1000
_MANY_REPEATS: Final = 0.1
_ALLOWED_CONTROLS: Final = "\n\r\t"


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """Statistics of one split; a document that is cut counts in both splits."""

    name: str
    num_chars: int
    num_documents: int
    num_unknown: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that may harm training, and what to do about it."""

    what: str
    cure: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The findings of `diagnose`.

    Args:
        skipped: files in folders that are not text.
        notices: notices that `train` shows for the text.
        num_characters: size of the vocabulary.
        num_rare: number of characters that occur fewer than ten times in the training text.
        control_characters: counts of control characters other than tab and line ends there.
        repeated_unit: `documents`, or `lines` if documents have several lines.
        num_units: number of units in all splits.
        num_repeated: number of units that occurred before.
        repeated_share: fraction of the text in repeated units.
        baseline_bits_per_char: baselines as in `eval`, on the test text or else the validation
            text; empty if both are too short.
        model: model that the default budget would train on two cores, estimated; None if the text
            is too short for that.
    """

    files: tuple[FileReport, ...]
    skipped: tuple[Skipped, ...]
    notices: tuple[str, ...]
    splits: tuple[SplitReport, ...]
    num_characters: int
    num_rare: int
    control_characters: dict[str, int]
    repeated_unit: str
    num_units: int
    num_repeated: int
    repeated_share: float
    baseline_bits_per_char: dict[str, float]
    model: str | None
    problems: tuple[Problem, ...]

    @property
    def num_chars(self) -> int:
        return sum(split.num_chars for split in self.splits)


def diagnose(config: ReadingConfig) -> Diagnosis:
    """Read a corpus as `train` does, and check it.

    Raises:
        CorpusError: as `load_corpus` does.
    """
    files = FileList.of(config)
    corpus = load_corpus(config, files)
    train = corpus.train.part(0, _SAMPLE_CHARS)
    characters = corpus.vocabulary.characters
    counts_V = np.bincount(train.ids, minlength=len(corpus.tokenizer))[1:]
    # In running text and poems, lines may repeat although documents don't.
    has_lines = config.split_documents != "lines" and "\n" in characters
    parts = list(corpus.splits.values())
    if has_lines:
        parts = [_by_lines(part.part(0, _SAMPLE_CHARS), corpus) for part in parts]
    is_repeated = are_repeated(parts, corpus.tokenizer)
    lengths = np.concatenate([part.lengths for part in parts])
    diagnosis = Diagnosis(
        files=corpus.files,
        skipped=files.skipped,
        notices=corpus.notices,
        splits=tuple(
            SplitReport(
                name=name,
                num_chars=split.num_chars,
                num_documents=len(split.starts),
                num_unknown=int(np.count_nonzero(split.ids == UNKNOWN)),
            )
            for name, split in corpus.splits.items()
        ),
        num_characters=len(characters),
        num_rare=int(np.count_nonzero(counts_V < _RARE_COUNT)),
        control_characters={
            f"U+{ord(char):04X}": int(count)
            for char, count in zip(characters, counts_V, strict=True)
            if unicodedata.category(char) == "Cc" and char not in _ALLOWED_CONTROLS
        },
        repeated_unit="lines" if has_lines else "documents",
        num_units=len(lengths),
        num_repeated=int(is_repeated.sum()),
        repeated_share=float(lengths[is_repeated].sum() / lengths.sum()),
        baseline_bits_per_char=_baselines(corpus, train),
        model=_model(corpus),
        problems=(),
    )
    text = corpus.tokenizer.decode(train.ids)
    return replace(diagnosis, problems=tuple(_problems(diagnosis, config, text)))


def _by_lines(split: EncodedText, corpus: Corpus) -> EncodedText:
    """Return the lines of a split as documents, without the empty ones."""
    (line_end,) = corpus.tokenizer.encode("\n")
    ends = np.flatnonzero(split.ids == line_end) + 1
    starts = np.union1d(split.starts, ends[ends < split.num_chars])
    lines = EncodedText(ids=split.ids, starts=starts)
    return lines.documents(lines.lengths > 1)


def _baselines(corpus: Corpus, train: EncodedText) -> dict[str, float]:
    """Return the bits per character of held-out text, by predictor."""
    text, val = corpus.test, corpus.val
    if text.num_chars < _MIN_SCORED_CHARS:
        text, val = val, val.part(0, 0)
    if text.num_chars < _MIN_SCORED_CHARS:
        return {}
    baselines = all_baselines(corpus.tokenizer, train=train, val=val, text=text)
    return {baseline.name: baseline.nats / text.num_chars / NATS_PER_BIT for baseline in baselines}


def _model(corpus: Corpus) -> str | None:
    plan = auto_configure(
        TrainSettings(),
        num_train_chars=corpus.train.num_chars,
        num_characters=len(corpus.vocabulary),
        budget=Budget(minutes=DEFAULT_MINUTES),
        machine=Machine(device="cpu", precision="bfloat16", threads=2),
    )
    if plan.epochs > _MAX_EPOCHS:
        return None
    return f"{plan.model}, {plan.extent}"


def _problems(diagnosis: Diagnosis, config: ReadingConfig, text: str) -> Iterator[Problem]:
    is_char = config.level == "char"
    if diagnosis.control_characters and is_char:
        named = ", ".join(f"{code} {n:,} times" for code, n in diagnosis.control_characters.items())
        yield Problem(
            what=f"control characters: {named}", cure="use --level byte if this is not text"
        )
    if is_char and config.normalize == "none" and not unicodedata.is_normalized("NFC", text):
        yield Problem(
            what="accented letters in composed and decomposed forms", cure="--normalize nfc"
        )
    if diagnosis.repeated_share > _MANY_REPEATS:
        cure = "remove the copies, or use separate --val and --test files"
        if diagnosis.repeated_unit == "documents":
            cure = "eval excludes test documents that are in the training text"
        yield Problem(
            what=f"{diagnosis.repeated_share:.0%} of the text is in repeated "
            f"{diagnosis.repeated_unit}: validation text may also be training text",
            cure=cure,
        )
    if diagnosis.num_chars < _MIN_CHARS:
        yield Problem(
            what=f"only {diagnosis.num_chars:,} characters: samples will be poor",
            cure="add text, or fine-tune a model of a larger text: --from RUN",
        )
