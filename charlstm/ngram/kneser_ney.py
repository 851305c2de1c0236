"""Interpolated modified Kneser-Ney smoothing of character n-grams (Chen & Goodman 1998).

P_n(s | c) = (a(c s) - D(a(c s))) / a(c) + g(c) P_n-1(s | c'), where c' is the context c without its
first token, D the discounts, and g(c) the back-off weight: the discounted mass. For contexts of the
model's order, a(c s) is the number of occurrences of c s; for shorter contexts it is the number of
distinct tokens before c s. An unseen context backs off entirely; P_0 is uniform.

Shapes: N characters, P positions as in `counts`, G n-grams of one length, C their contexts, B
streams, K context lengths, V tokens that can be predicted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.ngram.counts import MAX_LENGTH, NO_NGRAM, Keys, NgramNumbers, Ngrams, PaddedText
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import UNKNOWN

MAX_ORDER: Final = MAX_LENGTH - 1
_SCORED_AT_ONCE: Final = 1 << 20
_NUM_DISCOUNTS: Final = 3
# Unigrams and bigrams are never pruned: they are few, and every longer n-gram backs off to them.
NUM_UNPRUNED_LEVELS: Final = 2
# For counts of counts that give no valid estimate, such as unigrams that are all frequent.
_DEFAULT_DISCOUNTS: Final = (0.5, 1.0, 1.5)

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Level:
    """Smoothed n-grams of one length.

    Args:
        key_G: ascending keys, as in `Ngrams`.
        discounted_G: discounted probability of each n-gram's last token given its context, float32.
        num_contexts: number of n-grams one token shorter.
        num_ids: size of the vocabulary, as in the keys.
    """

    key_G: Keys
    discounted_G: npt.NDArray[np.float32]
    num_contexts: int
    num_ids: int

    @classmethod
    def of(cls, ngrams: Ngrams, counts_G: npt.NDArray[np.int64], num_ids: int) -> "Level":
        """Discount counts of occurrences, or of distinct preceding tokens."""
        context_G = (ngrams.key_G // np.uint64(num_ids)).astype(np.int64)
        total_C = np.bincount(context_G, counts_G, ngrams.num_contexts)
        discount_G = np.append(0.0, _discounts(counts_G))[np.minimum(counts_G, _NUM_DISCOUNTS)]
        discounted_G = (counts_G - discount_G) / np.maximum(total_C, 1.0)[context_G]
        return cls(
            key_G=ngrams.key_G,
            discounted_G=discounted_G.astype(np.float32),
            num_contexts=ngrams.num_contexts,
            num_ids=num_ids,
        )

    @property
    def context_G(self) -> npt.NDArray[np.int64]:
        """The context of each n-gram."""
        return (self.key_G // np.uint64(self.num_ids)).astype(np.int64)

    @cached_property
    def token_G(self) -> npt.NDArray[np.unsignedinteger]:
        """The last token of each n-gram."""
        token_G = self.key_G % np.uint64(self.num_ids)
        return token_G.astype(np.min_scalar_type(self.num_ids))

    @cached_property
    def first_C(self) -> npt.NDArray[np.int64]:
        """The first n-gram of each context, then the number of n-grams, [C + 1]."""
        num_each_C = np.bincount(self.context_G, minlength=self.num_contexts)
        return np.append(0, np.cumsum(num_each_C))

    def continuations(
        self, context_B: NgramNumbers
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the first n-gram of each context, and their number."""
        first_B = self.first_C[context_B]
        return first_B, self.first_C[context_B + 1] - first_B

    @cached_property
    def backoff_C(self) -> npt.NDArray[np.float32]:
        """The back-off weight of each context; 1 if it has no continuations; float32."""
        discounted_C = np.bincount(self.context_G, self.discounted_G, self.num_contexts)
        backoff_C: npt.NDArray[np.float32] = np.maximum(1.0 - discounted_C, 0.0).astype(np.float32)
        return backoff_C

    def pruned(
        self, is_frequent_G: npt.NDArray[np.bool_], is_kept_C: npt.NDArray[np.bool_]
    ) -> tuple["Level", npt.NDArray[np.bool_]]:
        """Keep only frequent n-grams; the others back off.

        Args:
            is_frequent_G: whether each n-gram is frequent; its context then also is.
            is_kept_C: which contexts are kept.

        Returns:
            The pruned level, and which of its n-grams are kept.
        """
        context_G = self.context_G
        is_kept_G = is_frequent_G & is_kept_C[context_G]
        number_C = np.cumsum(is_kept_C) - 1
        key_G = number_C[context_G[is_kept_G]] * self.num_ids + self.token_G[is_kept_G].astype(
            np.int64
        )
        level = Level(
            key_G=key_G.astype(np.uint64),
            discounted_G=self.discounted_G[is_kept_G],
            num_contexts=int(np.count_nonzero(is_kept_C)),
            num_ids=self.num_ids,
        )
        return level, is_kept_G

    def find(self, key_N: Keys) -> NgramNumbers:
        """Return the numbers of n-grams, `NO_NGRAM` for unseen ones."""
        if not len(self.key_G):
            return np.full(len(key_N), NO_NGRAM, np.int32)
        position_N = np.minimum(np.searchsorted(self.key_G, key_N), len(self.key_G) - 1)
        found: NgramNumbers = np.where(
            self.key_G[position_N] == key_N, position_N, NO_NGRAM
        ).astype(np.int32)
        return found

    def discounted_probability(self, number_N: NgramNumbers) -> Probabilities:
        """Return the discounted probabilities of n-grams by number, 0 for `NO_NGRAM`, float64."""
        if not len(self.discounted_G):
            return np.zeros(len(number_N))
        discounted_N: Probabilities = np.where(
            number_N == NO_NGRAM, 0.0, self.discounted_G[number_N]
        )
        return discounted_N


