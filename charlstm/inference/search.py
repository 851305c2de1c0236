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

from charlstm.errors import CharLSTMError, ConfigError
from charlstm.inference.predictor import Predictor, PredictorState
from charlstm.text.vocabulary import UNKNOWN

_READ_AT_ONCE: Final = 64
# Prefixes that are open, and that are read; a read one has some kilobytes of state.
MAX_OPEN: Final = 500_000
_MAX_READ: Final = 20_000
# Beside letters and digits.
_IN_WORDS: Final = "'\u2019-"


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


class Continuation(NamedTuple):
    """One of the most likely continuations.

    Args:
        text: readable, the prime included, without what ends it.
        probability: of it and of an end after it, given the prime.
    """

    text: str
    probability: float


def likely_items(predictor: Predictor, prime: str, number: int) -> list[Continuation]:
    """The most likely items of a list that begin with a prime.

    Args:
        prime: symbols.

    Raises:
        ConfigError: when the model knows no items.
        CharLSTMError: when memory doesn't suffice for so many.
    """
    if (end := predictor.alphabet.end_id) is None:
        raise ConfigError(
            "the model learned from running text, which has no items; predict --words ends words"
        )
    is_end_V = np.zeros(len(predictor.alphabet), np.bool_)
    is_end_V[end] = True
    return _likely(predictor, prime, is_end_V, number)


def likely_words(predictor: Predictor, prime: str, number: int) -> list[Continuation]:
    """The most likely continuations of a text to the end of the word.

    Args:
        prime: symbols.

    Raises:
        CharLSTMError: when memory doesn't suffice for so many.
    """
    is_end_V = np.array(
        [
            not (char and (char.isalnum() or char in _IN_WORDS))
            for char in predictor.alphabet.readable
        ]
    )
    if is_end_V.all():
        raise ConfigError("the model knows no letters")
    return _likely(predictor, prime, is_end_V, number)


def _likely(
    predictor: Predictor, prime: str, is_end_V: npt.NDArray[np.bool_], number: int
) -> list[Continuation]:
    alphabet = predictor.alphabet
    search = most_likely(predictor, predictor.read_text(prime, predictor.start()), is_end_V, number)
    if len(search.found) < number and not search.is_exact:
        raise CharLSTMError(
            f"memory suffices for {len(search.found):,} of {number:,}; give a longer beginning"
        )
    return [
        Continuation(
            alphabet.to_text(prime + alphabet.decode(np.array(ids, np.int64))), math.exp(-nats)
        )
        for nats, ids in search.found
    ]
