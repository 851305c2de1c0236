"""What a model made of a text, and of each of its characters, and what can be read off that.

Shapes: N characters of the text, in their order.
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
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN

# Is told how many more characters were dealt with.
Progress = Callable[[int], object]
# Places of some characters, and the natural logarithms of the distributions there, float32 [N, V].
Prediction = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

_NUM_BINS: Final = 10
KINDS: Final = ("letters", "digits", "spaces", "line ends", "punctuation", "other", "unknown")
UNKNOWN_KIND: Final = KINDS.index("unknown")
_CONTEXT_CHARS: Final = 24
_MAX_EXPONENT: Final = math.log(sys.float_info.max)
_LINE_ENDS: Final = "\n\r\v\f\x85\u2028\u2029"


def require_finite(nats_N: npt.NDArray[np.floating]) -> None:
    """Refuse costs that large weights made overflow.

    Raises:
        CheckpointError: when one is not finite.
    """
    if not np.isfinite(nats_N).all():
        raise CheckpointError("the model's weights are too large: its predictions overflow")


def unseen(_num_chars: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Sums over a scored text; nats are natural-logarithm units of information.

    The unknown characters count as one class: their cost is that of P(unknown), and so a lower
    bound. `upper_bits_per_char` adds the cost of naming them.

    Args:
        num_chars: characters scored, each once, including the unknown ones.
        num_unknown: characters that the model's vocabulary lacks.
        num_correct: characters that were the model's most likely candidate.
        num_bytes: the text's length in UTF-8; None where it isn't counted.
    """

    num_chars: int
    num_unknown: int
    num_correct: int
    num_bytes: int | None
    nats: float

    @classmethod
    def of(cls, split: Split, *, nats: float, num_correct: int) -> Self:
        """The sums over a whole split."""
        return cls(
            num_chars=split.num_chars,
            num_unknown=int(np.count_nonzero(split.ids == UNKNOWN)),
            num_correct=num_correct,
            num_bytes=split.num_bytes,
            nats=nats,
        )

    @classmethod
    def of_scores(cls, split: Split, scores: "Scores") -> Self:
        """The sums over the scores of a whole split."""
        return cls.of(
            split,
            nats=float(scores.nats_N.sum(dtype=np.float64)),
            num_correct=int(np.count_nonzero(scores.rank_N == 0)),
        )

    def joined(self, other: Self) -> Self:
        """The sums over both texts."""
        mine, others = asdict(self), asdict(other)
        return type(self)(**{name: mine[name] + others[name] for name in mine})

    @property
    def nats_per_char(self) -> float:
        return self.nats / self.num_chars

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / NATS_PER_BIT

    def upper_bits_per_char(self, unknown_nats: float) -> float:
        """Return the cost with every unknown character named.

        Args:
            unknown_nats: as of `Alphabet`.
        """
        return (self.nats + self.num_unknown * unknown_nats) / self.num_chars / NATS_PER_BIT

    @property
    def bits_per_byte(self) -> float | None:
        """Comparable between vocabularies and with compressors; None without a byte."""
        return self.nats / NATS_PER_BIT / self.num_bytes if self.num_bytes else None

    @property
    def perplexity(self) -> float:
        """Infinite where it is too large for a float."""
        return math.exp(self.nats_per_char) if self.nats_per_char < _MAX_EXPONENT else math.inf

    @property
    def accuracy(self) -> float:
        return self.num_correct / self.num_chars


