"""Reading many documents at once, one window after another, each from its beginning.

Shapes: B documents side by side, T characters of a window.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.text.split import Split

_ALL: Final = slice(None)


class Window(NamedTuple):
    """The next characters of some documents.

    Args:
        place_TB: where each character stands in the split, int64; past the end of a document any.
        is_inside_TB: whether it belongs to the document.
        is_first: whether these documents begin here; otherwise they are the first B of those of the
            window before, the others have ended.
    """

    place_TB: npt.NDArray[np.int64]
    is_inside_TB: npt.NDArray[np.bool_]
    is_first: bool


def side_by_side(
    split: Split,
    *,
    num_documents: int,
    num_chars: int = 0,
    max_steps: int = 1,
    max_chars: int = 0,
    share: slice = _ALL,
) -> Iterator[Window]:
    """All characters once, the longest documents first, so that little of a window is filling.

    Args:
        num_documents: side by side, at least, as far as there are so many.
        num_chars: of short ones as many more as have so many characters.
        max_steps: of a window; `max_chars` of all its documents, beyond one of each.
        share: which documents, in descending order of length.
    """
    length_D = split.lengths
    order = np.argsort(-length_D, kind="stable")[share]
    first = 0
    while first < len(order):
        chosen = order[first:][: max(num_documents, num_chars // int(length_D[order[first]]))]
        first += len(chosen)
        start_B, length_B = split.starts[chosen], length_D[chosen]
        longest = int(length_B[0])
        num_steps = max(1, min(max_steps, max_chars // len(chosen)))
        for begin in range(0, longest, num_steps):
            num_left = int(np.count_nonzero(length_B > begin))
            start_B, length_B = start_B[:num_left], length_B[:num_left]
            offset_T1 = np.arange(begin, min(begin + num_steps, longest))[:, None]
            place_TB = np.minimum(start_B + offset_T1, split.num_chars - 1)
            yield Window(place_TB, offset_T1 < length_B, begin == 0)
