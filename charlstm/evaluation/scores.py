"""A model's per-character losses on a text, and statistics derived from them.

Shapes: N characters of the text, in order.
"""

import math
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from charlstm.config import NATS_PER_BIT
from charlstm.errors import CheckpointError, CorpusError
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import UNKNOWN

# Called with the number of characters processed since the last call.
Progress = Callable[[int], object]
# Positions [N] of some characters, and the log-probabilities there in nats, float32 [N, V].
Prediction = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

_NUM_BINS: Final = 10
KINDS: Final = ("letters", "digits", "spaces", "line ends", "punctuation", "other", "unknown")
UNKNOWN_KIND: Final = KINDS.index("unknown")
_CONTEXT_CHARS: Final = 24
_MAX_EXPONENT: Final = math.log(sys.float_info.max)
_LINE_ENDS: Final = "\n\r\v\f\x85\u2028\u2029"


def no_progress(_num_chars: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Sums over a scored text.

    Unknown characters count as one class with probability P(unknown), so the loss is a lower bound.
    `CharLosses.with_naming_cost` adds the cost of naming them.

    Args:
        num_chars: number of characters scored, including unknown ones.
        num_unknown: number of characters that are not in the vocabulary.
        num_correct: number of characters that the model ranked first.
        num_bytes: the text's length in UTF-8, or None if unknown.
    """

    num_chars: int
    num_unknown: int
    num_correct: int
    num_bytes: int | None
    nats: float

    @classmethod
    def of(cls, text: EncodedText, *, nats: float, num_correct: int) -> Self:
        """Return the sums over a text."""
        return cls(
            num_chars=text.num_chars,
            num_unknown=int(np.count_nonzero(text.ids == UNKNOWN)),
            num_correct=num_correct,
            num_bytes=text.num_bytes,
            nats=nats,
        )

    @classmethod
    def of_scores(cls, text: EncodedText, scores: "CharLosses") -> Self:
        """Return the sums over per-character losses."""
        return cls.of(
            text,
            nats=float(scores.nats_N.sum(dtype=np.float64)),
            num_correct=int(np.count_nonzero(scores.rank_N == 0)),
        )

    def joined(self, other: Self) -> Self:
        """Return the sums over both texts."""
        sums, other_sums = asdict(self), asdict(other)
        return type(self)(**{name: sums[name] + other_sums[name] for name in sums})

    @property
    def nats_per_char(self) -> float:
        return self.nats / self.num_chars

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / NATS_PER_BIT

    @property
    def bits_per_byte(self) -> float | None:
        """Loss per UTF-8 byte, comparable between vocabularies and with compressors, or None."""
        return self.nats / NATS_PER_BIT / self.num_bytes if self.num_bytes else None

    @property
    def perplexity(self) -> float:
        """Perplexity per character; infinite if it is too large for a float."""
        return math.exp(self.nats_per_char) if self.nats_per_char < _MAX_EXPONENT else math.inf

    @property
    def accuracy(self) -> float:
        return self.num_correct / self.num_chars


@dataclass(frozen=True, kw_only=True)
class ContextScore:
    """Loss of characters predicted from `num_context` preceding characters."""

    num_context: int
    nats_per_char: float

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / NATS_PER_BIT


@dataclass(frozen=True, kw_only=True)
class CharLosses:
    """Per-character losses of a text.

    Args:
        nats_N: losses, float32.
        rank_N: number of characters that were more likely, int32; at least the size of the
            vocabulary for unknown characters, because the model can't guess them.
        confidence_N: probability of the most likely id, perhaps the unknown one, float32.
    """

    nats_N: npt.NDArray[np.float32]
    rank_N: npt.NDArray[np.int32]
    confidence_N: npt.NDArray[np.float32]

    @classmethod
    def of(cls, predictions: Iterable[Prediction], text: EncodedText) -> Self:
        """Score a text from predictions of all its characters.

        Raises:
            CorpusError: when there are no characters.
        """
        scores = cls.empty(text.num_chars)
        for position_N, log_p_NV in predictions:
            scores.fill(position_N, log_p_NV, text.ids[position_N])
        return scores

    @classmethod
    def empty(cls, num_chars: int) -> Self:
        """Return uninitialized arrays for `num_chars` characters.

        Raises:
            CorpusError: when `num_chars` is 0.
        """
        if not num_chars:
            raise CorpusError("there are no characters to score")
        return cls(
            nats_N=np.empty(num_chars, np.float32),
            rank_N=np.empty(num_chars, np.int32),
            confidence_N=np.empty(num_chars, np.float32),
        )

    def fill(
        self,
        position_N: npt.NDArray[np.integer],
        log_p_NV: npt.NDArray[np.float32],
        ids_N: npt.NDArray[np.integer],
    ) -> None:
        """Fill in the losses at some positions.

        Args:
            log_p_NV: predicted log-probabilities, in nats.
            ids_N: the target ids.

        Raises:
            CheckpointError: when a loss is not finite.
        """
        log_p_N1 = np.take_along_axis(log_p_NV, ids_N[:, None].astype(np.intp), -1)
        if not np.isfinite(log_p_N1).all():
            raise CheckpointError("the model's weights are too large: its predictions overflow")
        self.nats_N[position_N] = -log_p_N1[:, 0]
        # The unknown token is never a correct guess, since it does not name a particular character.
        rank_N = np.count_nonzero(log_p_NV > log_p_N1, -1)
        self.rank_N[position_N] = rank_N + (ids_N == UNKNOWN) * log_p_NV.shape[-1]
        self.confidence_N[position_N] = np.exp(log_p_NV.max(-1))

    def with_naming_cost(self, text: EncodedText, tokenizer: CharTokenizer) -> Self:
        """Return the losses including the cost of naming each unknown character.

        Args:
            text: the scored text, encoded with `tokenizer`.
        """
        naming_N = (text.ids == UNKNOWN) * np.float32(tokenizer.unknown_nats)
        return replace(self, nats_N=self.nats_N + naming_N)

    def document_nats(self, text: EncodedText) -> npt.NDArray[np.float64]:
        """Return the loss of each document of the scored text, float64 [num_documents]."""
        nats_D: npt.NDArray[np.float64] = np.add.reduceat(
            self.nats_N, text.starts, dtype=np.float64
        )
        return nats_D

    def top_accuracy(self, k: int) -> float:
        """Return the fraction of characters that were among the k most likely."""
        return float(np.count_nonzero(self.rank_N < k)) / len(self.rank_N)


@dataclass(frozen=True, kw_only=True)
class DocumentScore:
    """One document of a scored text.

    Args:
        number: counted from 1.
        is_known: whether it also occurs in the training text; None if that is not available.
        text: readable, without EOS.
    """

    number: int
    num_chars: int
    nats: float
    is_known: bool | None
    text: str

    @property
    def bits(self) -> float:
        return self.nats / NATS_PER_BIT

    @property
    def bits_per_char(self) -> float:
        return self.bits / self.num_chars


def document_scores(
    scores: CharLosses,
    text: EncodedText,
    tokenizer: CharTokenizer,
    numbers: npt.NDArray[np.integer],
    *,
    is_repeated_D: npt.NDArray[np.bool_] | None,
) -> Iterator[DocumentScore]:
    """Yield the scores of some documents.

    Args:
        numbers: indices of the documents, from 0.
    """
    nats_D, lengths_D = scores.document_nats(text), text.lengths
    for number in numbers.tolist():
        start, length = int(text.starts[number]), int(lengths_D[number])
        tokens = tokenizer.decode(text.ids[start : start + length])
        yield DocumentScore(
            number=number + 1,
            num_chars=length,
            nats=float(nats_D[number]),
            is_known=None if is_repeated_D is None else bool(is_repeated_D[number]),
            text=tokenizer.to_text(tokenizer.without_end(tokens)),
        )


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """A bin of predictions with similar confidence.

    Args:
        confidence: mean probability of the most likely character.
        accuracy: fraction of predictions where it was correct.
    """

    num_chars: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibration of a model's confidence (Guo et al. 2017).

    Args:
        expected_error: expected calibration error, from 0 to 1.
        bins: non-empty bins of equal width in confidence.
    """

    expected_error: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, kw_only=True)
