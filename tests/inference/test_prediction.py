import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import CorpusError
from charlstm.inference.prediction import ladder, predict_next


@given(st.text("the quick\n", max_size=12))
def test_it_is_a_distribution_over_every_symbol(predictor, prefix):
    prediction = predict_next(predictor, prefix)
    p = np.array([candidate.probability for candidate in prediction.next])
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert (np.diff(p) <= 0).all()
    assert prediction.entropy_bits == pytest.approx(float(-(p * np.log2(p)).sum()))
    assert 0 <= prediction.entropy_bits <= math.log2(len(p))
    chars = [candidate.char for candidate in prediction.next]
    assert set(chars) == {None, *predictor.alphabet.vocabulary.characters}
    assert len(set(chars)) == len(chars)


@pytest.mark.parametrize(
    ("prefix", "lengths"),
    [
        ("", [0]),
        ("q", [0, 1]),
        ("qu", [0, 1, 2]),
        ("quick", [0, 1, 2, 4, 5]),
        ("q" * 8, [0, 1, 2, 4, 8]),
    ],
)
def test_a_ladder_doubles_its_context_up_to_all_of_it(predictor, prefix, lengths):
    rungs = ladder(predictor, prefix)
    assert [rung.num_context for rung in rungs] == lengths
    for rung in rungs:
        assert prefix.endswith(rung.context)
        assert rung.prediction == predict_next(predictor, rung.context)


def test_characters_never_seen_are_refused(predictor):
    with pytest.raises(CorpusError, match=r"U\+2603"):
        ladder(predictor, "\u2603")
