"""Windows cut where documents begin, for nn.LSTM can't drop a state half-way.

A piece is what a window's stream holds from one beginning to the next. Pieces lie side by side, the
longest first, and drop out as they end, the way a packed sequence does: each is read from its own
state, and a list of names costs little more than one long text.

Shapes: T sequence length, B batch size, P pieces.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """As many steps as the same pieces take side by side.

    Args:
        place_TP: the places in the window, t * B + b; past the end of a piece they are arbitrary.
        ends_P: pieces that end with this stretch, at the window's end: their state is carried on.
    """

    place_TP: Integers
    ends_P: Integers


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """How to read a window.

    Args:
        stream_P: the stream of each piece.
        begins_P: whether it begins from a zero state; otherwise from its stream's.
        stretches: one after another; each holds the first pieces of the one before.
        order_TB: where each place of the window is found among all stretches' places.
        stream_order_B: likewise each stream among all stretches' ends.
    """

    stream_P: Integers
    begins_P: npt.NDArray[np.bool_]
    stretches: tuple[Stretch, ...]
    order_TB: Integers
    stream_order_B: Integers

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut, and so everything in its place."""
        return bool(len(self.stream_P) == self.order_TB.shape[1])

    @classmethod
    def of(cls, begins_TB: npt.NDArray[np.bool_]) -> "Pieces":
        """Cut a window at its beginnings, bool [T, B]."""
        seq_len, batch_size = begins_TB.shape
        is_first_TB = begins_TB.copy()
        is_first_TB[0] = True
        stream_P, time_P = np.nonzero(is_first_TB.T)
        is_last_P = np.append(stream_P[1:] != stream_P[:-1], True)
        length_P = np.where(is_last_P, seq_len, np.append(time_P[1:], 0)) - time_P
        longest_first = np.argsort(-length_P, kind="stable")
        stream_P, time_P, length_P, is_last_P = (
            values[longest_first] for values in (stream_P, time_P, length_P, is_last_P)
        )
        stretches = []
        order_TB = np.empty((seq_len, batch_size), np.int64)
        num_before = 0
        # Only a state that is needed later needs a stretch that ends with its piece.
        ends = np.unique(length_P[is_last_P])
        for first, after in pairwise([0, *ends[ends < length_P[0]], length_P[0]]):
            num_pieces = int(np.count_nonzero(length_P > first))
            offset_T1 = np.arange(first, after)[:, None]
            time_TP = np.minimum(time_P[:num_pieces] + offset_T1, seq_len - 1)
            place_TP = time_TP * batch_size + stream_P[:num_pieces]
            is_inside_TP = offset_T1 < length_P[:num_pieces]
            inside = np.flatnonzero(is_inside_TP)
            order_TB.ravel()[place_TP.ravel()[inside]] = num_before + inside
            num_before += place_TP.size
            ends_P = np.flatnonzero(is_last_P & (length_P == after))
            stretches.append(Stretch(place_TP=place_TP, ends_P=ends_P))
        ended = np.concatenate([stream_P[stretch.ends_P] for stretch in stretches])
        return cls(
            stream_P=stream_P,
            begins_P=begins_TB[time_P, stream_P],
            stretches=tuple(stretches),
            order_TB=order_TB,
            stream_order_B=np.argsort(ended),
        )
