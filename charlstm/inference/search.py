"""Exact search for the most likely items or words.

Uniform-cost search (Dijkstra 1959): the most likely prefix is extended first, and an ended one is
final when no open prefix is more likely.

Shapes: B prefixes in a batch, V tokens that can be predicted.
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
# Maximum numbers of open and of read prefixes; a read one has some kilobytes of state.
MAX_OPEN: Final = 500_000
_MAX_READ: Final = 20_000
# In addition to letters and digits.
_WORD_CHARS: Final = "'\u2019-"


class Hypothesis(NamedTuple):
    """A continuation or a prefix of one.

    Args:
        nats: negative log-probability of the tokens; of an ended one, also of an end after them.
        ids: token ids, without the end.
    """

    nats: float
    ids: tuple[int, ...]


# (prefix, tie-breaker, states after all but its last token, index of its stream in them)
_Entry = tuple[Hypothesis, int, PredictorState, int]


class SearchResult(NamedTuple):
    """The result of a search.

    Args:
        found: continuations, most likely first.
        is_exact: False if a limit ended the search early.
    """

    found: list[Hypothesis]
    is_exact: bool


def most_likely(
    predictor: Predictor,
    start: PredictorState,
    is_end_V: npt.NDArray[np.bool_],
    number: int,
    *,
    may_be_empty: bool = True,
    max_open: int = MAX_OPEN,
) -> SearchResult:
    """Search for the most likely continuations up to an end.

    Args:
        start: state of a single stream.
        is_end_V: which tokens end a continuation; their probabilities are summed.
        number: number of continuations.
        may_be_empty: whether a continuation may have no tokens before its end.
        max_open: maximum number of open prefixes; the search stops beyond it.
    """
    is_open_V = ~is_end_V
    is_open_V[UNKNOWN] = False
    heap: list[_Entry] = []
    ended: list[Hypothesis] = []
    states, prefixes = start, [Hypothesis(0.0, ())]
    num_read = 0
    while True:
        log_p_BV = states.log_p.astype(np.float64)
        ends_B = np.logaddexp.reduce(log_p_BV[:, is_end_V], axis=-1).tolist()
        for prefix, end in zip(prefixes, ends_B, strict=True):
            if prefix.ids or may_be_empty:
                bisect.insort(ended, Hypothesis(prefix.nats - end, prefix.ids))
        del ended[number:]
        # Don't extend prefixes that are less likely than the last result.
        limit = ended[-1].nats if len(ended) == number else math.inf
        for stream, prefix in enumerate(prefixes):
            nats_V = prefix.nats - log_p_BV[stream]
            for token in np.flatnonzero(is_open_V & (nats_V < limit)).tolist():
                after = Hypothesis(float(nats_V[token]), (*prefix.ids, token))
                heapq.heappush(heap, (after, num_read + stream, states, stream))
        num_read += len(prefixes)
        chosen = [heapq.heappop(heap) for _ in range(min(_READ_AT_ONCE, len(heap)))]
        chosen = [entry for entry in chosen if entry[0].nats < limit]
        if not chosen or len(heap) > max_open or num_read > _MAX_READ:
            # Ended continuations that are more likely than all open prefixes are final.
            min_open = min((entry[0].nats for entry in chosen), default=math.inf)
            final = [continuation for continuation in ended if continuation.nats <= min_open]
            return SearchResult(final, is_exact=not chosen)
        prefixes = [entry[0] for entry in chosen]
        before = functools.reduce(
            PredictorState.joined,
            (states.of_streams(np.array([stream])) for _, _, states, stream in chosen),
        )
        states = predictor.read(np.array([prefix.ids[-1] for prefix in prefixes]), before)


class Continuation(NamedTuple):
    """One of the most likely continuations.

    Args:
        text: readable, including the prime, without the end.
        probability: probability of the continuation and its end, given the prime.
    """

    text: str
    probability: float


def likely_items(predictor: Predictor, prime: str, number: int) -> list[Continuation]:
    """Return the most likely items of a list that start with a prime, without the empty one.

    Args:
        prime: in normalized characters.

    Raises:
        ConfigError: when the model was not trained with ends of documents.
        CharLSTMError: when the search ends before it has found `number` items.
    """
    if (eos_id := predictor.tokenizer.eos_id) is None:
        raise ConfigError(
            "the model was trained on running text, which has no items; use predict --words to "
            "complete words"
        )
    is_end_V = np.zeros(len(predictor.tokenizer), np.bool_)
    is_end_V[eos_id] = True
    return _likely(predictor, prime, is_end_V, number, may_be_empty=bool(prime))


def likely_words(predictor: Predictor, prime: str, number: int) -> list[Continuation]:
    """Return the most likely continuations of a text to the end of the word.

    Args:
        prime: in normalized characters.

    Raises:
        ConfigError: when the vocabulary has no letters.
        CharLSTMError: when the search ends before it has found `number` continuations.
    """
    is_end_V = np.array(
        [
            not (char and (char.isalnum() or char in _WORD_CHARS))
            for char in predictor.tokenizer.readable
        ]
    )
    if is_end_V.all():
        raise ConfigError("the model's vocabulary has no letters")
    return _likely(predictor, prime, is_end_V, number)


def _likely(
    predictor: Predictor,
    prime: str,
    is_end_V: npt.NDArray[np.bool_],
    number: int,
    *,
    may_be_empty: bool = True,
) -> list[Continuation]:
    tokenizer = predictor.tokenizer
    start = predictor.read_all(prime, predictor.start())
    search = most_likely(predictor, start, is_end_V, number, may_be_empty=may_be_empty)
    if len(search.found) < number and not search.is_exact:
        raise CharLSTMError(
            f"search limit reached after {len(search.found):,} of {number:,}; give a longer prime"
        )
    return [
        Continuation(
            tokenizer.to_text(prime + tokenizer.decode(np.array(ids, np.int64))), math.exp(-nats)
        )
        for nats, ids in search.found
    ]
