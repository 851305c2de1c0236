"""All n-grams of a text and how often each occurs, one length after another.

An n-gram has a number: its place among those of its length, sorted by the number of its context
(the n-gram without its last symbol), then by its last symbol. So an n-gram of any length is found
by one 64-bit key, context * num_ids + symbol, in a sorted array, whatever the alphabet, and the
continuations of a context stand side by side.

Each document is counted behind a boundary symbol, which begins contexts and is never predicted;
no n-gram reaches over it.

Shapes: P places of a text, boundaries among them; G n-grams of one length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from charlstm.text.split import Split

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]

NONE: Final = -1
# Symbols of an n-gram, at most.
MAX_LENGTH: Final = 17
# Places that are sorted at once.
_SORTED_AT_ONCE: Final = 1 << 23


@dataclass(frozen=True, kw_only=True)
class Places:
    """A text with a boundary symbol before each document.

    Args:
        ids_P: the smallest unsigned type that holds the boundary.
        offset_P: symbols since the boundary, many as `MAX_LENGTH`, uint8.
        num_ids: of the alphabet, the boundary among them, which is the last.
    """

    ids_P: npt.NDArray[np.unsignedinteger]
    offset_P: npt.NDArray[np.uint8]
    num_ids: int

    @classmethod
    def of(cls, split: Split, boundary: int) -> Self:
        ids_P = np.insert(
            split.ids.astype(np.min_scalar_type(boundary), copy=False), split.starts, boundary
        )
        offset_P = np.full(len(ids_P), MAX_LENGTH, np.uint8)
        begins = split.starts + np.arange(len(split.starts))
        # The last offsets first: what belongs to the next document is overwritten by its own.
        for offset in reversed(range(MAX_LENGTH)):
            offset_P[begins[begins + offset < len(ids_P)] + offset] = offset
        return cls(ids_P=ids_P, offset_P=offset_P, num_ids=boundary + 1)

    def keys(self, context_P: Numbers, chosen_P: npt.NDArray[np.intp]) -> Keys:
        """The keys of the n-grams that end at chosen places.

        Args:
            context_P: the number of the n-gram, one shorter, that ends at each place.
        """
        keys = context_P[chosen_P - 1].astype(np.uint64)
        keys *= np.uint64(self.num_ids)
        keys += self.ids_P[chosen_P]
        return keys


@dataclass(frozen=True, kw_only=True)
class Ngrams:
    """All n-grams of one length.

    Args:
        key_G: ascending, see above; of single symbols their ids, those that don't occur, too.
        count_G: how often each occurs, int64.
        suffix_G: the number of each without its first symbol, int32; of single symbols zeros.
        is_first_G: whether it begins with the boundary: with a document.
        num_contexts: n-grams that are one shorter.
    """

    key_G: Keys
    count_G: npt.NDArray[np.int64]
    suffix_G: Numbers
    is_first_G: npt.NDArray[np.bool_]
    num_contexts: int


def count_ngrams(places: Places, *, max_length: int) -> Iterator[Ngrams]:
    """Those of one symbol, of two, and so on."""
    num_ids = places.num_ids
    boundary = num_ids - 1
    is_first_G = np.arange(num_ids) == boundary
    yield Ngrams(
        key_G=np.arange(num_ids, dtype=np.uint64),
        count_G=np.bincount(places.ids_P, minlength=num_ids) * ~is_first_G,
        suffix_G=np.zeros(num_ids, np.int32),
        is_first_G=is_first_G,
        num_contexts=1,
    )
    number_P = places.ids_P.astype(np.int32)
    num_shorter = num_ids
    for length in range(2, max_length + 1):
        found, number_P = _longer(places, number_P, num_shorter, is_first_G, length)
        yield found
        is_first_G, num_shorter = found.is_first_G, len(found.key_G)


def _longer(
    places: Places,
    shorter_P: Numbers,
    num_shorter: int,
    is_first_shorter_G: npt.NDArray[np.bool_],
    length: int,
) -> tuple[Ngrams, Numbers]:
    """The n-grams that are one longer, and the number of the one that ends at each place."""
    number_P = np.full(len(places.ids_P), NONE, np.int32)
    keys, counts, suffixes = [], [], []
    num_found = 0
    for chosen_P in _by_context(places, shorter_P, num_shorter, length):
        key_N = places.keys(shorter_P, chosen_P)
        order_N = np.argsort(key_N)
        key_N = key_N[order_N]
        is_new_N = np.empty(len(key_N), np.bool_)
        is_new_N[:1] = True
        np.not_equal(key_N[1:], key_N[:-1], out=is_new_N[1:])
        place_N = chosen_P[order_N]
        del chosen_P, order_N
        number_P[place_N] = np.cumsum(is_new_N, dtype=np.int32) + np.int32(num_found - 1)
        first_G = np.flatnonzero(is_new_N)
        keys.append(key_N[first_G])
        counts.append(np.diff(np.append(first_G, len(key_N))))
        suffixes.append(shorter_P[place_N[first_G]])
        num_found += len(first_G)
    key_G = np.concatenate([np.empty(0, np.uint64), *keys])
    context_G = key_G // np.uint64(places.num_ids)
    ngrams = Ngrams(
        key_G=key_G,
        count_G=np.concatenate([np.empty(0, np.int64), *counts]),
        suffix_G=np.concatenate([np.empty(0, np.int32), *suffixes]),
        is_first_G=is_first_shorter_G[context_G],
        num_contexts=num_shorter,
    )
    return ngrams, number_P


def _by_context(
    places: Places, context_P: Numbers, num_contexts: int, length: int
) -> Iterator[npt.NDArray[np.intp]]:
    """The places where n-grams of a length end, in portions that share no context."""
    has_room_P = places.offset_P >= length - 1
    if len(context_P) <= _SORTED_AT_ONCE:
        yield np.flatnonzero(has_room_P)
        return
    before_P, has_room_P = context_P[:-1], has_room_P[1:]
    num_each = np.zeros(num_contexts, np.int64)
    for first in range(0, len(before_P), _SORTED_AT_ONCE):
        part = slice(first, first + _SORTED_AT_ONCE)
        num_each += np.bincount(before_P[part][has_room_P[part]], minlength=num_contexts)
    portion = (np.cumsum(num_each) - num_each) // _SORTED_AT_ONCE
    edges = np.searchsorted(portion, np.arange(portion.max(initial=0) + 2))
    for first, after in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        is_chosen_P = before_P >= first
        is_chosen_P &= before_P < after
        is_chosen_P &= has_room_P
        yield np.flatnonzero(is_chosen_P) + 1
