"""Which documents are for training, validation and test, where chance decides it.

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


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The documents of a text, in their order.

    Args:
        starts_D: where each begins, int64; `lengths_D` its characters.
        split_D: 0 for training, 1 for validation, 2 for test.
    """

    starts_D: npt.NDArray[np.int64]
    lengths_D: npt.NDArray[np.int64]
    split_D: npt.NDArray[np.int8]

    @classmethod
    def of(
        cls, config: CorpusConfig, starts_D: npt.NDArray[np.int64], num_chars: int
    ) -> "Assignment | None":
        """Assign at random, by a seed; None where the order decides."""
        if config.split_by == "order":
            return None
        if config.split_by == "auto" and len(starts_D) < MIN_DOCUMENTS:
            return None
        lengths_D = np.diff(np.append(starts_D, num_chars))
        _, num_val, num_test = config.split_sizes(num_chars)
        order = np.random.default_rng(config.split_seed).permutation(len(starts_D))
        # What is longer than a split is for training; the others are split as was asked for.
        longest = min((size for size in (num_val, num_test) if size), default=0)
        order = order[lengths_D[order] <= longest]
        read = np.cumsum(lengths_D[order])
        _, num_val, num_test = config.split_sizes(int(read[-1]) if len(read) else 0)
        split_D = np.full(len(starts_D), _TRAIN, np.int8)
        split_D[order[read <= num_test]] = _TEST
        split_D[order[(read > num_test) & (read <= num_test + num_val)]] = _VAL
        return cls(starts_D=starts_D, lengths_D=lengths_D, split_D=split_D)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Characters for training, validation and test."""
        train, val, test = (
            int(self.lengths_D[self.split_D == split].sum()) for split in (_TRAIN, _VAL, _TEST)
        )
        return train, val, test

    @property
    def grouped_starts(self) -> npt.NDArray[np.int64]:
        """Where documents begin after `grouped`."""
        lengths = np.concatenate(
            [self.lengths_D[self.split_D == split] for split in (_TRAIN, _VAL, _TEST)]
        )
        starts: npt.NDArray[np.int64] = np.cumsum(lengths) - lengths
        return starts

    def grouped(self, ids: Ids) -> Iterator[Ids]:
        """The characters in pieces: the training documents in their order, then the others."""
        for split in (_TRAIN, _VAL, _TEST):
            for first in range(0, len(self.starts_D), _PIECE_DOCUMENTS):
                part = slice(first, first + _PIECE_DOCUMENTS)
                lengths = self.lengths_D[part]
                begin = int(self.starts_D[first])
                piece = ids[begin : begin + int(lengths.sum())]
                yield piece[np.repeat(self.split_D[part] == split, lengths)]
