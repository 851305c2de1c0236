"""Windows of many documents, read in parallel, each document from its start.

B is the number of documents in a window, T its length in characters.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.text.encoded_text import EncodedText

_ALL_DOCUMENTS: Final = slice(None)


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
    split: EncodedText,
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
    length_D = split.lengths
    order = np.argsort(-length_D, kind="stable")[shard]
    first = 0
    while first < len(order):
        chosen = order[first:][: max(num_documents, num_chars // int(length_D[order[first]]))]
        first += len(chosen)
        start_B, length_B = split.starts[chosen], length_D[chosen]
        max_length = int(length_B[0])
        num_steps = max(1, min(max_steps, max_chars // len(chosen)))
        for begin in range(0, max_length, num_steps):
            num_active = int(np.count_nonzero(length_B > begin))
            start_B, length_B = start_B[:num_active], length_B[:num_active]
            offset_T1 = np.arange(begin, min(begin + num_steps, max_length))[:, None]
            index_TB = np.minimum(start_B + offset_T1, split.num_chars - 1)
            yield Window(index_TB, offset_T1 < length_B, begin == 0)
