"""Count the n-grams of a text, one length after another.

An n-gram's number is its rank among those of its length, sorted by the number of its context (the
n-gram without its last token), then by its last token. An n-gram of any length is thus found by one
64-bit key, context * num_ids + token, in a sorted array, and the continuations of a context are
contiguous.

Each document starts with BOS, which only occurs in contexts and is never predicted. N-grams don't
cross documents.

Shapes: P positions of a text, BOS included; G n-grams of one length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from charlstm.text.encoded_text import EncodedText

Keys = npt.NDArray[np.uint64]
NgramNumbers = npt.NDArray[np.int32]

NO_NGRAM: Final = -1
# Tokens of the longest n-grams.
MAX_LENGTH: Final = 17
# Positions sorted at a time, to bound memory.
_SORTED_AT_ONCE: Final = 1 << 23


@dataclass(frozen=True, kw_only=True)
class PaddedText:
    """A text with BOS before each document.

    Args:
        ids_P: token ids, in the smallest unsigned type that holds BOS.
        offset_P: distance from BOS, capped at `MAX_LENGTH`, uint8.
        num_ids: size of the vocabulary, including BOS, which is the last id.
    """

    ids_P: npt.NDArray[np.unsignedinteger]
    offset_P: npt.NDArray[np.uint8]
    num_ids: int

    @classmethod
    def of(cls, text: EncodedText, bos_id: int) -> Self:
        ids = text.ids.astype(np.min_scalar_type(bos_id), copy=False)
        ids_P = np.insert(ids, text.starts, bos_id)
        offset_P = np.full(len(ids_P), MAX_LENGTH, np.uint8)
        bos = text.starts + np.arange(len(text.starts))
        # In descending order, so that the next document's offsets overwrite those past its BOS.
        for offset in reversed(range(MAX_LENGTH)):
            offset_P[bos[bos + offset < len(ids_P)] + offset] = offset
        return cls(ids_P=ids_P, offset_P=offset_P, num_ids=bos_id + 1)

    def keys(self, context_P: NgramNumbers, position_P: npt.NDArray[np.intp]) -> Keys:
        """Return the keys of the n-grams that end at the chosen positions.

        Args:
            context_P: the number of the n-gram one token shorter that ends at each position.
        """
        keys = context_P[position_P - 1].astype(np.uint64)
        keys *= np.uint64(self.num_ids)
        keys += self.ids_P[position_P]
        return keys


@dataclass(frozen=True, kw_only=True)
class Ngrams:
    """All n-grams of one length.

    Args:
        key_G: ascending keys, see the module; for unigrams all ids, including those that don't
            occur.
        count_G: number of occurrences, int64.
        suffix_G: the number of each n-gram without its first token, int32; zeros for unigrams.
        starts_with_bos_G: whether the first token is BOS.
        num_contexts: number of n-grams one token shorter.
    """

    key_G: Keys
    count_G: npt.NDArray[np.int64]
    suffix_G: NgramNumbers
    starts_with_bos_G: npt.NDArray[np.bool_]
    num_contexts: int


def count_ngrams(padded: PaddedText, *, max_length: int) -> Iterator[Ngrams]:
    """Yield the n-grams of length 1, 2, and so on."""
    num_ids = padded.num_ids
    bos_id = num_ids - 1
    starts_with_bos_G = np.arange(num_ids) == bos_id
    yield Ngrams(
        key_G=np.arange(num_ids, dtype=np.uint64),
        count_G=np.bincount(padded.ids_P, minlength=num_ids) * ~starts_with_bos_G,
        suffix_G=np.zeros(num_ids, np.int32),
        starts_with_bos_G=starts_with_bos_G,
        num_contexts=1,
    )
    number_P = padded.ids_P.astype(np.int32)
    num_shorter = num_ids
    for length in range(2, max_length + 1):
        ngrams, number_P = _extend(padded, number_P, num_shorter, starts_with_bos_G, length)
        yield ngrams
        starts_with_bos_G, num_shorter = ngrams.starts_with_bos_G, len(ngrams.key_G)


def _extend(
    padded: PaddedText,
    shorter_P: NgramNumbers,
    num_shorter: int,
    shorter_starts_with_bos_G: npt.NDArray[np.bool_],
    length: int,
) -> tuple[Ngrams, NgramNumbers]:
    """Return the n-grams one token longer, and the number of the one that ends at each position."""
    number_P = np.full(len(padded.ids_P), NO_NGRAM, np.int32)
    keys, counts, suffixes = [], [], []
    num_ngrams = 0
    for position_P in _positions_by_context(padded, shorter_P, num_shorter, length):
        key_N = padded.keys(shorter_P, position_P)
        order_N = np.argsort(key_N)
        key_N = key_N[order_N]
        is_new_N = np.empty(len(key_N), np.bool_)
        is_new_N[:1] = True
        np.not_equal(key_N[1:], key_N[:-1], out=is_new_N[1:])
        position_N = position_P[order_N]
        del position_P, order_N
        number_P[position_N] = np.cumsum(is_new_N, dtype=np.int32) + np.int32(num_ngrams - 1)
        first_G = np.flatnonzero(is_new_N)
        keys.append(key_N[first_G])
        counts.append(np.diff(np.append(first_G, len(key_N))))
        suffixes.append(shorter_P[position_N[first_G]])
        num_ngrams += len(first_G)
    key_G = np.concatenate([np.empty(0, np.uint64), *keys])
    context_G = key_G // np.uint64(padded.num_ids)
    ngrams = Ngrams(
        key_G=key_G,
        count_G=np.concatenate([np.empty(0, np.int64), *counts]),
        suffix_G=np.concatenate([np.empty(0, np.int32), *suffixes]),
        starts_with_bos_G=shorter_starts_with_bos_G[context_G],
        num_contexts=num_shorter,
    )
    return ngrams, number_P


def _positions_by_context(
    padded: PaddedText, context_P: NgramNumbers, num_contexts: int, length: int
) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the positions where n-grams of a length end, in chunks that share no context."""
    has_ngram_P = padded.offset_P >= length - 1
    if len(context_P) <= _SORTED_AT_ONCE:
        yield np.flatnonzero(has_ngram_P)
        return
    before_P, has_ngram_P = context_P[:-1], has_ngram_P[1:]
    num_each = np.zeros(num_contexts, np.int64)
    for first in range(0, len(before_P), _SORTED_AT_ONCE):
        part = slice(first, first + _SORTED_AT_ONCE)
        num_each += np.bincount(before_P[part][has_ngram_P[part]], minlength=num_contexts)
    chunk = (np.cumsum(num_each) - num_each) // _SORTED_AT_ONCE
    edges = np.searchsorted(chunk, np.arange(chunk.max(initial=0) + 2))
    for first, after in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        is_in_chunk_P = before_P >= first
        is_in_chunk_P &= before_P < after
        is_in_chunk_P &= has_ngram_P
        yield np.flatnonzero(is_in_chunk_P) + 1