@dataclass(frozen=True, kw_only=True)
class ContextScore:
    """The cost of characters that are predicted from `num_context` characters before them."""

    num_context: int
    nats_per_char: float

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / NATS_PER_BIT


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Every character's score.

    Args:
        nats_N: its cost, float32.
        rank_N: how many characters were more likely, int32; for unknown characters the size of the
            vocabulary or more, since the unknown symbol is never a guess.
        confidence_N: the probability of the most likely character, float32.
    """

    nats_N: npt.NDArray[np.float32]
    rank_N: npt.NDArray[np.int32]
    confidence_N: npt.NDArray[np.float32]

    @classmethod
    def of(cls, predictions: Iterable[Prediction], split: Split) -> Self:
        """The scores of a text whose every character was predicted.

        Raises:
            CorpusError: when there are no characters.
        """
        scores = cls.empty(split.num_chars)
        for place_N, log_p_NV in predictions:
            scores.put(place_N, log_p_NV, split.ids[place_N])
        return scores

    @classmethod
    def empty(cls, num_chars: int) -> Self:
        """Room for the scores of so many characters.

        Raises:
            CorpusError: when there are none.
        """
        if not num_chars:
            raise CorpusError("there are no characters to score")
        return cls(
            nats_N=np.empty(num_chars, np.float32),
            rank_N=np.empty(num_chars, np.int32),
            confidence_N=np.empty(num_chars, np.float32),
        )

    def put(
        self,
        place_N: npt.NDArray[np.integer],
        log_p_NV: npt.NDArray[np.float32],
        ids_N: npt.NDArray[np.integer],
    ) -> None:
        """Enter the scores of characters at some places.

        Args:
            log_p_NV: the distributions that predicted them, natural logarithms.
            ids_N: what came.

        Raises:
            CheckpointError: when finite weights gave costs that are not finite.
        """
        log_p_N1 = np.take_along_axis(log_p_NV, ids_N[:, None].astype(np.intp), -1)
        require_finite(log_p_N1)
        self.nats_N[place_N] = -log_p_N1[:, 0]
        # Unknown is never a guess: whatever comes at its place, the model has no name for it.
        rank_N = np.count_nonzero(log_p_NV > log_p_N1, -1)
        self.rank_N[place_N] = rank_N + (ids_N == UNKNOWN) * log_p_NV.shape[-1]
        self.confidence_N[place_N] = np.exp(log_p_NV.max(-1))

    def naming_unknown(self, split: Split, alphabet: Alphabet) -> Self:
        """Return the scores with the cost of naming each unknown character added.

        Args:
            split: the scored text, as the alphabet encodes it.
        """
        named_N = (split.ids == UNKNOWN) * np.float32(alphabet.unknown_nats)
        return replace(self, nats_N=self.nats_N + named_N)

    def nats_of_documents(self, split: Split) -> npt.NDArray[np.float64]:
        """The cost of each document of the scored text, [num_documents]."""
        nats_D: npt.NDArray[np.float64] = np.add.reduceat(
            self.nats_N, split.starts, dtype=np.float64
        )
        return nats_D

    def top_accuracy(self, k: int) -> float:
        """The share of characters that were among the k most likely."""
        return float(np.count_nonzero(self.rank_N < k)) / len(self.rank_N)


@dataclass(frozen=True, kw_only=True)
class DocumentScore:
    """One document of a scored text.

    Args:
        number: from 1.
        is_known: whether it stands in the training text; None where that isn't at hand.
        text: without what ends it, readable.
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
    scores: Scores,
    split: Split,
    alphabet: Alphabet,
    numbers: npt.NDArray[np.integer],
    *,
    is_known_D: npt.NDArray[np.bool_] | None,
) -> Iterator[DocumentScore]:
    """Some of the documents, one after another.

    Args:
        numbers: which, from 0.
    """
    nats_D, lengths_D = scores.nats_of_documents(split), split.lengths
    for number in numbers.tolist():
        start, length = int(split.starts[number]), int(lengths_D[number])
        symbols = alphabet.decode(split.ids[start : start + length])
        yield DocumentScore(
            number=number + 1,
            num_chars=length,
            nats=float(nats_D[number]),
            is_known=None if is_known_D is None else bool(is_known_D[number]),
            text=alphabet.to_text(alphabet.without_end(symbols)),
        )


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Characters whose most likely candidate had about the same probability.

    Args:
        confidence: the mean of that probability.
        accuracy: how often the candidate came.
    """

    num_chars: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well confidence agrees with accuracy (Guo et al. 2017).

    Args:
        expected_error: the mean distance of confidence and accuracy, weighted by characters.
        bins: of equal width in confidence, the empty ones left out.
    """

    expected_error: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, kw_only=True)
class KindScore:
    """One kind of character: its share of the text and of the cost."""

    kind: str
    num_chars: int
    nats: float

    @property
    def bits_per_char(self) -> float:
        return self.nats / self.num_chars / NATS_PER_BIT


class Surprise(NamedTuple):
    """A character that the model didn't expect.

    Args:
        place: in the text, counted from 0.
        char: None where the vocabulary lacks it.
        before: the end of what stands before it; `after`: what follows.
    """

    place: int
    char: str | None
    bits: float
    before: str
    after: str


def calibration(scores: Scores) -> Calibration:
    """Compare confidence with accuracy."""
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


def by_kind(scores: Scores, split: Split, alphabet: Alphabet) -> list[KindScore]:
    """The cost of letters, digits, spaces and so on; kinds that don't occur are left out."""
    number_N = kind_numbers(split, alphabet)
    num_chars = np.bincount(number_N, minlength=len(KINDS))
    nats = np.bincount(number_N, scores.nats_N, len(KINDS))
    return [
        KindScore(kind=kind, num_chars=int(n), nats=float(sum_of_nats))
        for kind, n, sum_of_nats in zip(KINDS, num_chars, nats, strict=True)
        if n
    ]


def kind_numbers(split: Split, alphabet: Alphabet) -> npt.NDArray[np.intp]:
    """The number in `KINDS` of each character's kind, [num_chars].

    Of bytes only those that are ASCII have a known kind.
    """
    is_byte = alphabet.is_byte
    kinds = [_kind(char, is_byte=is_byte) for char in alphabet.vocabulary.characters]
    number_of_id = np.array([UNKNOWN_KIND, *map(KINDS.index, kinds)])
    number_N: npt.NDArray[np.intp] = number_of_id[split.ids]
    return number_N


def most_surprising(
    scores: Scores, split: Split, alphabet: Alphabet, *, number: int = 10
) -> list[Surprise]:
    """The most expensive characters, in descending order of cost."""

    def decode(first: int, after: int) -> str:
        return alphabet.text_of(split.ids[max(0, first) : after])

    number = min(number, len(scores.nats_N))
    places = np.argpartition(-scores.nats_N, number - 1)[:number]
    places = places[np.argsort(-scores.nats_N[places], kind="stable")]
    return [
        Surprise(
            place=int(place),
            char=None if split.ids[place] == UNKNOWN else decode(place, place + 1),
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
