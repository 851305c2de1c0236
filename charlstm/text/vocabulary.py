"""Mapping between characters and ids.

Id 0 is the unknown token, 1 to n are the characters in code point order, and n + 1 is BOS. BOS
comes last because it is only an input: a model's output has one logit for each id before it.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.errors import CorpusError
from charlstm.settings import MAX_COUNT

UNKNOWN: Final = 0

Ids = npt.NDArray[np.unsignedinteger]


def least_unknown_probability(num_train_chars: int) -> float:
    """Return the lower bound for P(unknown): one count in `num_train_chars + 1` characters."""
    return 1.0 / (num_train_chars + 1)


SMALLEST_UNKNOWN_PROBABILITY: Final = least_unknown_probability(MAX_COUNT)


class Vocabulary:
    """A model's characters, sorted by code point.

    Args:
        characters: all characters as one string, in ascending order, without repeats.
    """

    def __init__(self, characters: str) -> None:
        codes = code_points(characters)
        if not len(codes) or np.any(codes[1:] <= codes[:-1]):
            raise CorpusError("a vocabulary must have at least one character, in ascending order")
        self.characters = characters
        self.bos_id = len(characters) + 1
        self.dtype = np.min_scalar_type(self.bos_id)
        self.codes = codes
        # Lookup table from code point to id: faster than a search, and at most 4.4 MB.
        self._ids = np.zeros(int(codes[-1]) + 2, self.dtype)
        self._ids[codes] = np.arange(1, len(codes) + 1)
        self._ascii_ids = self._ids[:128].astype(np.uint8).tobytes().ljust(256, b"\0")

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """Build the vocabulary of a text."""
        return cls.from_codes(np.unique(code_points(text)))

    @classmethod
    def from_codes(cls, codes: npt.NDArray[np.integer]) -> "Vocabulary":
        """Build a vocabulary from code points in ascending order."""
        return cls(_text(codes))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Ids:
        """Return ids [len(text)] in the smallest sufficient unsigned integer type."""
        if self.dtype == np.uint8 and text.isascii():
            # Four times as fast as by code points.
            return np.frombuffer(text.encode("ascii").translate(self._ascii_ids), np.uint8)
        # Code points beyond the table map to its last entry, which is unknown.
        ids: Ids = self._ids[np.minimum(code_points(text), len(self._ids) - 1)]
        return ids

    def decode(self, ids: npt.NDArray[np.integer]) -> str:
        """Return the text of ids [n]; unknown becomes U+FFFD, BOS is dropped."""
        ids = ids[ids != self.bos_id]
        codes = np.append(np.uint32(0xFFFD), self.codes)
        return _text(codes[ids])

    def unknown_in(self, text: str) -> str:
        """Return the distinct unknown characters of a text, in order of appearance."""
        return "".join(dict.fromkeys(text[i] for i in np.flatnonzero(self.encode(text) == UNKNOWN)))


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """Return a text's code points, uint32 [len(text)]."""
    # Python strings may contain lone surrogates, hence "surrogatepass".
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _text(codes: npt.NDArray[np.integer]) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
