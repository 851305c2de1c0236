"""Interpolated modified Kneser-Ney smoothing of character n-grams (Chen & Goodman 1998).

P_n(s | c) = (a(c s) - D(a(c s))) / a(c) + g(c) P_n-1(s | c'), where c' is the context c without its
first symbol, and g(c) what the discounts D have taken away: so it sums to one. a(c s) is how often
c s occurs, where c is the longest context that is used; for shorter ones it is the number of
different symbols before c s, since a shorter context only counts where the longer one failed. A
context that was never seen leaves all to the shorter one; P_0 is uniform.

Shapes: N characters, P places as in `ngrams`, G n-grams of one length, C their contexts, B streams,
K lengths of context, V symbols that can be predicted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.ngram.counts import MAX_LENGTH, NONE, Keys, Ngrams, Numbers, Places
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN

MAX_ORDER: Final = MAX_LENGTH - 1
_SCORED_AT_ONCE: Final = 1 << 20
_NUM_DISCOUNTS: Final = 3
# N-grams of one and two symbols are all kept: they are few, and everything rests on them.
NUM_WHOLE_LEVELS: Final = 2
# Where the counts of counts say nothing, as in an alphabet whose symbols are all frequent.
_USUAL_DISCOUNTS: Final = (0.5, 1.0, 1.5)

Probabilities = npt.NDArray[np.float64]


class NgramScores(NamedTuple):
    """What each character of a text costs by counting.

    Args:
        nats_N: float64.
        num_known_N: symbols of context that the training text continues, int8.
    """

    nats_N: npt.NDArray[np.float64]
    num_known_N: npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class Level:
    """The predictions from contexts of one length.

    Args:
        key_G: of the n-grams, ascending, as `Ngrams` has them.
        share_G: the discounted share of each among its context's continuations, float32.
        num_contexts: n-grams that are one shorter.
        num_ids: of the alphabet, as in keys.
    """

    key_G: Keys
    share_G: npt.NDArray[np.float32]
    num_contexts: int
    num_ids: int

    @classmethod
    def of(cls, ngrams: Ngrams, counts_G: npt.NDArray[np.int64], num_ids: int) -> "Level":
        """Discount counts, of occurrences or of different symbols before."""
        context_G = (ngrams.key_G // np.uint64(num_ids)).astype(np.int64)
        total_C = np.bincount(context_G, counts_G, ngrams.num_contexts)
        discount_G = np.append(0.0, _discounts(counts_G))[np.minimum(counts_G, _NUM_DISCOUNTS)]
        share_G = (counts_G - discount_G) / np.maximum(total_C, 1.0)[context_G]
        return cls(
            key_G=ngrams.key_G,
            share_G=share_G.astype(np.float32),
            num_contexts=ngrams.num_contexts,
            num_ids=num_ids,
        )

    @property
    def context_G(self) -> npt.NDArray[np.int64]:
        """The context of each n-gram."""
        return (self.key_G // np.uint64(self.num_ids)).astype(np.int64)

    @cached_property
    def symbol_G(self) -> npt.NDArray[np.unsignedinteger]:
        """The last symbol of each n-gram."""
        symbol_G = self.key_G % np.uint64(self.num_ids)
        return symbol_G.astype(np.min_scalar_type(self.num_ids))

    @cached_property
    def first_C(self) -> npt.NDArray[np.int64]:
        """Where the continuations of each context begin, and where the last ones end, [C + 1]."""
        num_each_C = np.bincount(self.context_G, minlength=self.num_contexts)
        return np.append(0, np.cumsum(num_each_C))

    def continuations(
        self, context_B: Numbers
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The first n-gram of each context, and how many there are."""
        first_B = self.first_C[context_B]
        return first_B, self.first_C[context_B + 1] - first_B

    @cached_property
    def rest_C(self) -> npt.NDArray[np.float32]:
        """What each context leaves to the shorter one, 1 where it has no continuations, float32."""
        given_C = np.bincount(self.context_G, self.share_G, self.num_contexts)
        rest_C: npt.NDArray[np.float32] = np.maximum(1.0 - given_C, 0.0).astype(np.float32)
        return rest_C

    def without_rare(
        self, is_frequent_G: npt.NDArray[np.bool_], is_kept_C: npt.NDArray[np.bool_]
    ) -> tuple["Level", npt.NDArray[np.bool_]]:
        """Only frequent n-grams; the others' shares go to the shorter context.

        Args:
            is_frequent_G: whether each occurs often enough; then its context does, too.
            is_kept_C: which contexts are kept.

        Returns:
            The level, and which of its n-grams are kept.
        """
        context_G = self.context_G
        is_kept_G = is_frequent_G & is_kept_C[context_G]
        # Contexts are numbered anew.
        number_C = np.cumsum(is_kept_C) - 1
        key_G = number_C[context_G[is_kept_G]] * self.num_ids + self.symbol_G[is_kept_G].astype(
            np.int64
        )
        level = Level(
            key_G=key_G.astype(np.uint64),
            share_G=self.share_G[is_kept_G],
            num_contexts=int(np.count_nonzero(is_kept_C)),
            num_ids=self.num_ids,
        )
        return level, is_kept_G

    def find(self, key_N: Keys) -> Numbers:
        """The numbers of n-grams, `NONE` for those that never occurred."""
        if not len(self.key_G):
            return np.full(len(key_N), NONE, np.int32)
        place_N = np.minimum(np.searchsorted(self.key_G, key_N), len(self.key_G) - 1)
        found: Numbers = np.where(self.key_G[place_N] == key_N, place_N, NONE).astype(np.int32)
        return found

    def share_of(self, number_N: Numbers) -> Probabilities:
        """The discounted share of n-grams by number, 0 for `NONE`, float64."""
        if not len(self.share_G):
            return np.zeros(len(number_N))
        share_N: Probabilities = np.where(number_N == NONE, 0.0, self.share_G[number_N])
        return share_N


