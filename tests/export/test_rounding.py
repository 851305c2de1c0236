"""Tests of rounded weights and the rounding cost."""

import math

import numpy as np
import pytest
from conftest import TEXT

from charlstm.errors import CorpusError
from charlstm.export.rounding import RoundedMatrix, measure_rounding, rounded
from charlstm.inference.prediction import predict_next
from charlstm.inference.predictor import Predictor
from charlstm.text.encoded_text import EncodedText


def test_rounding_uses_255_levels_per_row():
    matrix = np.array([[1.0, -0.5, 0.004], [0.0, 0.0, 0.0], [1e-42, 0.0, 0.0]], np.float32)
    found = RoundedMatrix.of(matrix)
    assert found.values.dtype == np.int8
    assert found.values[0].tolist() == [127, -64, 1]
    assert not found.values[1].any()
    np.testing.assert_allclose(found.to_array(), matrix, atol=1 / 254)
    random = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    step = np.abs(random).max(-1, keepdims=True) / 127
    assert np.all(np.abs(RoundedMatrix.of(random).to_array() - random) <= step * 0.501)


def test_rounding_cost_matches_scoring(checkpoint):
    documents = [TEXT[:600], "quick", "the lazy dog", TEXT[3:26]]
    cost = measure_rounding(checkpoint, EncodedText.of(documents, checkpoint.spec.vocabulary))
    assert cost.num_chars == 640
    windows = [text[first : first + 10] for text in documents for first in range(0, len(text), 10)]
    for model, expected in (
        (checkpoint, cost.exact_bits_per_char),
        (rounded(checkpoint), cost.rounded_bits_per_char),
    ):
        predictor = Predictor(model)
        nats = 0.0
        for window in windows:
            for place, char in enumerate(window):
                found = {
                    one.char: one.probability
                    for one in predict_next(predictor, window[:place]).next
                }
                nats -= math.log(found[char])
        assert expected == pytest.approx(nats / 640 / math.log(2), rel=1e-5)
    assert cost.exact_bits_per_char != cost.rounded_bits_per_char
    assert abs(cost.bits_per_char) < 0.05
    with pytest.raises(CorpusError, match="no characters"):
        measure_rounding(checkpoint, EncodedText.of([], checkpoint.spec.vocabulary))
