import itertools
import math

import numpy as np
import pytest

from charlstm.inference.predictor import Predictor
from charlstm.inference.search import most_likely


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return Predictor(checkpoint)


def by_hand(predictor, is_end_V, length):
    """Every continuation of up to so many symbols, and what it costs with its end."""
    found = []
    symbols = [one for one in np.flatnonzero(~is_end_V).tolist() if one]
    for number in range(length + 1):
        for ids in itertools.product(symbols, repeat=number):
            state, nats = predictor.start(), 0.0
            for symbol in ids:
                nats -= float(state.log_p[0, symbol])
                state = predictor.read(np.array([symbol]), state)
            ends = state.log_p[0, is_end_V].astype(float)
            found.append((nats - math.log(np.exp(ends).sum()), ids))
    return sorted(found)


def test_nothing_likelier_is_missing(predictor):
    # All but three symbols end one.
    is_end_V = np.ones(len(predictor.alphabet), np.bool_)
    is_end_V[[1, 5, 9]] = False
    expected = by_hand(predictor, is_end_V, 4)[:6]
    assert max(len(ids) for _, ids in expected) < 4  # nothing longer can be among them
    search = most_likely(predictor, predictor.start(), is_end_V, 6)
    assert search.is_exact
    assert [one.ids for one in search.found] == [ids for _, ids in expected]
    np.testing.assert_allclose(
        [one.nats for one in search.found], [nats for nats, _ in expected], rtol=1e-4
    )


def test_what_memory_leaves_unsearched_is_not_claimed(predictor):
    is_end_V = np.zeros(len(predictor.alphabet), np.bool_)
    is_end_V[3] = True
    search = most_likely(predictor, predictor.start(), is_end_V, 200, max_open=100)
    assert not search.is_exact
    assert len(search.found) < 200
