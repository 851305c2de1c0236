"""The significance of the difference between two models' losses on a text.

Differences of documents, or of blocks of 1,000 characters, are treated as independent observations:
neighbouring characters are correlated, the sums of long blocks hardly are. The interval covers the
choice of the text, not the training seed.

Shapes: N characters of the text, U blocks, G groups of characters.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import NATS_PER_BIT
from charlstm.errors import CorpusError
from charlstm.evaluation.scores import KINDS, UNKNOWN_KIND, CharLosses, kind_numbers
from charlstm.model.checkpoints import RunSpec
from charlstm.reading.documents import EOS
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import UNKNOWN

Unit = Literal["character", "document"]

_BLOCK_LENGTH: Final = 1000
# Minimum number of blocks for a confidence interval.
MIN_BLOCKS: Final = 20
_NORMAL_QUANTILE: Final = 1.959964  # 97.5 %
# Excess over the validation loss; runs that only differ in their seed show smaller ones.
_NOTABLE_EXCESS: Final = 0.03
# The settings that determine how another text is read.
_READING_SETTINGS: Final = ("normalize", "keep_line_ends", "split_documents", "column", "encoding")
# Lower bounds of the classes of context length.
_CONTEXT_EDGES: Final = (0, 16, 64, 256)


@dataclass(frozen=True, kw_only=True)
class PairedLosses:
    """Both models' total losses on some characters."""

    num_chars: int
    nats: float
    other_nats: float

    @property
    def bits_per_char(self) -> float:
        return self.nats / self.num_chars / NATS_PER_BIT

    @property
    def other_bits_per_char(self) -> float:
        return self.other_nats / self.num_chars / NATS_PER_BIT

    @property
    def difference_bits_per_char(self) -> float:
        return (self.nats - self.other_nats) / self.num_chars / NATS_PER_BIT


@dataclass(frozen=True, kw_only=True)
class KindDifference(PairedLosses):
    """Both models' losses on one kind of character."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class ContextDifference(PairedLosses):
    """Both models' losses on characters with a certain amount of context.

    Args:
        min_context: minimum number of preceding characters in the document.
        max_context: maximum number; None for no limit.
    """

    min_context: int
    max_context: int | None


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference(PairedLosses):
    """A comparison of two models on the same text; negative differences favour the first.

    Args:
        num_unknown: number of characters that are not in the model's vocabulary.
        other_num_unknown: the same for the other model.
        low_bits_per_char, high_bits_per_char: 95 % confidence interval of the difference; None if
            the text is too short.
        unit: what blocks consist of.
        block_length: 1 document, or 1,000 characters.
        by_kind: characters that are unknown to either model are of the kind "unknown".
        by_context: by the number of preceding characters in the document.
    """

    num_unknown: int
    other_num_unknown: int
    low_bits_per_char: float | None
    high_bits_per_char: float | None
    unit: Unit
    block_length: int
    num_blocks: int
    by_kind: tuple[KindDifference, ...]
    by_context: tuple[ContextDifference, ...]

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant: the interval exists and excludes 0."""
        low, high = self.low_bits_per_char, self.high_bits_per_char
        return low is not None and high is not None and (low > 0 or high < 0)


def require_same_reading(*specs: RunSpec, names: tuple[str, str], of_files: bool = True) -> None:
    """Check that two models read texts in the same way.

    Args:
        specs: of two models called `names`.
        of_files: whether they will read text other than their common training text.

    Raises:
        CorpusError: naming the setting in which they differ.
    """
    first, second = names
    for name in ("level", *_READING_SETTINGS) if of_files else ("level",):
        value, other_value = (getattr(spec.corpus, name) for spec in specs)
        if value != other_value:
            option = f"--{name.replace('_', '-')}"
            raise CorpusError(
                f"{first} and {second} read texts in different ways ({option}: {value} and "
                f"{other_value}), so their losses per character can't be compared"
            )
    if of_files and len({EOS in spec.vocabulary.characters for spec in specs}) > 1:
        raise CorpusError(
            f"only one of {first} and {second} was trained with ends of documents, so they read "
            "other texts in different ways"
        )


def compare(
    scores: CharLosses,
    other: CharLosses,
    text: EncodedText,
    other_text: EncodedText,
    tokenizer: CharTokenizer,
    other_tokenizer: CharTokenizer,
) -> Difference:
    """Compare two models character by character.

    Losses include the cost of naming unknown characters, so that a smaller vocabulary is not an
    advantage.

    Args:
        scores: per-character losses of the model.
        other: per-character losses of the other model.
        text: the text encoded with `tokenizer`.
        other_text: the same text encoded with `other_tokenizer`.
    """
    scores = scores.with_naming_cost(text, tokenizer)
    other = other.with_naming_cost(other_text, other_tokenizer)
    unit, first_U = _blocks(text)
    nats_N = scores.nats_N.astype(np.float64) - other.nats_N
    low, high = interval_of_mean(nats_N / NATS_PER_BIT, text) or (None, None)
    is_other_unknown_N = other_text.ids == UNKNOWN
    kind_N = np.where(is_other_unknown_N, UNKNOWN_KIND, kind_numbers(text, tokenizer))
    return Difference(
        num_chars=text.num_chars,
        num_unknown=int(np.count_nonzero(text.ids == UNKNOWN)),
        other_num_unknown=int(np.count_nonzero(is_other_unknown_N)),
        nats=float(scores.nats_N.sum(dtype=np.float64)),
        other_nats=float(other.nats_N.sum(dtype=np.float64)),
        low_bits_per_char=low,
        high_bits_per_char=high,
        unit=unit,
        block_length=1 if unit == "document" else _BLOCK_LENGTH,
        num_blocks=len(first_U),
        by_kind=tuple(_by_kind(scores, other, kind_N)),
        by_context=tuple(_by_context(scores, other, text)),
    )


