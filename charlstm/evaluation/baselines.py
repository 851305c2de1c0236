"""What simpler predictors make of the same text, learned from the same training text.

A model's figure says little alone: these say what is due to the letters' frequencies, to short
stretches of text, and to plain repetition.

Shapes: N characters of the scored text, M of the training text, V symbols.
"""

import lzma
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN

# The end of a longer training text has to do: sorting it and compressing it take memory and time.
MAX_TRAINING_CHARS: Final = 16_000_000
_MAX_ORDER: Final = 9
_MIN_XZ_CHARS: Final = 1000
_MAX_UNKNOWN_SHARE: Final = 0.01

Codes = npt.NDArray[np.uint64]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple predictor's cost of a text."""

    name: str
    nats: float


def score_baselines(alphabet: Alphabet, *, train: Split, val: Split, text: Split) -> list[Baseline]:
    """Score a text by what can be had without a network.

    Args:
        train: what everything is learned from; of a long one its last 16 million characters.
        val: what the order of the character model is chosen on.
        text: what is scored.
    """
    train = train.part(max(0, train.num_chars - MAX_TRAINING_CHARS))
    uniform = Baseline(name="uniform", nats=text.num_chars * math.log(len(alphabet)))

    def learn(split: Split) -> NgramModel:
        return NgramModel(split, alphabet)

    ngrams = learn(train)
    chosen_by, chosen_on = ngrams, val
    if not val.num_chars:
        # A text that was learned from would always choose the longest context.
        edge = max(1, train.num_chars * 9 // 10)
        chosen_by, chosen_on = learn(train.part(0, edge)), train.part(edge)
    chosen_nats = chosen_by.nats_by_order(chosen_on)
    order = min(range(len(chosen_nats)), key=chosen_nats.__getitem__)
    text_nats = ngrams.nats_by_order(text)
    baselines = [uniform, Baseline(name="order 0", nats=text_nats[0])]
    if order:
        baselines.append(Baseline(name=f"order {order} (Witten-Bell)", nats=text_nats[order]))
    num_unknown = np.count_nonzero(text.ids == UNKNOWN)
    # xz counts in steps of 4 bytes; and characters that are unknown all look alike to it.
    if text.num_chars >= _MIN_XZ_CHARS and num_unknown < _MAX_UNKNOWN_SHARE * text.num_chars:
        xz = _xz_nats(alphabet, train, text)
        baselines.append(Baseline(name="xz", nats=xz))
    return baselines


class NgramModel:
    """Characters by the n before them, for n = 0, 1, 2 ... at once (Witten & Bell 1991).

    P_n(c | h) = (count(h c) + distinct(h) P_n-1(c | h')) / (count(h) + distinct(h)), where h' is h
    without its first character and distinct(h) the number of characters seen after h; a context
    that was never seen leaves it to the shorter one. P_-1 is uniform. The unknown symbol gets a
    least probability.
    """

    def __init__(self, train: Split, alphabet: Alphabet) -> None:
        self._num_symbols = num_symbols = len(alphabet)
        self._unknown_probability = alphabet.unknown_probability
        # A context and what follows are one number of 64 bits.
        self.max_order = min(_MAX_ORDER, int(64 / math.log2(num_symbols)) - 1)
        self._tables = [
            np.unique(codes, return_counts=True)
            for codes, _ in _ngrams(train, num_symbols, self.max_order)
        ]

    def nats_by_order(self, text: Split) -> list[float]:
        """The cost of a text by the models of order 0, 1, ... `max_order`."""
        p_N = np.full(text.num_chars, 1.0 / self._num_symbols)
        nats = []
        grams = _ngrams(text, self._num_symbols, self.max_order)
        for (codes, is_whole_N), (seen, counts) in zip(grams, self._tables, strict=True):
            p_N[is_whole_N] = self._interpolated(codes, seen, counts, p_N[is_whole_N])
            nats.append(float(-np.log(self._with_unknown(p_N, text)).sum()))
        return nats

    def _interpolated(
        self,
        codes: Codes,
        seen: Codes,
        counts: npt.NDArray[np.int64],
        shorter: Probabilities,
    ) -> Probabilities:
        if not len(seen):  # no document of the training text is so long
            return shorter
        # Codes of one context stand side by side: its sums are differences of running sums.
        contexts = codes // np.uint64(self._num_symbols)
        seen_contexts = seen // np.uint64(self._num_symbols)
        first = np.searchsorted(seen_contexts, contexts, "left")
        after = np.searchsorted(seen_contexts, contexts, "right")
        running = np.append(0, np.cumsum(counts))
        context_count = running[after] - running[first]
        distinct = after - first
        place = np.minimum(np.searchsorted(seen, codes), len(seen) - 1)
        count = np.where(seen[place] == codes, counts[place], 0)
        whole = np.maximum(context_count + distinct, 1)
        return np.where(distinct > 0, (count + distinct * shorter) / whole, shorter)

    def _with_unknown(self, p_N: Probabilities, text: Split) -> Probabilities:
        # Training never shows unknown: what it gets beyond its share is taken from all others.
        least = self._unknown_probability
        return np.where(text.ids == UNKNOWN, np.maximum(p_N, least), p_N * (1 - least))


def _ngrams(
    split: Split, num_symbols: int, max_order: int
) -> Iterator[tuple[Codes, npt.NDArray[np.bool_]]]:
    """For each order the characters with as many before them as one number, context first.

    Yields:
        Codes of those [n], and which of all they are [N]: a document's first ones have too little
        before them.
    """
    ids = split.ids.astype(np.uint64)
    offset_N = np.arange(len(ids)) - np.repeat(split.starts, split.lengths)
    codes = ids
    for order in range(max_order + 1):
        if order:
            earlier = np.roll(ids, order) * np.uint64(num_symbols**order)
            codes = codes + earlier
        is_whole_N = offset_N >= order
        yield codes[is_whole_N], is_whole_N


def _xz_nats(alphabet: Alphabet, train: Split, text: Split) -> float:
    """By how much the text makes the compressed training text longer."""
    encoding = "latin-1" if alphabet.is_byte else "utf-8"

    def as_bytes(split: Split) -> bytes:
        return alphabet.decode(split.ids).encode(encoding, "replace")

    before, scored = as_bytes(train), as_bytes(text)
    more = len(lzma.compress(before + scored, preset=9)) - len(lzma.compress(before, preset=9))
    return 8 * more * math.log(2)
