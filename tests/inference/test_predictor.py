from dataclasses import replace

import numpy as np
import pytest
from conftest import evaluate, network_of

from charlstm.errors import CheckpointError
from charlstm.evaluation.scores import Evaluation
from charlstm.evaluation.scoring import score
from charlstm.inference.predictor import Predictor
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import UNKNOWN

TEXTS = ["the quick brown fox", "quips\u2603\n"]


def test_log_probabilities_add_up_to_the_evaluation(checkpoint):
    weights = {**checkpoint.weights, "head.bias": checkpoint.weights["head.bias"].copy()}
    weights["head.bias"][UNKNOWN] = -30.0  # its probability is the minimum
    checkpoint = replace(checkpoint, weights=weights)
    predictor = Predictor(checkpoint)
    nats = 0.0
    for text in TEXTS:
        prediction = predictor.start()
        for token in checkpoint.spec.vocabulary.encode(text):
            nats -= prediction.log_p[0, token]
            prediction = predictor.read(np.array([token]), prediction)
    model = network_of(checkpoint)
    split = EncodedText.of(TEXTS, checkpoint.spec.vocabulary)
    result = evaluate(model, split)
    assert nats == pytest.approx(result.nats, rel=1e-5)
    scores = predictor.score(split)
    np.testing.assert_allclose(scores.nats_N, score(model, split).nats_N, atol=1e-5)
    np.testing.assert_array_equal(scores.rank_N, score(model, split).rank_N)
    assert Evaluation.of_scores(split, scores).num_correct == result.num_correct


def test_parallel_streams_match_single_ones(checkpoint):
    predictor = Predictor(checkpoint)
    encode = checkpoint.spec.vocabulary.encode
    ids = np.stack([encode("the quick"), encode("quips.\nqu")])
    together = predictor.start(2)
    for ids_B in ids.T:
        together = predictor.read(ids_B, together)
    for number, text in enumerate(["the quick", "quips.\nqu"]):
        alone = predictor.read_all(text, predictor.start())
        np.testing.assert_allclose(together.log_p[number], alone.log_p[0], atol=1e-5)


def parts_of(state, stream):
    """Return everything that a state holds of one stream."""
    values = [layer[name][stream] for layer in state.layers for name in sorted(layer)]
    return [state.log_p[stream], state.context_BK[stream], *values]


def test_states_select_and_concatenate_streams_in_every_part(checkpoint):
    predictor = Predictor(checkpoint)
    state = predictor.read(np.array([1, 2, 3]), predictor.start(3))
    together = state.joined(predictor.start()).of_streams(np.array([3, 2, 0, 2]))
    expected = [(predictor.start(), 0), (state, 2), (state, 0), (state, 2)]
    assert len(together.log_p) == len(expected)
    for stream, (source, number) in enumerate(expected):
        for found, part in zip(parts_of(together, stream), parts_of(source, number), strict=True):
            np.testing.assert_array_equal(found, part)


def test_overflowing_predictions_are_an_error(checkpoint):
    weights = {**checkpoint.weights, "head.bias": checkpoint.weights["head.bias"] * 0 + 3e38}
    weights["head.bias"][::2] *= -1
    crafted = replace(checkpoint, weights=weights)
    with pytest.raises(CheckpointError, match="overflow"):
        Predictor(crafted).read_all("the", Predictor(crafted).start())
    with pytest.raises(CheckpointError, match="overflow"):
        score(network_of(crafted), EncodedText.of(["the quick"], checkpoint.spec.vocabulary))
