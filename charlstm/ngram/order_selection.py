"""N-grams of a text, as long as another text wants them, and without those that don't pay.

Most long n-grams come once. They take most of the memory, and what follows them is learned better
from shorter ones, unless the text repeats itself word for word: so it is decided anew for each
length, by what costs the other text less.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.ngram.counts import MAX_LENGTH, Ngrams, Places, count_ngrams
from charlstm.ngram.kneser_ney import MAX_ORDER, NUM_WHOLE_LEVELS, Level, NgramModel, Walk
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split

# Of all lengths together, 17 bytes each: with them 60 million characters take 1.9 GB.
_MAX_NGRAMS: Final = 1 << 24
# Characters that decide: enough to tell costs apart that differ by a thousandth.
_MAX_CHOSEN_ON: Final = 1 << 18
# Lengths that are tried after the best one: verses repeat their ends, not their middles.
_PATIENCE: Final = 4
# Of the cost, without which longer n-grams aren't worth their memory.
_LEAST_GAIN: Final = 1e-4
# What n-grams that occur once may cost: they help a network that is mixed with them.
_SLACK: Final = 5e-3
# How often an n-gram must occur to be kept.
_ALL: Final = 0
_REPEATED: Final = 2
# Of the training text, where there is no other to decide on.
_HELD_OUT_SHARE: Final = 0.1

# A level with the n-grams that occur so often, and which those are.
_Make = Callable[[int], tuple[Level, npt.NDArray[np.bool_]]]


def learn_ngrams(train: Split, val: Split, alphabet: Alphabet) -> NgramModel:
    """Count a text, in n-grams as long as predict another text best.

    Args:
        val: what decides; where it is empty, the end of the training text by what comes before.
    """
    if val.num_chars:
        return _grow(train, alphabet, _ByValidation(val, alphabet))
    edge = max(1, round(train.num_chars * (1 - _HELD_OUT_SHARE)))
    held_out = _ByValidation(train.part(edge), alphabet)
    _grow(train.part(0, edge), alphabet, held_out)
    return _grow(train, alphabet, _ByPlan(held_out.plan))


def ngrams_of_order(train: Split, alphabet: Alphabet, order: int) -> NgramModel:
    """Count a text: all n-grams of up to `order` symbols of context, at most `MAX_ORDER`."""
    assert order <= MAX_ORDER
    return _grow(train, alphabet, _ByPlan([_ALL] * (order + 1)))


class _ByPlan:
    """How often n-grams of each length must occur to be kept, as decided before."""

    is_best = True

    def __init__(self, plan: Sequence[int]) -> None:
        self._plan = iter(plan)

    def choose(self, _make: _Make) -> int | None:
        return next(self._plan, None)

    def take(self, _level: Level) -> None:
        pass


class _ByValidation:
    """The same by trial: all n-grams of a length, or the repeated ones, whichever cost less.

    Attributes:
        is_best: whether the length that was chosen last is the best so far.
    """

    def __init__(self, val: Split, alphabet: Alphabet) -> None:
        self._places = Places.of(val.part(0, _MAX_CHOSEN_ON), alphabet.boundary)
        self._walk: Walk | None = None
        self._least_nats = math.inf
        self._num_best = 0
        self.is_best = True
        self.chosen: list[int] = []

    def choose(self, make: _Make) -> int | None:
        """Choose for the next length, given what its level would be; None to stop before it."""
        rare = [_REPEATED] if self.chosen[-1:] == [_REPEATED] else [_ALL, _REPEATED]
        if len(self.chosen) < NUM_WHOLE_LEVELS:
            rare = [_ALL]
        costs = {least: self._nats(self._read(make(least)[0])) for least in rare}
        enough = self._least_nats * (1 - _LEAST_GAIN)
        gaining = {least: nats for least, nats in costs.items() if nats < enough} or costs
        best = min(gaining, key=lambda least: gaining[least] * (1 + _SLACK * (least == _REPEATED)))
        self.is_best = costs[best] < enough
        if not self.is_best and len(self.chosen) >= self._num_best + _PATIENCE:
            return None
        self.chosen.append(best)
        if self.is_best:
            self._least_nats, self._num_best = costs[best], len(self.chosen)
        return best

    @property
    def plan(self) -> list[int]:
        """What was chosen, up to the length that is best."""
        return self.chosen[: self._num_best]

    def take(self, level: Level) -> None:
        """Take a finished level: the contexts that longer ones fall back to."""
        self._walk = self._read(level)

    def _read(self, level: Level) -> Walk:
        if self._walk is None:
            return Walk.of(self._places, level)
        return self._walk.longer(self._places, level)

    def _nats(self, walk: Walk) -> float:
        return float(-np.log(walk.p_P[self._places.offset_P > 0]).sum())


def _grow(train: Split, alphabet: Alphabet, chooser: "_ByPlan | _ByValidation") -> NgramModel:
    """Count longer and longer n-grams, as far as the chooser and memory allow."""
    places = Places.of(train, alphabet.boundary)
    finished: list[Level] = []
    best: list[Level] = []
    before: Ngrams | None = None
    least = _ALL
    is_kept_C = np.ones(1, np.bool_)
    for ngrams in count_ngrams(places, max_length=MAX_LENGTH):
        if before is not None:
            num_before_G = np.bincount(ngrams.suffix_G, minlength=len(before.key_G))
            # What begins a document has nothing before it.
            counts_G = np.where(before.is_first_G, before.count_G, num_before_G)
            level = Level.of(before, counts_G, places.num_ids)
            level, is_kept_C = level.without_rare(before.count_G >= least, is_kept_C)
            finished.append(level)
            chooser.take(level)
        longest = Level.of(ngrams, ngrams.count_G, places.num_ids)
        make = partial(_kept, longest, ngrams.count_G, is_kept_C)
        choice = chooser.choose(make)
        if choice is None:
            break
        least, before = choice, ngrams
        found = [*finished, make(least)[0]]
        if chooser.is_best:
            best = found
        if sum(len(level.key_G) for level in found) > _MAX_NGRAMS:
            break
    return NgramModel(
        best, num_symbols=len(alphabet), unknown_probability=alphabet.unknown_probability
    )


def _kept(
    level: Level, count_G: npt.NDArray[np.int64], is_kept_C: npt.NDArray[np.bool_], least: int
) -> tuple[Level, npt.NDArray[np.bool_]]:
    return level.without_rare(count_G >= least, is_kept_C)
