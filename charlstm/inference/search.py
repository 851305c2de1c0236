"""The most likely items, or words, exactly: best-first search over what may come next.

What is likeliest of all prefixes is read on; an ended one is found when nothing that is still open
is likelier (uniform-cost search, Dijkstra 1959).

Shapes: B prefixes read at once, V symbols that can be predicted.
"""

import bisect
import functools
import heapq
import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.inference.predictor import Predictor, PredictorState
from charlstm.text.vocabulary import UNKNOWN

_READ_AT_ONCE: Final = 64
# Prefixes that are open, and that are read; a read one has some kilobytes of state.
MAX_OPEN: Final = 500_000
_MAX_READ: Final = 20_000


class Found(NamedTuple):
    """One continuation, or the beginning of one.

    Args:
        nats: -log of the probability of these symbols, and of an end after them where it has ended.
        ids: of the symbols, without what ends it.
    """

    nats: float
    ids: tuple[int, ...]


# What is open, a number that no other has, and the states of which stream it comes after.
_Open = tuple[Found, int, PredictorState, int]


class Search(NamedTuple):
    """What was found.

    Args:
        found: the most likely first.
        is_exact: whether nothing likelier is missing; False where memory ended it.
    """

    found: list[Found]
    is_exact: bool


def most_likely(
    predictor: Predictor,
    start: PredictorState,
    is_end_V: npt.NDArray[np.bool_],
    number: int,
    *,
    max_open: int = MAX_OPEN,
) -> Search:
    """Search for the most likely continuations up to an end.

    Args:
        start: of one stream.
        is_end_V: which symbols end one; which of them it is doesn't matter.
        number: of continuations that are wanted.
        max_open: prefixes to hold; with more the search ends.
    """
    is_open_V = ~is_end_V
    is_open_V[UNKNOWN] = False
    heap: list[_Open] = []
    ended: list[Found] = []
    states, prefixes = start, [Found(0.0, ())]
    num_read = 0
    while True:
        log_p_BV = states.log_p.astype(np.float64)
        ends_B = np.logaddexp.reduce(log_p_BV[:, is_end_V], axis=-1).tolist()
        for prefix, end in zip(prefixes, ends_B, strict=True):
            bisect.insort(ended, Found(prefix.nats - end, prefix.ids))
        del ended[number:]
        # What costs more than the last that is wanted isn't read on.
        limit = ended[-1].nats if len(ended) == number else math.inf
        for stream, prefix in enumerate(prefixes):
            nats_V = prefix.nats - log_p_BV[stream]
            for symbol in np.flatnonzero(is_open_V & (nats_V < limit)).tolist():
                after = Found(float(nats_V[symbol]), (*prefix.ids, symbol))
                heapq.heappush(heap, (after, num_read + stream, states, stream))
        num_read += len(prefixes)
        chosen = [heapq.heappop(heap) for _ in range(min(_READ_AT_ONCE, len(heap)))]
        chosen = [one for one in chosen if one[0].nats < limit]
        if not chosen or len(heap) > max_open or num_read > _MAX_READ:
            # What is likelier than anything that is still open is certain.
            least = min((one[0].nats for one in chosen), default=math.inf)
            certain = [one for one in ended if one.nats <= least]
            return Search(certain, is_exact=not chosen)
        prefixes = [one[0] for one in chosen]
        before = functools.reduce(
            PredictorState.joined,
            (states.of_streams(np.array([stream])) for _, _, states, stream in chosen),
        )
        states = predictor.read(np.array([one.ids[-1] for one in prefixes]), before)
