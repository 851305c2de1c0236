"""Random assignment of documents to training, validation and test.

A sorted list that is split in its order would be tested on names that begin with late letters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.config import CorpusConfig
from charlstm.text.vocabulary import Ids

# With fewer documents, the test would depend on which of them it got.
MIN_DOCUMENTS: Final = 100

_PIECE_DOCUMENTS: Final = 1 << 16
_TRAIN, _VAL, _TEST = 0, 1, 2
# A split may be smaller than its fraction of the text by this factor.
_TOLERANCE: Final = 2


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The documents of a text, in their order.

    Args:
        starts_D: where each begins, int64; `lengths_D` its characters. The parts of a divided
            document count as documents.
        split_D: 0 for training, 1 for validation, 2 for test.
        notices: shown to the user.
    """

    starts_D: npt.NDArray[np.int64]
    lengths_D: npt.NDArray[np.int64]
    split_D: npt.NDArray[np.int8]
    notices: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, config: CorpusConfig, starts_D: npt.NDArray[np.int64], num_chars: int
    ) -> "Assignment | None":
        """Assign documents at random, by the seed; return None where they are split in order."""
        if config.split_by == "order":
            return None
        if config.split_by == "auto" and len(starts_D) < MIN_DOCUMENTS:
            return None
        lengths_D = np.diff(np.append(starts_D, num_chars))
        _, num_val, num_test = config.split_sizes(num_chars)
        order = np.random.default_rng(config.split_seed).permutation(len(starts_D))
        # Documents longer than a split are for training; the fractions apply to the others.
        longest = min((size for size in (num_val, num_test) if size), default=0)
        order = order[lengths_D[order] <= longest]
        read = np.cumsum(lengths_D[order])
        _, num_val, num_test = config.split_sizes(int(read[-1]) if len(read) else 0)
        split_D = np.full(len(starts_D), _TRAIN, np.int8)
        split_D[order[read <= num_test]] = _TEST
        split_D[order[(read > num_test) & (read <= num_test + num_val)]] = _VAL
        found = cls(starts_D=starts_D, lengths_D=lengths_D, split_D=split_D)
        # With few short documents, a split can end up far too small.
        num_train, num_val, num_test = config.split_sizes(num_chars)
        for split, name, wanted in ((_TEST, "test", num_test), (_VAL, "validation", num_val)):
            size = found.sizes[split]
            if size * _TOLERANCE < wanted:
                spare = max(0, found.sizes[_TRAIN] - -(-num_train // _TOLERANCE))
                num_moved = min(wanted - size, spare)
                notice = f"{name} text: {size + num_moved:,} of {wanted:,} characters"
                if num_moved:
                    notice += ", in part of longer documents, which were divided"
                found = found._moved(split, num_moved, notice)
        return found

    def _moved(self, split: int, num_chars: int, notice: str) -> "Assignment":
        """Move text from the ends of the longest training documents to another split."""
        starts_D, lengths_D, split_D = self.starts_D, self.lengths_D.copy(), self.split_D.copy()
        while num_chars > 0:
            longest = int(np.argmax(np.where(split_D == _TRAIN, lengths_D, 0)))
            num_kept = int(lengths_D[longest]) - num_chars
            num_chars -= int(lengths_D[longest])
            if num_kept <= 0:
                split_D[longest] = split
                continue
            starts_D = np.insert(starts_D, longest + 1, starts_D[longest] + num_kept)
            lengths_D = np.insert(lengths_D, longest + 1, lengths_D[longest] - num_kept)
            lengths_D[longest] = num_kept
            split_D = np.insert(split_D, longest + 1, split)
        return Assignment(
            starts_D=starts_D,
            lengths_D=lengths_D,
            split_D=split_D,
            notices=(*self.notices, notice),
        )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Characters for training, validation and test."""
        train, val, test = (
            int(self.lengths_D[self.split_D == split].sum()) for split in (_TRAIN, _VAL, _TEST)
        )
        return train, val, test

    @property
    def grouped_starts(self) -> npt.NDArray[np.int64]:
        """The starts of the documents after `grouped`."""
        lengths = np.concatenate(
            [self.lengths_D[self.split_D == split] for split in (_TRAIN, _VAL, _TEST)]
        )
        starts: npt.NDArray[np.int64] = np.cumsum(lengths) - lengths
        return starts

    def grouped(self, ids: Ids) -> Iterator[Ids]:
        """Yield the characters in pieces: training documents in their order, then the others."""
        for split in (_TRAIN, _VAL, _TEST):
            for first in range(0, len(self.starts_D), _PIECE_DOCUMENTS):
                part = slice(first, first + _PIECE_DOCUMENTS)
                lengths = self.lengths_D[part]
                begin = int(self.starts_D[first])
                piece = ids[begin : begin + int(lengths.sum())]
                yield piece[np.repeat(self.split_D[part] == split, lengths)]
