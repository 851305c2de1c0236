"""The bijection between characters and ids.

Ids: 0 is the unknown symbol, 1 ... n are the characters in code point order, n + 1 is the
boundary. The boundary comes last because it is only ever read: a model's output has one logit for
each id before it.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.errors import CorpusError
from charlstm.settings import MAX_COUNT

# What ends a document that isn't a line: a code point that Unicode reserves for such use inside a
# program (a noncharacter). A text that has it anyway gets another character in its place.
END: Final = "\ufdd0"
REPLACEMENT: Final = "\ufffd"
END_NOTICE: Final = "U+FDD0, which stands for the end of a document here, became U+FFFD"
UNKNOWN: Final = 0

Ids = npt.NDArray[np.unsignedinteger]


def least_unknown_probability(num_train_chars: int) -> float:
    """Return the floor of the unknown symbol's probability: one count more than was read."""
    return 1.0 / (num_train_chars + 1)


SMALLEST_UNKNOWN_PROBABILITY: Final = least_unknown_probability(MAX_COUNT)


class Vocabulary:
    """The characters that a model knows, sorted by code point.

    Args:
        characters: the known characters as one string, ascending and without repeats.
    """

    def __init__(self, characters: str) -> None:
        codes = code_points(characters)
        if not len(codes) or np.any(codes[1:] <= codes[:-1]):
            raise CorpusError("a vocabulary must be characters in ascending order, at least one")
        self.characters = characters
        self.boundary = len(characters) + 1
        self.dtype = np.min_scalar_type(self.boundary)
        self.codes = codes
        # A table from code point to id is faster than a search, and at most 4.4 MB.
        self._ids = np.zeros(int(codes[-1]) + 2, self.dtype)
        self._ids[codes] = np.arange(1, len(codes) + 1)
        self._ascii_ids = self._ids[:128].astype(np.uint8).tobytes().ljust(256, b"\0")

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """The vocabulary of a text."""
        return cls.of_codes(np.unique(code_points(text)))

    @classmethod
    def of_codes(cls, codes: npt.NDArray[np.integer]) -> "Vocabulary":
        """The vocabulary of ascending code points."""
        return cls(_text(codes))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Ids:
        """Turn text into ids [len(text)] in the smallest integer type that holds them all."""
        if self.dtype == np.uint8 and text.isascii():
            # Four times as fast as by code points.
            return np.frombuffer(text.encode("ascii").translate(self._ascii_ids), np.uint8)
        # Code points past the table's end land on its last entry, which is unknown.
        ids: Ids = self._ids[np.minimum(code_points(text), len(self._ids) - 1)]
        return ids

    def decode(self, ids: npt.NDArray[np.integer]) -> str:
        """Turn ids [n] back into text; unknown becomes U+FFFD, boundary nothing."""
        ids = ids[ids != self.boundary]
        codes = np.append(np.uint32(0xFFFD), self.codes)
        return _text(codes[ids])

    def unknown_in(self, text: str) -> str:
        """The distinct characters of a text that the vocabulary lacks, in order of appearance."""
        return "".join(dict.fromkeys(text[i] for i in np.flatnonzero(self.encode(text) == UNKNOWN)))


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The numbers of a text's characters, uint32 [len(text)]."""
    # "surrogatepass": Python strings can hold lone surrogates, and they count as characters.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _text(codes: npt.NDArray[np.integer]) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