class NgramModel:
    """An n-gram model that predicts a token from up to `order` tokens before it.

    Args:
        levels: smoothed n-grams by context length, from 0 to `order`.
        num_tokens: number of tokens that can be predicted, including unknown.
        unknown_probability: added to the unknown token, which training may not contain, after
            scaling the distribution by 1 - unknown_probability.
    """

    def __init__(self, levels: list[Level], *, num_tokens: int, unknown_probability: float) -> None:
        self.levels = levels
        self.num_tokens = num_tokens
        self.unknown_probability = unknown_probability

    @property
    def order(self) -> int:
        return len(self.levels) - 1

    @property
    def num_ngrams(self) -> int:
        return sum(len(level.key_G) for level in self.levels)

    def score(self, text: EncodedText) -> npt.NDArray[np.float64]:
        """Return the loss of every character, in nats, float64 [N]."""
        nats_N = np.empty(text.num_chars)
        padded = PaddedText.of(text, self.num_tokens)
        done = 0
        for first in range(0, len(padded.ids_P), _SCORED_AT_ONCE):
            # Include the tokens before the chunk as context.
            begin = max(0, first - self.order)
            chunk = slice(begin, first + _SCORED_AT_ONCE)
            part = PaddedText(
                ids_P=padded.ids_P[chunk],
                offset_P=padded.offset_P[chunk],
                num_ids=padded.num_ids,
            )
            probabilities = TextProbabilities.of(part, self.levels[0])
            for level in self.levels[1:]:
                probabilities = probabilities.extended(part, level)
            p_P = probabilities.p_P * (1 - self.unknown_probability)
            p_P[part.ids_P == UNKNOWN] += self.unknown_probability
            is_scored_P = part.offset_P > 0
            is_scored_P[: first - begin] = False
            after = done + int(np.count_nonzero(is_scored_P))
            nats_N[done:after] = -np.log(p_P[is_scored_P])
            done = after
        return nats_N

    def contexts(self, text: EncodedText) -> NgramNumbers:
        """Return the context of every character, in the format of `read`, int32 [N, K]."""
        padded = PaddedText.of(text, self.num_tokens)
        position_N = np.flatnonzero(padded.offset_P > 0)
        context_NK = np.empty((len(position_N), self.order), np.int32)
        probabilities = TextProbabilities.of(padded, self.levels[0])
        for k, level in enumerate(self.levels[1:]):
            context_NK[:, k] = probabilities.number_P[position_N - 1]
            probabilities = probabilities.extended(padded, level)
        return context_NK

    def start(self, batch_size: int = 1) -> NgramNumbers:
        """Return the context at the start of a document, int32 [B, K].

        Column k is the number of the (k + 1)-gram that ends here.
        """
        context_BK = np.full((batch_size, self.order), NO_NGRAM, np.int32)
        context_BK[:, :1] = self.num_tokens  # BOS
        return context_BK

    def read(self, ids_B: npt.NDArray[np.integer], context_BK: NgramNumbers) -> NgramNumbers:
        """Return the context after one more token in each stream."""
        after_BK = np.full(context_BK.shape, NO_NGRAM, np.int32)
        after_BK[:, :1] = ids_B[:, None]
        for k, level in enumerate(self.levels[1:-1]):
            seen_B = np.flatnonzero(context_BK[:, k] != NO_NGRAM)
            key_B = context_BK[seen_B, k].astype(np.uint64) * np.uint64(self.num_tokens + 1)
            after_BK[seen_B, k + 1] = level.find(key_B + ids_B[seen_B].astype(np.uint64))
        return after_BK

    def log_probabilities(
        self, context_BK: NgramNumbers
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
        """Predict the next token of each stream.

        Returns:
            Log-probabilities in nats, float32 [B, V], and matched context lengths, int8 [B].
        """
        num_streams = len(context_BK)
        p_BV = np.zeros((num_streams, self.num_tokens), np.float32)
        matched_B = np.zeros(num_streams, np.int8)
        # Longest context first, each weighted by the back-off weights of the longer ones.
        backoff_B = np.ones(num_streams, np.float32)
        for k in reversed(range(self.order)):
            level = self.levels[k + 1]
            seen_B = np.flatnonzero(context_BK[:, k] != NO_NGRAM)
            context_B = context_BK[seen_B, k]
            first_B, num_each_B = level.continuations(context_B)
            position_N = np.repeat(first_B - (np.cumsum(num_each_B) - num_each_B), num_each_B)
            position_N += np.arange(len(position_N))
            stream_N = np.repeat(seen_B, num_each_B)
            p_BV[stream_N, level.token_G[position_N]] += (
                backoff_B[stream_N] * level.discounted_G[position_N]
            )
            backoff_B[seen_B] *= level.backoff_C[context_B]
            is_longest_B = (num_each_B > 0) & (matched_B[seen_B] == 0)
            matched_B[seen_B[is_longest_B]] = k + 1
        first = self.levels[0]
        p_V = first.discounted_G[: self.num_tokens] + first.backoff_C[0] / np.float32(
            self.num_tokens
        )
        p_BV += backoff_B[:, None] * p_V
        p_BV *= np.float32(1 - self.unknown_probability)
        p_BV[:, UNKNOWN] += np.float32(self.unknown_probability)
        return np.log(p_BV), matched_B


class TextProbabilities(NamedTuple):
    """The probabilities of a text's tokens, from contexts of up to a certain length.

    Args:
        length: maximum context length.
        number_P: the number of the (length + 1)-gram that ends at each position.
        p_P: the probability of each token.
    """

    length: int
    number_P: NgramNumbers
    p_P: Probabilities

    @classmethod
    def of(cls, padded: PaddedText, level: Level) -> "TextProbabilities":
        """Return the unigram probabilities."""
        uniform = 1 / (padded.num_ids - 1)
        p_P = level.discounted_G[padded.ids_P] + np.float64(level.backoff_C[0]) * uniform
        return cls(0, padded.ids_P.astype(np.int32), p_P)

    def extended(self, padded: PaddedText, level: Level) -> "TextProbabilities":
        """Return the probabilities from contexts one token longer."""
        length = self.length + 1
        has_context_P = (padded.offset_P[length:] >= length) & (
            self.number_P[length - 1 : -1] != NO_NGRAM
        )
        position_P = length + np.flatnonzero(has_context_P)
        ngram_N = level.find(padded.keys(self.number_P, position_P))
        backoff_N = level.backoff_C[self.number_P[position_P - 1]]
        p_P = self.p_P.copy()
        p_P[position_P] = backoff_N * p_P[position_P] + level.discounted_probability(ngram_N)
        number_P = np.full(len(p_P), NO_NGRAM, np.int32)
        number_P[position_P] = ngram_N
        return TextProbabilities(length, number_P, p_P)


def _discounts(counts_G: npt.NDArray[np.int64]) -> tuple[float, ...]:
    """Estimate the discounts of counts 1, 2, and 3 or more (Chen & Goodman 1998, equation 26)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts_G, _NUM_DISCOUNTS + 2), minlength=6)[
        1:5
    ].tolist()
    if not (n1 and n2 and n3 and n4):
        return _DEFAULT_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    discounts = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    is_valid = all(0 < discount <= count for count, discount in enumerate(discounts, start=1))
    return discounts if is_valid else _DEFAULT_DISCOUNTS
