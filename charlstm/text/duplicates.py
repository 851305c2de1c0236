"""Detection, by hashes, of documents and passages that also occur in another text."""

import hashlib
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import UNKNOWN, Ids

Hashes = npt.NDArray[np.uint64]

# Documents up to this length are hashed together, `_PIECE_CHARS` characters at a time.
_SHORT: Final = 4096
_PIECE_CHARS: Final = 1 << 22
_SEED: Final = 0
# Passages of this length rarely occur twice in independently written texts.
_PASSAGE_CHARS: Final = 32
# Compare at most this many characters, from the start of a text.
_COMPARED_CHARS: Final = 1 << 20
# Hash of documents with unknown characters, which can't be compared.
_NO_HASH: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class DocumentHashes:
    """Hashes of a text's documents, for finding them in other texts."""

    def __init__(self, split: EncodedText, tokenizer: CharTokenizer) -> None:
        self._split, self._tokenizer = split, tokenizer

    @cached_property
    def _hashes(self) -> Hashes:
        hashes = np.unique(hashes_of(self._split, self._tokenizer))
        comparable: Hashes = hashes[hashes != _NO_HASH]
        return comparable

    def have(self, split: EncodedText) -> npt.NDArray[np.bool_]:
        """Return which documents of another text occur in this one, bool [num_documents].

        False for documents with unknown characters.
        """
        hashes = hashes_of(split, self._tokenizer)
        if not len(self._hashes):
            return np.zeros(len(hashes), np.bool_)
        positions = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        found: npt.NDArray[np.bool_] = self._hashes[positions] == hashes
        return found


def copied_fraction(ids: Ids, other: Ids) -> float:
    """Estimate the fraction of a text that also occurs in another one, 0 to 1.

    The other text is cut into passages, which are searched for at every position of the first: a
    copied part contains one of them every `_PASSAGE_CHARS` characters. The estimate for very short
    texts is 0 or 1.
    """
    multipliers = _multipliers(_PASSAGE_CHARS)
    other = other[: len(other) // _PASSAGE_CHARS * _PASSAGE_CHARS]
    size = max(1, _PIECE_CHARS // _PASSAGE_CHARS) * _PASSAGE_CHARS
    pieces = (other[first : first + size] for first in range(0, len(other), size))
    passages = [
        piece.reshape(-1, _PASSAGE_CHARS).astype(np.uint64) @ multipliers for piece in pieces
    ]
    ids = ids[:_COMPARED_CHARS].astype(np.uint64)
    num_positions = len(ids) - _PASSAGE_CHARS + 1
    if num_positions < 1 or not passages:
        return 0.0
    found = np.zeros(num_positions, np.uint64)
    for position, multiplier in enumerate(multipliers):
        found += ids[position : position + num_positions] * multiplier
    num_found = int(np.isin(found, np.concatenate(passages)).sum())
    return min(1.0, num_found * _PASSAGE_CHARS / num_positions)


def _multipliers(num: int) -> Hashes:
    return np.random.default_rng(_SEED).integers(0, 1 << 64, num, dtype=np.uint64)


def hashes_of(split: EncodedText, tokenizer: CharTokenizer) -> Hashes:
    """Return a 64-bit hash of each document, [num_documents].

    EOS is left out, because a file's last line may lack it.
    """
    eos_id = -1 if tokenizer.eos_id is None else tokenizer.eos_id
    lengths = split.lengths
    found = np.zeros(len(lengths), np.uint64)
    # + 1 for EOS.
    multipliers = _multipliers(_SHORT + 1)
    edges = np.searchsorted(split.starts, np.arange(0, max(1, split.num_chars), _PIECE_CHARS))
    for first, after in zip(edges, [*edges[1:], len(lengths)], strict=True):
        chosen = np.arange(first, after)
        has_eos = split.ids[split.starts[chosen] + lengths[chosen] - 1] == eos_id
        is_short = lengths[chosen] - has_eos <= _SHORT
        for number in chosen[~is_short]:
            found[number] = _hash_of_long(split, int(number), eos_id)
        if is_short.any():
            found[chosen[is_short]] = _hashes_of_short(split, chosen[is_short], eos_id, multipliers)
    return found


def _hashes_of_short(
    split: EncodedText, chosen: npt.NDArray[np.int64], eos_id: int, multipliers: Hashes
) -> Hashes:
    """Return sums of ids times random numbers, one per position (multilinear hashing)."""
    lengths = split.lengths[chosen]
    begins = np.cumsum(lengths) - lengths
    offset_N = np.arange(int(lengths.sum())) - np.repeat(begins, lengths)
    ids_N = split.ids[np.repeat(split.starts[chosen], lengths) + offset_N]
    keys_N = np.where(ids_N == eos_id, 0, ids_N.astype(np.uint64) + np.uint64(1))
    products_N: Hashes = keys_N.astype(np.uint64) * multipliers[offset_N]
    has_unknown = np.logical_or.reduceat(ids_N == UNKNOWN, begins)
    return np.where(has_unknown, _NO_HASH, np.add.reduceat(products_N, begins))


def _hash_of_long(split: EncodedText, number: int, eos_id: int) -> int:
    start = int(split.starts[number])
    ids = split.ids[start : start + int(split.lengths[number])]
    if np.any(ids == UNKNOWN):
        return int(_NO_HASH)
    data = ids[ids != eos_id].astype("<u4").tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