class KindScore:
    """Number and loss of characters of one kind."""

    kind: str
    num_chars: int
    nats: float

    @property
    def bits_per_char(self) -> float:
        return self.nats / self.num_chars / NATS_PER_BIT


class SurprisingCharacter(NamedTuple):
    """A character with one of the highest surprisals of a text.

    Args:
        place: position in the text, from 0.
        char: None if it is not in the vocabulary.
        bits: its surprisal.
        before, after: the text around it.
    """

    place: int
    char: str | None
    bits: float
    before: str
    after: str


def calibration(scores: CharLosses) -> Calibration:
    """Compute the calibration of a model's confidence."""
    number_N = np.minimum((scores.confidence_N * _NUM_BINS).astype(np.intp), _NUM_BINS - 1)
    num_chars = np.bincount(number_N, minlength=_NUM_BINS)
    confidence = np.bincount(number_N, scores.confidence_N, _NUM_BINS)
    accuracy = np.bincount(number_N, scores.rank_N == 0, _NUM_BINS)
    return Calibration(
        expected_error=float(np.abs(confidence - accuracy).sum() / num_chars.sum()),
        bins=tuple(
            CalibrationBin(num_chars=int(n), confidence=float(c / n), accuracy=float(a / n))
            for n, c, a in zip(num_chars, confidence, accuracy, strict=True)
            if n
        ),
    )