def _by_kind(
    scores: CharLosses, other: CharLosses, kind_N: npt.NDArray[np.integer]
) -> Iterator[KindDifference]:
    for number, sums in _sums_by_group(scores, other, kind_N):
        yield KindDifference(kind=KINDS[number], **sums)


def _by_context(
    scores: CharLosses, other: CharLosses, text: EncodedText
) -> Iterator[ContextDifference]:
    context_N = np.arange(text.num_chars) - np.repeat(text.starts, text.lengths)
    edges = (*_CONTEXT_EDGES, None)
    group_N = np.searchsorted(_CONTEXT_EDGES, context_N, side="right") - 1
    for number, sums in _sums_by_group(scores, other, group_N):
        after = edges[number + 1]
        yield ContextDifference(
            min_context=_CONTEXT_EDGES[number],
            max_context=None if after is None else after - 1,
            **sums,
        )


def _sums_by_group(
    scores: CharLosses, other: CharLosses, group_N: npt.NDArray[np.integer]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (index, sums) for each group that occurs."""
    num_chars_G = np.bincount(group_N)
    nats_G, other_nats_G = (np.bincount(group_N, s.nats_N) for s in (scores, other))
    for number in np.flatnonzero(num_chars_G):
        yield (
            int(number),
            {
                "num_chars": int(num_chars_G[number]),
                "nats": float(nats_G[number]),
                "other_nats": float(other_nats_G[number]),
            },
        )


def interval_of_mean(values_N: npt.NDArray[np.float64], text: EncodedText) -> Interval | None:
    """Return the 95 % confidence interval of a mean over characters, or None with too few blocks.

    It is the interval of a ratio estimator (Cochran 1977, "Sampling Techniques", 6.4) with
    Student's distribution. In simulations (tests/evaluation/test_difference.py) with 20,000
    characters, the true mean was outside for 3 to 8 % of texts, for correlations between neighbours
    of 0, 0.9 and 0.98, and for weak (0.08) but long-range correlations.

    Args:
        values_N: one value for each character, such as a difference of losses.
    """
    _, first_U = _blocks(text)
    number = len(first_U)
    if number < MIN_BLOCKS:
        return None
    sums_U = np.add.reduceat(values_N, first_U)
    lengths_U = np.diff(np.append(first_U, text.num_chars))
    mean = float(sums_U.sum() / lengths_U.sum())
    residuals_U = sums_U - mean * lengths_U
    error = math.sqrt(number / (number - 1) * float(residuals_U @ residuals_U)) / text.num_chars
    margin = _student_quantile(number - 1) * error
    return Interval(mean - margin, mean + margin)


def _blocks(text: EncodedText) -> tuple[Unit, npt.NDArray[np.integer]]:
    """Return the unit of a text's blocks, and where each block starts [U]."""
    lengths = text.lengths.astype(np.float64)
    # Effective number of documents, given their different lengths (Kish 1965).
    if lengths.sum() ** 2 >= MIN_BLOCKS * (lengths**2).sum():
        return "document", text.starts
    return "character", np.arange(0, max(1, text.num_chars - _BLOCK_LENGTH // 2), _BLOCK_LENGTH)


def _student_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t (Abramowitz & Stegun 1964, 26.7.5)."""
    z = _NORMAL_QUANTILE
    return z + (z**3 + z) / 4 / freedom + (5 * z**5 + 16 * z**3 + 3 * z) / 96 / freedom**2


class WorseThanValidation(NamedTuple):
    """A test loss that is notably higher than the validation loss, in bits per character.

    Args:
        low, high: 95 % confidence interval of the test loss: the range expected of other parts of
            the text with the same length.
    """

    bits_per_char: float
    val_bits_per_char: float
    low: float
    high: float


def worse_than_validation(
    scores: CharLosses, text: EncodedText, val_bits_per_char: float
) -> WorseThanValidation | None:
    """Return the two losses if the test loss is notably higher than validation's, else None.

    Args:
        scores: per-character losses of the test text.
    """
    bits_N = scores.nats_N.astype(np.float64) / NATS_PER_BIT
    bits = float(bits_N.mean())
    interval = interval_of_mean(bits_N, text)
    if interval is None or bits <= (1 + _NOTABLE_EXCESS) * val_bits_per_char:
        return None
    return WorseThanValidation(bits, val_bits_per_char, interval.low, interval.high)