class NgramModel:
    """Predicts a symbol from up to `order` symbols before it; a document's first from its start.

    Args:
        levels: from no context to the longest, `order`.
        num_symbols: that can be predicted, unknown among them.
        unknown_probability: of the unknown symbol, beside what it was counted; the others share
            the rest.
    """

    def __init__(
        self, levels: list[Level], *, num_symbols: int, unknown_probability: float
    ) -> None:
        self.levels = levels
        self.num_symbols = num_symbols
        self.unknown_probability = unknown_probability

    @property
    def order(self) -> int:
        return len(self.levels) - 1

    @property
    def num_ngrams(self) -> int:
        return sum(len(level.key_G) for level in self.levels)

    @property
    def _num_ids(self) -> int:
        return self.num_symbols + 1

    def score(self, text: Split) -> NgramScores:
        """The cost of every character."""
        nats_N = np.empty(text.num_chars)
        num_known_N = np.empty(text.num_chars, np.int8)
        places = Places.of(text, self.num_symbols)
        done = 0
        for first in range(0, len(places.ids_P), _SCORED_AT_ONCE):
            # Symbols before the portion are its first contexts.
            begin = max(0, first - self.order)
            portion = slice(begin, first + _SCORED_AT_ONCE)
            part = Places(
                ids_P=places.ids_P[portion],
                offset_P=places.offset_P[portion],
                num_ids=places.num_ids,
            )
            p_P, num_known_P = self._predicted(part)
            counts_P = part.offset_P > 0
            counts_P[: first - begin] = False
            after = done + int(np.count_nonzero(counts_P))
            nats_N[done:after] = -np.log(p_P[counts_P])
            num_known_N[done:after] = num_known_P[counts_P]
            done = after
        return NgramScores(nats_N, num_known_N)

    def _predicted(self, places: Places) -> tuple[Probabilities, npt.NDArray[np.int8]]:
        """The probability of each symbol, and how much of its context is known."""
        walk = Walk.of(places, self.levels[0])
        for level in self.levels[1:]:
            walk = walk.longer(places, level)
        return self._with_unknown(walk.p_P, places.ids_P == UNKNOWN), walk.num_known_P

    def contexts(self, text: Split) -> Numbers:
        """The context of every character, as `read` gives it, int32 [N, K]."""
        places = Places.of(text, self.num_symbols)
        place_N = np.flatnonzero(places.offset_P > 0)
        context_NK = np.empty((len(place_N), self.order), np.int32)
        walk = Walk.of(places, self.levels[0])
        for k, level in enumerate(self.levels[1:]):
            context_NK[:, k] = walk.number_P[place_N - 1]
            walk = walk.longer(places, level)
        return context_NK

    def start(self, batch_size: int = 1) -> Numbers:
        """The context of streams that begin a document, int32 [B, K].

        Column k is the number of the n-gram of k + 1 symbols that ends here.
        """
        context_BK = np.full((batch_size, self.order), NONE, np.int32)
        context_BK[:, :1] = self.num_symbols  # the boundary
        return context_BK

    def read(self, ids_B: npt.NDArray[np.integer], context_BK: Numbers) -> Numbers:
        """The context after one more symbol in each stream."""
        after_BK = np.full(context_BK.shape, NONE, np.int32)
        after_BK[:, :1] = ids_B[:, None]
        for k, level in enumerate(self.levels[1:-1]):
            known_B = np.flatnonzero(context_BK[:, k] != NONE)
            key_B = context_BK[known_B, k].astype(np.uint64) * np.uint64(self._num_ids)
            after_BK[known_B, k + 1] = level.find(key_B + ids_B[known_B].astype(np.uint64))
        return after_BK

    def log_probabilities(
        self, context_BK: Numbers
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
        """The distribution of the next symbol, and the length of context that is known.

        Returns:
            Natural logarithms, float32 [B, V], of what `score` takes its costs from; int8 [B].
        """
        num_streams = len(context_BK)
        p_BV = np.zeros((num_streams, self.num_symbols), np.float32)
        num_known_B = np.zeros(num_streams, np.int8)
        # The longest context first: what it leaves is shared out by the shorter ones.
        rest_B = np.ones(num_streams, np.float32)
        for k in reversed(range(self.order)):
            level = self.levels[k + 1]
            known_B = np.flatnonzero(context_BK[:, k] != NONE)
            context_B = context_BK[known_B, k]
            first_B, num_each_B = level.continuations(context_B)
            place_N = np.repeat(first_B - (np.cumsum(num_each_B) - num_each_B), num_each_B)
            place_N += np.arange(len(place_N))
            stream_N = np.repeat(known_B, num_each_B)
            p_BV[stream_N, level.symbol_G[place_N]] += rest_B[stream_N] * level.share_G[place_N]
            rest_B[known_B] *= level.rest_C[context_B]
            is_longest_B = (num_each_B > 0) & (num_known_B[known_B] == 0)
            num_known_B[known_B[is_longest_B]] = k + 1
        first = self.levels[0]
        p_V = first.share_G[: self.num_symbols] + first.rest_C[0] / np.float32(self.num_symbols)
        p_BV += rest_B[:, None] * p_V
        p_BV *= np.float32(1 - self.unknown_probability)
        p_BV[:, UNKNOWN] += np.float32(self.unknown_probability)
        return np.log(p_BV), num_known_B

    def _with_unknown(self, p: Probabilities, is_unknown: npt.NDArray[np.bool_]) -> Probabilities:
        """A training text without the unknown symbol would leave it next to nothing."""
        return p * (1 - self.unknown_probability) + is_unknown * self.unknown_probability


class Walk(NamedTuple):
    """A text read with contexts of up to some length.

    Args:
        length: of the context.
        number_P: of the n-gram of one symbol more that ends at each place.
        p_P: the probability of each symbol.
        num_known_P: as `NgramScores` has it.
    """

    length: int
    number_P: Numbers
    p_P: Probabilities
    num_known_P: npt.NDArray[np.int8]

    @classmethod
    def of(cls, places: Places, level: Level) -> "Walk":
        """Without context."""
        uniform = 1 / (places.num_ids - 1)
        p_P = level.share_G[places.ids_P] + np.float64(level.rest_C[0]) * uniform
        return cls(0, places.ids_P.astype(np.int32), p_P, np.zeros(len(p_P), np.int8))

    def longer(self, places: Places, level: Level) -> "Walk":
        """With contexts that are one longer."""
        length = self.length + 1
        has_context_P = (places.offset_P[length:] >= length) & (
            self.number_P[length - 1 : -1] != NONE
        )
        chosen_P = length + np.flatnonzero(has_context_P)
        found = level.find(places.keys(self.number_P, chosen_P))
        rest = level.rest_C[self.number_P[chosen_P - 1]]
        p_P, num_known_P = self.p_P.copy(), self.num_known_P.copy()
        p_P[chosen_P] = rest * p_P[chosen_P] + level.share_of(found)
        has_continuations = level.continuations(self.number_P[chosen_P - 1])[1] > 0
        num_known_P[chosen_P[has_continuations]] = length
        number_P = np.full(len(p_P), NONE, np.int32)
        number_P[chosen_P] = found
        return Walk(length, number_P, p_P, num_known_P)


def _discounts(counts_G: npt.NDArray[np.int64]) -> tuple[float, ...]:
    """How much is taken from counts of 1, 2, and 3 or more (Chen & Goodman 1998, equation 26)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts_G, _NUM_DISCOUNTS + 2), minlength=6)[
        1:5
    ].tolist()
    if not (n1 and n2 and n3 and n4):
        return _USUAL_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    is_possible = all(0 < one <= number for number, one in enumerate(found, start=1))
    return found if is_possible else _USUAL_DISCOUNTS