def by_kind(scores: CharLosses, text: EncodedText, tokenizer: CharTokenizer) -> list[KindScore]:
    """Return the losses of letters, digits, spaces and so on, for all kinds that occur."""
    number_N = kind_numbers(text, tokenizer)
    num_chars = np.bincount(number_N, minlength=len(KINDS))
    nats = np.bincount(number_N, scores.nats_N, len(KINDS))
    return [
        KindScore(kind=kind, num_chars=int(n), nats=float(sum_nats))
        for kind, n, sum_nats in zip(KINDS, num_chars, nats, strict=True)
        if n
    ]


def kind_numbers(text: EncodedText, tokenizer: CharTokenizer) -> npt.NDArray[np.intp]:
    """Return the index in `KINDS` of each character's kind, [num_chars].

    Non-ASCII bytes are of the kind "other".
    """
    is_byte = tokenizer.is_byte
    kinds = [_kind(char, is_byte=is_byte) for char in tokenizer.vocabulary.characters]
    number_of_id = np.array([UNKNOWN_KIND, *map(KINDS.index, kinds)])
    number_N: npt.NDArray[np.intp] = number_of_id[text.ids]
    return number_N


def most_surprising(
    scores: CharLosses, text: EncodedText, tokenizer: CharTokenizer, *, number: int = 10
) -> list[SurprisingCharacter]:
    """Return the characters with the highest surprisal, in descending order."""

    def decode(first: int, after: int) -> str:
        return tokenizer.text_of(text.ids[max(0, first) : after])

    number = min(number, len(scores.nats_N))
    places = np.argpartition(-scores.nats_N, number - 1)[:number]
    places = places[np.argsort(-scores.nats_N[places], kind="stable")]
    return [
        SurprisingCharacter(
            place=int(place),
            char=None if text.ids[place] == UNKNOWN else decode(place, place + 1),
            bits=float(scores.nats_N[place] / NATS_PER_BIT),
            before=decode(place - _CONTEXT_CHARS, place),
            after=decode(place + 1, place + 1 + _CONTEXT_CHARS),
        )
        for place in places
    ]


def _kind(char: str, *, is_byte: bool) -> str:
    if char in _LINE_ENDS:
        return "line ends"
    if is_byte and char >= "\x80":
        return "other"
    category = unicodedata.category(char)
    if category == "Zs" or char == "\t":
        return "spaces"
    return {
        "L": "letters",
        "M": "letters",
        "N": "digits",
        "P": "punctuation",
        "S": "punctuation",
    }.get(category[0], "other")
