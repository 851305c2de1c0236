"""By how much two models' costs of one text differ, and whether chance explains it.

What a text costs two models depends on which text it is, and neighbouring characters are not
independent: a name that one of the models knows comes again and again. So the interval comes from a
paired block bootstrap. The differences are resampled, not the two costs, and whole blocks of
neighbours at a time (Künsch 1989, "The jackknife and the bootstrap for general stationary
observations"), on a circle (Politis & Romano 1992). It says what another text of the kind would
show, and nothing of what another seed of the training would.

Shapes: N characters of the text, U units that are resampled, G groups of characters.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.errors import CorpusError
from charlstm.evaluation.scores import KINDS, UNKNOWN_KIND, Scores, kind_numbers
from charlstm.model.checkpoints import RunSpec
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split
from charlstm.text.vocabulary import END, UNKNOWN

Unit = Literal["character", "document"]

_NATS_PER_BIT: Final = math.log(2)
_NUM_RESAMPLES: Final = 1999
# Of the sorted resamples, how many lie outside on each side: 2.5 % (Davison & Hinkley 1997, 5.3.1).
_NUM_OUTSIDE: Final = 49
_NORMAL_QUANTILE: Final = 1.959964  # of 97.5 %
# Fewer say nothing. From as many equally long documents on, they are what is resampled.
_MIN_UNITS: Final = 100
# Neighbours are summed up to so many cells: that a model loses over thousands of characters is
# hardly seen from one character to the next, and clearly in their sums.
_MAX_CELLS: Final = 100
# Times the block length that estimates a variance best: for an interval, too narrow is worse than
# uncertain. Both were chosen by simulation, see `interval_of_mean`.
_LONGER: Final = 1.5
_SHORT_TEXT_CHARS: Final = 10_000
# Relative to validation; what is less, runs that differ in their seed alone also show.
_NOTABLE: Final = 0.03
# What of a corpus's settings the symbols of another text depend on.
_READING: Final = ("normalize", "keep_line_ends", "split_documents", "encoding")
# Lengths of context at which its effect is asked for, each four times the one before.
_CONTEXT_EDGES: Final = (0, 16, 64, 256)


@dataclass(frozen=True, kw_only=True)
class KindDifference:
    """What one kind of character cost both models.

    Args:
        num_chars: of this kind in the text.
    """

    kind: str
    num_chars: int
    nats: float
    other_nats: float

    @property
    def bits_per_char(self) -> float:
        return self.nats / self.num_chars / _NATS_PER_BIT

    @property
    def other_bits_per_char(self) -> float:
        return self.other_nats / self.num_chars / _NATS_PER_BIT


@dataclass(frozen=True, kw_only=True)
class ContextDifference:
    """What the characters that so much context stands before cost both models.

    Args:
        min_context: characters of the document before each of them, at least.
        max_context: at most; None for any number.
        num_chars: of them in the text.
    """

    min_context: int
    max_context: int | None
    num_chars: int
    nats: float
    other_nats: float

    @property
    def bits_per_char(self) -> float:
        return self.nats / self.num_chars / _NATS_PER_BIT

    @property
    def other_bits_per_char(self) -> float:
        return self.other_nats / self.num_chars / _NATS_PER_BIT


class Interval(NamedTuple):
    """An interval of 95 %, in the unit of the costs per character.

    Args:
        unit: what blocks are made of.
        block_length: units in a block.
        num_blocks: in the text.
    """

    low: float
    high: float
    unit: Unit
    block_length: int
    num_blocks: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A model and another one on the same text; differences are below 0 where it is the better.

    Args:
        num_unknown: characters that the model's vocabulary lacks; `other_num_unknown` likewise.
        low_bits_per_char: where the interval of 95 % of the difference begins.
        high_bits_per_char: where it ends.
        unit: what was resampled: characters or whole documents.
        block_length: how many of them at a time.
        num_blocks: of this length in the text.
        by_kind: a character that either model lacks is of the kind unknown.
        by_context: by the number of characters before them in their document.
    """

    num_chars: int
    num_unknown: int
    other_num_unknown: int
    nats: float
    other_nats: float
    low_bits_per_char: float
    high_bits_per_char: float
    unit: Unit
    block_length: int
    num_blocks: int
    by_kind: tuple[KindDifference, ...]
    by_context: tuple[ContextDifference, ...]

    @property
    def bits_per_char(self) -> float:
        return self.nats / self.num_chars / _NATS_PER_BIT

    @property
    def other_bits_per_char(self) -> float:
        return self.other_nats / self.num_chars / _NATS_PER_BIT

    @property
    def difference_bits_per_char(self) -> float:
        return (self.nats - self.other_nats) / self.num_chars / _NATS_PER_BIT

    @property
    def is_short(self) -> bool:
        """Whether the text is too short to show its ups and downs: the interval is too narrow."""
        return self.unit == "character" and self.num_chars < _SHORT_TEXT_CHARS

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low_bits_per_char > 0 or self.high_bits_per_char < 0


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
    *,
    generator: np.random.Generator,
) -> Difference:
    """Compare two models character by character.

    Args:
        scores: of the model; `other` of the other one.
        text: as the model's alphabet encodes it; `other_text` the same as the other's does.
        alphabet: of the model.

    Raises:
        CorpusError: when the text is too short for an interval.
    """
    interval = interval_of_mean(
        scores.nats_N.astype(np.float64) - other.nats_N, text.starts, generator=generator
    )
    is_other_unknown_N = other_text.ids == UNKNOWN
    return Difference(
        num_chars=text.num_chars,
        num_unknown=int(np.count_nonzero(text.ids == UNKNOWN)),
        other_num_unknown=int(np.count_nonzero(is_other_unknown_N)),
        nats=float(scores.nats_N.sum(dtype=np.float64)),
        other_nats=float(other.nats_N.sum(dtype=np.float64)),
        low_bits_per_char=interval.low / _NATS_PER_BIT,
        high_bits_per_char=interval.high / _NATS_PER_BIT,
        unit=interval.unit,
        block_length=interval.block_length,
        num_blocks=interval.num_blocks,
        by_kind=tuple(
            _by_kind(
                scores,
                other,
                np.where(is_other_unknown_N, UNKNOWN_KIND, kind_numbers(text, alphabet)),
            )
        ),
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


def interval_of_mean(
    values_N: npt.NDArray[np.float64],
    starts: npt.NDArray[np.integer],
    *,
    generator: np.random.Generator,
) -> Interval:
    """The interval of 95 % of the mean of values that depend on their neighbours.

    Whole documents are resampled where there are many; else characters, in blocks. Either way the
    length of the blocks follows from how far neighbours depend on each other. The interval is
    stretched around the mean for what resampling loses (that blocks overlap, and the last one goes
    past the end), and as Student's distribution is wider than the normal one, with a degree of
    freedom for each block but one.

    Simulations (tests/evaluation/test_difference.py) found the mean outside for 5 to 7 % of
    texts of 20,000 characters, whether neighbours are independent, correlated by 0.9 or by 0.98, or
    hardly (by 0.08) but over hundreds of characters. For texts of 3,000 it was 4 to 16 %.

    Args:
        values_N: one for each character, say a difference of costs.
        starts: where documents begin, as of `Split`.

    Raises:
        CorpusError: when there are too few.
    """
    unit, first_U = _units(starts, len(values_N))
    if len(first_U) < _MIN_UNITS:
        raise CorpusError(
            f"{len(values_N):,} characters are too few to compare models: {_MIN_UNITS} are needed"
        )
    size = math.ceil(len(first_U) / _MAX_CELLS)
    edges = first_U[::size]
    sums, weights = np.add.reduceat(values_N, edges), np.diff(np.append(edges, len(values_N)))
    mean = float(sums.sum() / weights.sum())
    num_cells = len(edges)
    length = math.ceil(_LONGER * block_length(sums - mean * weights))
    num_blocks = math.ceil(num_cells / length)
    drawn = generator.integers(0, num_cells, (_NUM_RESAMPLES, num_blocks))
    drawn_sums, drawn_weights = (
        _sums_on_circle(values, length)[drawn].sum(1) for values in (sums, weights)
    )
    means = np.sort(drawn_sums / drawn_weights)
    share = length / num_cells
    stretch = math.sqrt(num_blocks * share / (1 - share)) * _student_stretch(1 / share - 1)
    return Interval(
        low=mean + stretch * (float(means[_NUM_OUTSIDE]) - mean),
        high=mean + stretch * (float(means[-1 - _NUM_OUTSIDE]) - mean),
        unit=unit,
        block_length=length * size,
        num_blocks=num_blocks,
    )


def _units(starts: npt.NDArray[np.integer], num_chars: int) -> tuple[Unit, npt.NDArray[np.integer]]:
    """What is resampled, and where each begins."""
    lengths = np.diff(np.append(starts, num_chars)).astype(np.float64)
    # As many documents of the same length would tell as much (Kish 1965).
    if lengths.sum() ** 2 >= _MIN_UNITS * (lengths**2).sum():
        return "document", starts
    return "character", np.arange(num_chars)


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
    scores: Scores, text: Split, val_bits_per_char: float, *, generator: np.random.Generator
) -> WorseThanValidation | None:
    """Whether a test text costs so much more than validation that a reader would wonder.

    Args:
        scores: of the test text.
    """
    bits_N = scores.nats_N.astype(np.float64) / _NATS_PER_BIT
    bits = float(bits_N.mean())
    if bits <= (1 + _NOTABLE) * val_bits_per_char or len(bits_N) < _MIN_UNITS:
        return None
    interval = interval_of_mean(bits_N, text.starts, generator=generator)
    return WorseThanValidation(bits, val_bits_per_char, interval.low, interval.high)


