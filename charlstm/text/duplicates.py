"""Detection, by hashes, of documents and passages that also occur in another text.

A hash is the sum of all ids times pseudo-random numbers, one per position (multilinear hashing).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import UNKNOWN, Ids

Hashes = npt.NDArray[np.uint64]

# Characters hashed at a time, to bound memory.
_PIECE_CHARS: Final = 1 << 16
# Passages of this length rarely occur twice in independently written texts.
_PASSAGE_CHARS: Final = 32
# Compare at most this many characters, from the start of a text.
_COMPARED_CHARS: Final = 1 << 20
# Hash of documents with unknown characters, which can't be compared.
_NO_HASH: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
# SplitMix64 (Steele, Lea & Flood 2014): an increment, then two rounds of shift and multiplication.
_GAMMA: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_ROUNDS: Final = ((30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB))


class DocumentHashes:
    """Hashes of a text's documents, to recognize them in other texts."""

    def __init__(self, text: EncodedText, tokenizer: CharTokenizer) -> None:
        self._text, self._tokenizer = text, tokenizer

    @cached_property
    def _hashes(self) -> Hashes:
        hashes = np.unique(_hashes_of(self._text, self._tokenizer))
        comparable: Hashes = hashes[hashes != _NO_HASH]
        return comparable

    def have(self, text: EncodedText) -> npt.NDArray[np.bool_]:
        """Return which documents of another text occur in this one, bool [num_documents].

        False for documents with unknown characters.
        """
        hashes = _hashes_of(text, self._tokenizer)
        if not len(self._hashes):
            return np.zeros(len(hashes), np.bool_)
        positions = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        found: npt.NDArray[np.bool_] = self._hashes[positions] == hashes
        return found


def are_repeated(parts: Sequence[EncodedText], tokenizer: CharTokenizer) -> npt.NDArray[np.bool_]:
    """Return for each document of several texts whether it occurred before, bool.

    False for documents with unknown characters.
    """
    hashes = np.concatenate([_hashes_of(part, tokenizer) for part in parts])
    is_repeated: npt.NDArray[np.bool_] = hashes != _NO_HASH
    is_repeated[np.unique(hashes, return_index=True)[1]] = False
    return is_repeated


def copied_fraction(ids: Ids, other: Ids) -> float:
    """Estimate the fraction of a text that also occurs in another one, 0 to 1.

    The other text is cut into passages, which are searched for at every position of the first: a
    copied part contains one of them every `_PASSAGE_CHARS` characters. The estimate for very short
    texts is 0 or 1.
    """
    multipliers = _multipliers(np.arange(_PASSAGE_CHARS))
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


def _hashes_of(text: EncodedText, tokenizer: CharTokenizer) -> Hashes:
    """Return a 64-bit hash of each document, [num_documents].

    EOS is left out, because a file's last line may lack it.
    """
    eos_id = -1 if tokenizer.eos_id is None else tokenizer.eos_id
    hashes = np.zeros(len(text.starts), np.uint64)
    has_unknown = np.zeros(len(text.starts), np.bool_)
    for first, ids_N, documents, begins in text.pieces(_PIECE_CHARS):
        lengths = np.diff(np.append(begins, len(ids_N)))
        position_N = np.arange(first, first + len(ids_N))
        position_N -= np.repeat(text.starts[documents], lengths)
        keys_N = np.where(ids_N == eos_id, 0, ids_N.astype(np.uint64) + np.uint64(1))
        hashes[documents] += np.add.reduceat(keys_N * _multipliers(position_N), begins)
        has_unknown[documents] |= np.logical_or.reduceat(ids_N == UNKNOWN, begins)
    hashes[has_unknown] = _NO_HASH
    return hashes


def _multipliers(position_N: npt.NDArray[np.integer]) -> Hashes:
    """Return a pseudo-random number for each position."""
    number_N: Hashes = (position_N.astype(np.uint64) + np.uint64(1)) * _GAMMA
    for shift, factor in _ROUNDS:
        number_N ^= number_N >> np.uint64(shift)
        number_N *= np.uint64(factor)
    return number_N ^ (number_N >> np.uint64(31))
