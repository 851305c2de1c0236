import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import CorpusError
from charlstm.inference.prediction import ladder, predict_next


@given(st.text("the quick\n", max_size=12))
def test_predict_next_returns_a_distribution_over_the_vocabulary(predictor, prefix):
    prediction = predict_next(predictor, prefix)
    p = np.array([candidate.probability for candidate in prediction.next])
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert (np.diff(p) <= 0).all()
    assert prediction.entropy_bits == pytest.approx(float(-(p * np.log2(p)).sum()))
    assert 0 <= prediction.entropy_bits <= math.log2(len(p))
    chars = [candidate.char for candidate in prediction.next]
    assert set(chars) == {None, *predictor.tokenizer.vocabulary.characters}
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
def test_ladder_doubles_the_context_length(predictor, prefix, lengths):
    predictions = ladder(predictor, prefix)
    assert [prediction.num_context for prediction in predictions] == lengths
    for prediction in predictions:
        assert prefix.endswith(prediction.context)
        assert prediction.prediction == predict_next(predictor, prediction.context)


def test_ladder_rejects_unknown_characters(predictor):
    with pytest.raises(CorpusError, match=r"U\+2603"):
        ladder(predictor, "\u2603")
