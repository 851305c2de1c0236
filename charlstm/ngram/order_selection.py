"""Choose the order of an n-gram model, and which n-grams to prune, on validation text.

Most long n-grams occur once. They take most of the memory, and help only if the text repeats itself
word for word. So for each length, singletons are pruned unless they lower the validation loss.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.ngram.counts import MAX_LENGTH, Ngrams, PaddedText, count_ngrams
from charlstm.ngram.kneser_ney import (
    MAX_ORDER,
    NUM_UNPRUNED_LEVELS,
    Level,
    NgramModel,
    TextProbabilities,
)
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer

# All lengths together, 17 bytes each; at this limit, 60 million characters need 1.9 GB.
_MAX_NGRAMS: Final = 1 << 24
# Validation characters used: enough to resolve losses that differ by 0.1 %.
_MAX_VAL_CHARS: Final = 1 << 18
# Lengths tried after the best one: a text may repeat long passages but few shorter ones.
_PATIENCE: Final = 4
# Relative gain in loss that longer n-grams need to be worth their memory.
_MIN_GAIN: Final = 1e-4
# Relative loss up to which singletons are kept anyway: they help in interpolation with an LSTM.
_SINGLETON_SLACK: Final = 5e-3
# Minimum counts: keep all n-grams, or only those that repeat.
_ALL: Final = 0
_REPEATED: Final = 2
# Fraction of the training text that is held out if there is no validation text.
_HELD_OUT_FRACTION: Final = 0.1

Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def fit_ngrams(train: EncodedText, val: EncodedText, tokenizer: CharTokenizer) -> NgramModel:
    """Fit an n-gram model, choosing its order on validation text.

    Args:
        val: if empty, the end of the training text is held out for the choice.
    """
    if val.num_chars:
        return _fit(train, tokenizer, _ValidationChooser(val, tokenizer))
    edge = max(1, round(train.num_chars * (1 - _HELD_OUT_FRACTION)))
    held_out = _ValidationChooser(train.part(edge), tokenizer)
    _fit(train.part(0, edge), tokenizer, held_out)
    return _fit(train, tokenizer, _FixedChooser(held_out.best_min_counts))


def fit_ngrams_of_order(train: EncodedText, tokenizer: CharTokenizer, order: int) -> NgramModel:
    """Fit an unpruned n-gram model with `order` tokens of context, at most `MAX_ORDER`."""
    assert order <= MAX_ORDER
    return _fit(train, tokenizer, _FixedChooser([_ALL] * (order + 1)))


class _FixedChooser:
    """Chooser that replays the minimum counts of each length."""

    is_best = True

    def __init__(self, min_counts: Sequence[int]) -> None:
        self._min_counts = iter(min_counts)

    def choose(self, _longest: Level, _count_G: Counts, _is_kept_C: Mask) -> int | None:
        return next(self._min_counts, None)

    def take(self, _level: Level) -> None:
        pass


class _ValidationChooser:
    """Chooser that keeps all n-grams of a length or only repeated ones, by validation loss.

    Attributes:
        is_best: whether the last chosen length is the best so far.
        min_counts: the minimum count of each length so far.
    """

    def __init__(self, val: EncodedText, tokenizer: CharTokenizer) -> None:
        self._padded = PaddedText.of(val.part(0, _MAX_VAL_CHARS), tokenizer.bos_id)
        self._probabilities: TextProbabilities | None = None
        self._best_nats = math.inf
        self._num_best = 0
        self.is_best = True
        self.min_counts: list[int] = []

    def choose(self, longest: Level, count_G: Counts, is_kept_C: Mask) -> int | None:
        """Return the minimum count of the next length, or None to stop before it.

        Args:
            longest: the n-grams of that length.
            count_G: their numbers of occurrences.
            is_kept_C: which of their contexts are kept.
        """
        options = [_REPEATED] if self.min_counts[-1:] == [_REPEATED] else [_ALL, _REPEATED]
        if len(self.min_counts) < NUM_UNPRUNED_LEVELS:
            options = [_ALL]
        losses = {}
        for option in options:
            level, _ = longest.pruned(count_G >= option, is_kept_C)
            losses[option] = self._sum_nats(self._extended(level))
        threshold = self._best_nats * (1 - _MIN_GAIN)
        gaining = {option: nats for option, nats in losses.items() if nats < threshold} or losses
        best = min(
            gaining,
            key=lambda option: gaining[option] * (1 + _SINGLETON_SLACK * (option == _REPEATED)),
        )
        self.is_best = losses[best] < threshold
        if not self.is_best and len(self.min_counts) >= self._num_best + _PATIENCE:
            return None
        self.min_counts.append(best)
        if self.is_best:
            self._best_nats, self._num_best = losses[best], len(self.min_counts)
        return best

    @property
    def best_min_counts(self) -> list[int]:
        """The minimum counts up to the best length."""
        return self.min_counts[: self._num_best]

    def take(self, level: Level) -> None:
        """Take a finished level, which longer contexts back off to."""
        self._probabilities = self._extended(level)

    def _extended(self, level: Level) -> TextProbabilities:
        if self._probabilities is None:
            return TextProbabilities.of(self._padded, level)
        return self._probabilities.extended(self._padded, level)

    def _sum_nats(self, probabilities: TextProbabilities) -> float:
        return float(-np.log(probabilities.p_P[self._padded.offset_P > 0]).sum())


def _fit(
    train: EncodedText, tokenizer: CharTokenizer, chooser: "_FixedChooser | _ValidationChooser"
) -> NgramModel:
    """Add longer n-grams until the chooser stops or memory is full."""
    padded = PaddedText.of(train, tokenizer.bos_id)
    finished: list[Level] = []
    best: list[Level] = []
    before: Ngrams | None = None
    min_count = _ALL
    is_kept_C = np.ones(1, np.bool_)
    for ngrams in count_ngrams(padded, max_length=MAX_LENGTH):
        if before is not None:
            num_before_G = np.bincount(ngrams.suffix_G, minlength=len(before.key_G))
            # No token precedes BOS, so n-grams that start with it keep their counts.
            counts_G = np.where(before.starts_with_bos_G, before.count_G, num_before_G)
            level = Level.of(before, counts_G, padded.num_ids)
            level, is_kept_C = level.pruned(before.count_G >= min_count, is_kept_C)
            finished.append(level)
            chooser.take(level)
        longest = Level.of(ngrams, ngrams.count_G, padded.num_ids)
        choice = chooser.choose(longest, ngrams.count_G, is_kept_C)
        if choice is None:
            break
        min_count, before = choice, ngrams
        levels = [*finished, longest.pruned(ngrams.count_G >= min_count, is_kept_C)[0]]
        if chooser.is_best:
            best = levels
        if sum(len(level.key_G) for level in levels) > _MAX_NGRAMS:
            break
    return NgramModel(
        best, num_tokens=len(tokenizer), unknown_probability=tokenizer.unknown_probability
    )