def block_length(residuals_U: npt.NDArray[np.float64]) -> float:
    """How many neighbours to resample at a time.

    The rule of Politis & White (2004, "Automatic block-length selection for the dependent
    bootstrap"), corrected by Patton, Politis & White (2009), for blocks on a circle.

    Args:
        residuals_U: values with mean 0.
    """
    number = len(residuals_U)
    num_quiet = max(5, math.ceil(math.sqrt(math.log10(number))))
    max_lag = math.ceil(math.sqrt(number)) + num_quiet
    covariance = np.array(
        [
            residuals_U[: number - lag] @ residuals_U[lag:] / number
            for lag in range(min(max_lag + num_quiet, number - 1) + 1)
        ]
    )
    if covariance[0] <= 0:
        return 1.0
    is_dependent = np.abs(covariance) >= 2 * math.sqrt(math.log10(number) / number) * covariance[0]
    # The first lag after which several in a row are no larger than chance makes them.
    last = next(
        (lag for lag in range(max_lag) if not is_dependent[lag + 1 : lag + 1 + num_quiet].any()),
        max_lag,
    )
    if not last:
        return 1.0
    lags = np.arange(1, min(2 * last, max_lag) + 1)
    weighted = 2 * np.minimum(1.0, 2 * (1 - lags / (lags[-1] + 1))) * covariance[lags]
    spectrum = covariance[0] + weighted.sum()
    if spectrum <= 0:
        # Neighbours make up for each other: independent ones would vary more.
        return 1.0
    ratio = 1.5 * ((lags * weighted).sum() / spectrum) ** 2
    longest = min(3 * math.sqrt(number), number / 3)
    return float(min(longest, max(1.0, (ratio * number) ** (1 / 3))))


def _sums_on_circle(values: npt.NDArray[Any], length: int) -> npt.NDArray[np.float64]:
    """The sum of as many values from each place on, past the end from the beginning."""
    around = np.concatenate([values, values[: length - 1]])
    blocks = np.lib.stride_tricks.sliding_window_view(around, length)
    sums: npt.NDArray[np.float64] = blocks.sum(1, dtype=np.float64)
    return sums


def _student_stretch(freedom: float) -> float:
    """Student's quantile of 97.5 % over the normal one (Abramowitz & Stegun 1964, 26.7.5)."""
    z = _NORMAL_QUANTILE
    terms = (
        (z**2 + 1) / 4,
        (5 * z**4 + 16 * z**2 + 3) / 96,
        (3 * z**6 + 19 * z**4 + 17 * z**2 - 15) / 384,
    )
    return 1 + sum(term / freedom**power for power, term in enumerate(terms, 1))
