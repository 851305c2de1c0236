"""Find documents and passages that also occur in another text, by their hashes."""

import hashlib
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN, Ids

Hashes = npt.NDArray[np.uint64]

# Documents up to this length are hashed together, `_PIECE_CHARS` characters at a time.
_SHORT: Final = 4096
_PIECE_CHARS: Final = 1 << 22
_SEED: Final = 0
# Long enough to occur twice hardly ever in texts that were written independently.
_PASSAGE_CHARS: Final = 32
# Of a long text, this beginning is compared with the other.
_COMPARED_CHARS: Final = 1 << 20
# Stands for documents with unknown characters: which ones they had isn't kept.
_NO_HASH: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class KnownDocuments:
    """The documents of a text, to ask whether others are among them."""

    def __init__(self, split: Split, alphabet: Alphabet) -> None:
        self._split, self._alphabet = split, alphabet

    @cached_property
    def _hashes(self) -> Hashes:
        hashes = np.unique(hashes_of(self._split, self._alphabet))
        known: Hashes = hashes[hashes != _NO_HASH]
        return known

    def have(self, split: Split) -> npt.NDArray[np.bool_]:
        """Return which documents of another text are known, bool [num_documents].

        Those with unknown characters are not.
        """
        hashes = hashes_of(split, self._alphabet)
        if not len(self._hashes):
            return np.zeros(len(hashes), np.bool_)
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        found: npt.NDArray[np.bool_] = self._hashes[place] == hashes
        return found


def share_in(ids: Ids, other: Ids) -> float:
    """Return about how much of a text stands in another, 0 to 1; of a very short one 0 or 1.

    The other text is cut into passages, which are looked for everywhere in the first: whatever was
    copied has one of them every `_PASSAGE_CHARS` characters.
    """
    multipliers = _multipliers(_PASSAGE_CHARS)
    whole = other[: len(other) // _PASSAGE_CHARS * _PASSAGE_CHARS]
    size = max(1, _PIECE_CHARS // _PASSAGE_CHARS) * _PASSAGE_CHARS
    pieces = (whole[first : first + size] for first in range(0, len(whole), size))
    passages = [
        piece.reshape(-1, _PASSAGE_CHARS).astype(np.uint64) @ multipliers for piece in pieces
    ]
    ids = ids[:_COMPARED_CHARS].astype(np.uint64)
    num_places = len(ids) - _PASSAGE_CHARS + 1
    if num_places < 1 or not passages:
        return 0.0
    found = np.zeros(num_places, np.uint64)
    for place, multiplier in enumerate(multipliers):
        found += ids[place : place + num_places] * multiplier
    num_found = int(np.isin(found, np.concatenate(passages)).sum())
    return min(1.0, num_found * _PASSAGE_CHARS / num_places)


def _multipliers(number: int) -> Hashes:
    return np.random.default_rng(_SEED).integers(0, 1 << 64, number, dtype=np.uint64)


def hashes_of(split: Split, alphabet: Alphabet) -> Hashes:
    """Return a 64-bit hash of each document, [num_documents].

    The end of a document is left out: a file's last line may lack it.
    """
    end = -1 if alphabet.end_id is None else alphabet.end_id
    lengths = split.lengths
    found = np.zeros(len(lengths), np.uint64)
    # One more: for what ends a document.
    multipliers = _multipliers(_SHORT + 1)
    edges = np.searchsorted(split.starts, np.arange(0, max(1, split.num_chars), _PIECE_CHARS))
    for first, after in zip(edges, [*edges[1:], len(lengths)], strict=True):
        chosen = np.arange(first, after)
        has_end = split.ids[split.starts[chosen] + lengths[chosen] - 1] == end
        is_short = lengths[chosen] - has_end <= _SHORT
        for number in chosen[~is_short]:
            found[number] = _hash_of_long(split, int(number), end)
        if is_short.any():
            found[chosen[is_short]] = _hashes_of_short(split, chosen[is_short], end, multipliers)
    return found


def _hashes_of_short(
    split: Split, chosen: npt.NDArray[np.int64], end: int, multipliers: Hashes
) -> Hashes:
    """Return sums of ids times random numbers, one per position (multilinear hashing)."""
    lengths = split.lengths[chosen]
    begins = np.cumsum(lengths) - lengths
    offset_N = np.arange(int(lengths.sum())) - np.repeat(begins, lengths)
    ids_N = split.ids[np.repeat(split.starts[chosen], lengths) + offset_N]
    symbols_N = np.where(ids_N == end, 0, ids_N.astype(np.uint64) + np.uint64(1))
    products_N: Hashes = symbols_N.astype(np.uint64) * multipliers[offset_N]
    has_unknown = np.logical_or.reduceat(ids_N == UNKNOWN, begins)
    return np.where(has_unknown, _NO_HASH, np.add.reduceat(products_N, begins))


def _hash_of_long(split: Split, number: int, end: int) -> int:
    start = int(split.starts[number])
    ids = split.ids[start : start + int(split.lengths[number])]
    if np.any(ids == UNKNOWN):
        return int(_NO_HASH)
    data = ids[ids != end].astype("<u4").tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
