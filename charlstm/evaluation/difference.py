"""By how much two models' costs of one text differ, and whether chance explains it.

What a text costs two models depends on which text it is. So the differences of documents, or of
blocks of 1,000 characters, are taken as a sample of what other texts of the kind would show:
neighbouring characters depend on each other, the sums of long blocks hardly do. The interval says
nothing of what another seed of the training would change.

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
from charlstm.evaluation.scores import KINDS, UNKNOWN_KIND, Scores, kind_numbers
from charlstm.model.checkpoints import RunSpec
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split
from charlstm.text.vocabulary import END, UNKNOWN

Unit = Literal["character", "document"]

_BLOCK_LENGTH: Final = 1000
# Blocks, without which there is no interval.
MIN_BLOCKS: Final = 20
_NORMAL_QUANTILE: Final = 1.959964  # of 97.5 %
# Relative to validation; what is less, runs that differ in their seed alone also show.
_NOTABLE: Final = 0.03
# What of a corpus's settings the symbols of another text depend on.
_READING: Final = ("normalize", "keep_line_ends", "split_documents", "column", "encoding")
# Lengths of context at which its effect is asked for, each four times the one before.
_CONTEXT_EDGES: Final = (0, 16, 64, 256)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What some characters cost both models, in all."""

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
class KindDifference(Costs):
    """What one kind of character cost both models."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class ContextDifference(Costs):
    """What the characters that so much context stands before cost both models.

    Args:
        min_context: characters of the document before each of them, at least.
        max_context: at most; None for any number.
    """

    min_context: int
    max_context: int | None


class Interval(NamedTuple):
    """An interval of 95 %, in the unit of the costs per character."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference(Costs):
    """A model and another one on the same text; differences are below 0 where it is the better.

    Args:
        num_unknown: characters that the model's vocabulary lacks; `other_num_unknown` likewise.
        low_bits_per_char: where the interval of 95 % of the difference begins; None where the text
            is too short for one. `high_bits_per_char` is where it ends.
        unit: what the text was cut into: blocks of characters, or documents.
        num_blocks: how many of them.
        by_kind: a character that either model lacks is of the kind unknown.
        by_context: by the number of characters before them in their document.
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
    def is_certain(self) -> bool:
        """Whether there is an interval, and it leaves out 0."""
        low, high = self.low_bits_per_char, self.high_bits_per_char
        return low is not None and high is not None and (low > 0 or high < 0)


def require_same_reading(*specs: RunSpec, names: tuple[str, str], of_files: bool = True) -> None:
    """Refuse models whose characters are not the same.

    Args:
        specs: of two models, with these names.
        of_files: whether they are to read another text than the one that both learned from.

    Raises:
        CorpusError: naming the setting in which they differ.
    """
    one, two = names
    for name in ("level", *_READING) if of_files else ("level",):
        own, others = (getattr(spec.corpus, name) for spec in specs)
        if own != others:
            option = f"--{name.replace('_', '-')}"
            raise CorpusError(
                f"{one} and {two} read texts in different ways ({option}: {own} and {others}), so "
                "their costs per character can't be compared"
            )
    if of_files and len({END in spec.vocabulary.characters for spec in specs}) > 1:
        raise CorpusError(
            f"one of {one} and {two} learned where files end, the other didn't: they read another "
            "text in different ways"
        )


def compare(
    scores: Scores,
    other: Scores,
    text: Split,
    other_text: Split,
    alphabet: Alphabet,
    other_alphabet: Alphabet,
) -> Difference:
    """Compare two models character by character.

    Unknown characters are named, so that a smaller vocabulary is not an advantage.

    Args:
        scores: the model's scores; `other` the other model's.
        text: as `alphabet` encodes it; `other_text` is the same text in `other_alphabet`.
    """
    scores = scores.naming_unknown(text, alphabet)
    other = other.naming_unknown(other_text, other_alphabet)
    unit, first_U = _blocks(text)
    nats_N = scores.nats_N.astype(np.float64) - other.nats_N
    low, high = interval_of_mean(nats_N / NATS_PER_BIT, text) or (None, None)
    is_other_unknown_N = other_text.ids == UNKNOWN
    kind_N = np.where(is_other_unknown_N, UNKNOWN_KIND, kind_numbers(text, alphabet))
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
    scores: Scores, other: Scores, kind_N: npt.NDArray[np.integer]
) -> Iterator[KindDifference]:
    for number, sums in _sums_by_group(scores, other, kind_N):
        yield KindDifference(kind=KINDS[number], **sums)


def _by_context(scores: Scores, other: Scores, text: Split) -> Iterator[ContextDifference]:
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
    scores: Scores, other: Scores, group_N: npt.NDArray[np.integer]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each group that occurs, how many characters it has, and what they cost."""
    num_chars_G = np.bincount(group_N)
    nats_G, other_nats_G = (np.bincount(group_N, one.nats_N) for one in (scores, other))
    for number in np.flatnonzero(num_chars_G):
        yield (
            int(number),
            {
                "num_chars": int(num_chars_G[number]),
                "nats": float(nats_G[number]),
                "other_nats": float(other_nats_G[number]),
            },
        )


def interval_of_mean(values_N: npt.NDArray[np.float64], text: Split) -> Interval | None:
    """The interval of 95 % of the mean of one value for each character, say a difference of costs.

    The usual one of a ratio of two sums (Cochran 1977, "Sampling Techniques", 6.4), by Student's
    distribution. Simulations (tests/evaluation/test_difference.py) found the mean outside for 3 to
    8 % of texts of 20,000 characters, whether neighbours are independent, correlated by 0.9 or by
    0.98, or hardly (by 0.08) but over hundreds of characters.

    Returns:
        None where there are too few blocks.
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


def _blocks(text: Split) -> tuple[Unit, npt.NDArray[np.integer]]:
    """What a text is cut into, and where each begins."""
    lengths = text.lengths.astype(np.float64)
    # As many documents of the same length would tell as much (Kish 1965).
    if lengths.sum() ** 2 >= MIN_BLOCKS * (lengths**2).sum():
        return "document", text.starts
    return "character", np.arange(0, max(1, text.num_chars - _BLOCK_LENGTH // 2), _BLOCK_LENGTH)


def _student_quantile(freedom: int) -> float:
    """Student's quantile of 97.5 % (Abramowitz & Stegun 1964, 26.7.5)."""
    z = _NORMAL_QUANTILE
    return z + (z**3 + z) / 4 / freedom + (5 * z**5 + 16 * z**3 + 3 * z) / 96 / freedom**2


class WorseThanValidation(NamedTuple):
    """A test text that costs notably more than validation did, bits per character.

    Args:
        low: where the interval of 95 % of the test's cost begins: what another part of the text as
            long would cost; `high` is where it ends.
    """

    bits_per_char: float
    val_bits_per_char: float
    low: float
    high: float


def worse_than_validation(
    scores: Scores, text: Split, val_bits_per_char: float
) -> WorseThanValidation | None:
    """Whether a test text costs so much more than validation that a reader would wonder.

    Args:
        scores: of the test text.
    """
    bits_N = scores.nats_N.astype(np.float64) / NATS_PER_BIT
    bits = float(bits_N.mean())
    interval = interval_of_mean(bits_N, text)
    if interval is None or bits <= (1 + _NOTABLE) * val_bits_per_char:
        return None
    return WorseThanValidation(bits, val_bits_per_char, interval.low, interval.high)
