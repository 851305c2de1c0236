"""Random assignment of documents to training, validation and test.

If a sorted list were split in order, all test names would start with late letters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.config import ReadingConfig
from charlstm.text.vocabulary import Ids

# With fewer documents, the test result would depend too much on which ones were drawn.
MIN_DOCUMENTS: Final = 100

_CHUNK_DOCUMENTS: Final = 1 << 16
_TRAIN, _VAL, _TEST = 0, 1, 2
# A split may be smaller than its fraction of the text by this factor.
_TOLERANCE: Final = 2


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The split of each document, in text order.

    Args:
        lengths_D: document lengths in characters, int64. The parts of a divided document count as
            documents.
        split_D: 0 for training, 1 for validation, 2 for test.
        notices: shown to the user.
    """

    lengths_D: npt.NDArray[np.int64]
    split_D: npt.NDArray[np.int8]
    notices: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, config: ReadingConfig, starts_D: npt.NDArray[np.int64], num_chars: int
    ) -> "Assignment | None":
        """Assign documents at random with the split seed; return None to split in order."""
        if config.split_by == "order":
            return None
        if config.split_by == "auto" and len(starts_D) < MIN_DOCUMENTS:
            return None
        lengths_D = np.diff(np.append(starts_D, num_chars))
        _, num_val, num_test = config.split_sizes(num_chars)
        order = np.random.default_rng(config.split_seed).permutation(len(starts_D))
        # Documents longer than a split go to training; the fractions apply to the others.
        longest = min((size for size in (num_val, num_test) if size), default=0)
        order = order[lengths_D[order] <= longest]
        ends = np.cumsum(lengths_D[order])
        _, num_val, num_test = config.split_sizes(int(ends[-1]) if len(ends) else 0)
        split_D = np.full(len(starts_D), _TRAIN, np.int8)
        split_D[order[ends <= num_test]] = _TEST
        split_D[order[(ends > num_test) & (ends <= num_test + num_val)]] = _VAL
        assignment = cls(lengths_D=lengths_D, split_D=split_D)
        # With few short documents, a split can end up far too small.
        num_train, num_val, num_test = config.split_sizes(num_chars)
        for split, name, wanted in ((_TEST, "test", num_test), (_VAL, "validation", num_val)):
            size = assignment.sizes[split]
            if size * _TOLERANCE < wanted:
                spare = max(0, assignment.sizes[_TRAIN] - -(-num_train // _TOLERANCE))
                num_moved = min(wanted - size, spare)
                notice = f"{name} text: {size + num_moved:,} of {wanted:,} characters"
                if num_moved:
                    notice += ", partly from longer documents, which were divided"
                assignment = assignment._moved(split, num_moved, notice)
        return assignment

    def _moved(self, split: int, num_chars: int, notice: str) -> "Assignment":
        """Move text from the ends of the longest training documents to another split."""
        lengths_D, split_D = self.lengths_D.copy(), self.split_D.copy()
        while num_chars > 0:
            longest = int(np.argmax(np.where(split_D == _TRAIN, lengths_D, 0)))
            num_kept = int(lengths_D[longest]) - num_chars
            num_chars -= int(lengths_D[longest])
            if num_kept <= 0:
                split_D[longest] = split
                continue
            lengths_D = np.insert(lengths_D, longest + 1, lengths_D[longest] - num_kept)
            lengths_D[longest] = num_kept
            split_D = np.insert(split_D, longest + 1, split)
        return Assignment(lengths_D=lengths_D, split_D=split_D, notices=(*self.notices, notice))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of characters for training, validation and test."""
        train, val, test = map(int, np.bincount(self.split_D, self.lengths_D, 3))
        return train, val, test

    @property
    def grouped_starts(self) -> npt.NDArray[np.int64]:
        """Document starts in the text that `grouped` yields."""
        lengths = self.lengths_D[np.argsort(self.split_D, kind="stable")]
        starts: npt.NDArray[np.int64] = np.cumsum(lengths) - lengths
        return starts

    def grouped(self, ids: Ids) -> Iterator[Ids]:
        """Yield ids in chunks: all training documents, then validation, then test."""
        for split in (_TRAIN, _VAL, _TEST):
            begin = 0
            for first in range(0, len(self.lengths_D), _CHUNK_DOCUMENTS):
                chunk = slice(first, first + _CHUNK_DOCUMENTS)
                lengths = self.lengths_D[chunk]
                chunk_ids = ids[begin : begin + int(lengths.sum())]
                yield chunk_ids[np.repeat(self.split_D[chunk] == split, lengths)]
                begin += len(chunk_ids)
