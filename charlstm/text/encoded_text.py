"""Encoded text: concatenated documents, as training and evaluation read them.

Shapes of windows: B documents, T characters of each.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.text.vocabulary import Ids, Vocabulary

_ALL_DOCUMENTS: Final = slice(None)


@dataclass(frozen=True, kw_only=True)
class EncodedText:
    """Encoded documents: a part of a corpus, or any other text.

    Every character is predicted once: a document's first one from BOS and a zero state, each other
    one from the characters before it.

    Args:
        ids: ids of all documents, concatenated, [num_chars].
        starts: document starts, ascending, int64 [num_documents].
        bytes_D: size of each document in bytes (UTF-8), int64 [num_documents]; None if not counted.
    """

    ids: Ids
    starts: npt.NDArray[np.int64]
    bytes_D: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        documents: Iterable[str],
        vocabulary: Vocabulary,
        *,
        num_bytes: Callable[[str], int] = lambda text: len(text.encode("utf-8", "surrogatepass")),
    ) -> "EncodedText":
        """Encode documents; empty ones are dropped.

        Args:
            num_bytes: returns the size of a document in bytes.
        """
        parts = [text for text in documents if text]
        lengths = np.array([len(text) for text in parts], np.int64)
        return cls(
            ids=vocabulary.encode("".join(parts)),
            starts=np.cumsum(lengths) - lengths,
            bytes_D=np.array([num_bytes(text) for text in parts], np.int64),
        )

    @property
    def num_chars(self) -> int:
        return len(self.ids)

    @property
    def num_bytes(self) -> int | None:
        """Total size in bytes; None if not counted."""
        return None if self.bytes_D is None else int(self.bytes_D.sum())

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Length of each document in characters, int64 [num_documents]."""
        return np.diff(np.append(self.starts, self.num_chars))

    def pieces(self, num_chars: int) -> Iterator[tuple[int, Ids, slice, npt.NDArray[np.int64]]]:
        """Yield the text in pieces of `num_chars` characters, to bound memory.

        Each is the index of its first character, its ids, the documents with characters in it, and
        where they begin in it (0 if one began before).
        """
        for first in range(0, self.num_chars, num_chars):
            ids = self.ids[first : first + num_chars]
            after = int(np.searchsorted(self.starts, first + len(ids)))
            documents = slice(int(np.searchsorted(self.starts, first, side="right")) - 1, after)
            yield first, ids, documents, np.maximum(self.starts[documents] - first, 0)

    def part(self, first: int, after: int | None = None) -> "EncodedText":
        """Return the characters from `first` up to `after`, without byte counts.

        A document that is cut starts anew at `first`.
        """
        ids = self.ids[first:after]
        inner = self.starts[(self.starts > first) & (self.starts < first + len(ids))] - first
        return EncodedText(ids=ids, starts=np.append(np.int64(0), inner)[: len(ids)])

    def documents(self, chosen_D: npt.NDArray[np.bool_]) -> "EncodedText":
        """Return a copy of the documents selected by a mask, bool [num_documents]."""
        lengths = self.lengths[chosen_D]
        ids = self.ids[np.repeat(chosen_D, self.lengths)]
        return EncodedText(
            ids=ids,
            starts=np.cumsum(lengths) - lengths,
            bytes_D=None if self.bytes_D is None else self.bytes_D[chosen_D],
        )

    def in_parallel(self, num_streams: int, *, max_chars: int) -> "EncodedText":
        """Cut the text into `num_streams` parts of equal length, for faster evaluation.

        Each part starts a new document; other document starts are kept. If the text is longer than
        `max_chars`, the parts are truncated. Bytes are not counted.
        """
        edges = np.linspace(0, self.num_chars, num_streams + 1).astype(np.int64)
        kept = max(1, max_chars // num_streams)
        parts = [self.part(first, min(after, first + kept)) for first, after in pairwise(edges)]
        ends = accumulate(part.num_chars for part in parts)
        return EncodedText(
            ids=np.concatenate([part.ids for part in parts]),
            starts=np.concatenate(
                [end - part.num_chars + part.starts for part, end in zip(parts, ends, strict=True)]
            ),
        )


class Window(NamedTuple):
    """The next characters of B documents.

    Args:
        index_TB: index of each character in the split, int64; arbitrary past a document's end.
        is_inside_TB: whether the character belongs to the document (False is padding).
        is_first: whether these documents start here; otherwise they are the first B documents of
            the previous window, and the others have ended.
    """

    index_TB: npt.NDArray[np.int64]
    is_inside_TB: npt.NDArray[np.bool_]
    is_first: bool


def parallel_windows(
    text: EncodedText,
    *,
    num_documents: int,
    num_chars: int = 0,
    max_steps: int = 1,
    max_chars: int = 0,
    shard: slice = _ALL_DOCUMENTS,
) -> Iterator[Window]:
    """Yield windows that cover each character once, the longest documents first, to reduce padding.

    Args:
        num_documents: number of documents read in parallel, if there are that many.
        num_chars: short documents are read in larger batches, of up to this many characters
            including padding.
        max_steps: maximum length of a window.
        max_chars: maximum number of characters in a window including padding; at least one per
            document is always read.
        shard: slice of the documents, in descending order of length.
    """
    length_D = text.lengths
    order = np.argsort(-length_D, kind="stable")[shard]
    first = 0
    while first < len(order):
        chosen = order[first:][: max(num_documents, num_chars // int(length_D[order[first]]))]
        first += len(chosen)
        start_B, length_B = text.starts[chosen], length_D[chosen]
        max_length = int(length_B[0])
        num_steps = max(1, min(max_steps, max_chars // len(chosen)))
        for begin in range(0, max_length, num_steps):
            num_active = int(np.count_nonzero(length_B > begin))
            start_B, length_B = start_B[:num_active], length_B[:num_active]
            offset_T1 = np.arange(begin, min(begin + num_steps, max_length))[:, None]
            index_TB = np.minimum(start_B + offset_T1, text.num_chars - 1)
            yield Window(index_TB, offset_T1 < length_B, begin == 0)
