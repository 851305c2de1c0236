"""An encoded text: documents in a row, as training and evaluation read them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from charlstm.text.vocabulary import Ids, Vocabulary


@dataclass(frozen=True, kw_only=True)
class Split:
    """An encoded text: a part of a corpus, or any other.

    Every character is predicted once: the first of a document from the boundary symbol and a zero
    state, each other one from the characters before it.

    Args:
        ids: the characters of all documents, one after another, [num_chars].
        starts: where each document begins, ascending, int64 [num_documents].
        num_bytes: the length of the text in UTF-8, at the byte level its bytes; of a part of a
            split an estimate.
    """

    ids: Ids
    starts: npt.NDArray[np.int64]
    num_bytes: int

    @classmethod
    def of(
        cls, documents: Iterable[str], vocabulary: Vocabulary, *, num_bytes: int | None = None
    ) -> "Split":
        """Encode documents; empty ones leave no trace.

        Args:
            num_bytes: None where the characters stand for themselves, not for bytes.
        """
        parts = [text for text in documents if text]
        lengths = np.array([len(text) for text in parts], np.int64)
        return cls(
            ids=vocabulary.encode("".join(parts)),
            starts=np.cumsum(lengths) - lengths,
            num_bytes=(
                sum(len(text.encode("utf-8", "surrogatepass")) for text in parts)
                if num_bytes is None
                else num_bytes
            ),
        )

    @property
    def num_chars(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Characters of each document, int64 [num_documents]."""
        return np.diff(np.append(self.starts, self.num_chars))

    def part(self, first: int, after: int | None = None) -> "Split":
        """The characters from `first` on, up to `after`; a document that is cut restarts there."""
        ids = self.ids[first:after]
        inner = self.starts[(self.starts > first) & (self.starts < first + len(ids))] - first
        return Split(
            ids=ids,
            starts=np.append(np.int64(0), inner)[: len(ids)],
            num_bytes=round(self.num_bytes * len(ids) / max(1, self.num_chars)),
        )

    def documents(self, chosen_D: npt.NDArray[np.bool_]) -> "Split":
        """Some of the documents, in their order; a copy.

        Args:
            chosen_D: which, bool [num_documents].
        """
        lengths = self.lengths[chosen_D]
        ids = self.ids[np.repeat(chosen_D, self.lengths)]
        return Split(
            ids=ids,
            starts=np.cumsum(lengths) - lengths,
            num_bytes=round(self.num_bytes * len(ids) / max(1, self.num_chars)),
        )

    def in_parallel(self, num_streams: int, *, max_chars: int) -> "Split":
        """Cut the documents into at least `num_streams`, for a faster evaluation.

        Of a text longer than `max_chars` each stream keeps its beginning. Documents keep theirs.
        """
        edges = np.linspace(0, self.num_chars, num_streams + 1).astype(np.int64)
        kept = max(1, max_chars // num_streams)
        pieces: list[Ids] = []
        starts: list[npt.NDArray[np.int64]] = []
        num_kept = 0
        for first, after in pairwise(edges):
            last = min(after, first + kept)
            if first == last:
                continue
            inner = self.starts[(self.starts > first) & (self.starts < last)]
            starts.append(np.append(first, inner) - first + num_kept)
            pieces.append(self.ids[first:last])
            num_kept += int(last - first)
        return Split(
            ids=np.concatenate(pieces) if pieces else self.ids,
            starts=np.concatenate(starts) if starts else self.starts,
            num_bytes=round(self.num_bytes * num_kept / max(1, self.num_chars)),
        )
