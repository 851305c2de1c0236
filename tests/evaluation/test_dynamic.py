from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MODEL, TEXT

from charlstm.evaluation import dynamic
from charlstm.evaluation.dynamic import evaluate_dynamically
from charlstm.evaluation.scoring import evaluate
from charlstm.model.network import CharLSTM
from charlstm.text.split import Split

FLOOR = 1e-4


@pytest.fixture
def model(vocabulary):
    config = replace(MODEL, num_characters=len(vocabulary))
    return CharLSTM(config, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("segment_length", [1, 7, 64])
def test_without_learning_it_is_the_static_figure(model, vocabulary, monkeypatch, segment_length):
    monkeypatch.setattr(dynamic, "_SEGMENT_LENGTH", segment_length)
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 0.0)
    split = Split.of([TEXT[:90], "q", TEXT[20:70], "☃"], vocabulary)
    static = evaluate(model, split, unknown_probability=FLOOR)
    result = evaluate_dynamically(model, split, unknown_probability=FLOOR)
    assert result == replace(static, nats=pytest.approx(static.nats, rel=1e-5))


def test_it_learns_what_repeats_and_leaves_the_model_alone(model, vocabulary, monkeypatch):
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once = "the quick brown fox "
    split = Split.of([once * 60], vocabulary)
    static = evaluate(model, split, unknown_probability=FLOOR)
    result = evaluate_dynamically(model, split, unknown_probability=FLOOR)
    assert result.num_chars == static.num_chars
    assert result.nats < 0.97 * static.nats
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_a_segment_is_scored_before_it_is_learned_from(model, vocabulary):
    """What comes later can't change the figure of what came before."""
    length = 2 * 64

    def nats(text):
        split = Split.of([text], vocabulary)
        return evaluate_dynamically(model, split, unknown_probability=FLOOR).nats

    text = (TEXT * 9)[: length + 64]
    other = text[:length] + text[length:][::-1]
    with_none = nats(text[:length])
    assert nats(text) > with_none
    # The same sum for the shared beginning: the rest is scored by the same weights.
    ids = vocabulary.encode(text[:length])
    assert np.array_equal(ids, vocabulary.encode(other[:length]))
    assert nats(text[: length - 64]) < with_none < min(nats(text), nats(other))


def test_short_documents_fill_a_segment_together(model, vocabulary, monkeypatch):
    steps = []
    step = dynamic._Adaptation._step
    monkeypatch.setattr(dynamic._Adaptation, "_step", lambda self: (steps.append(self), step(self)))
    split = Split.of(["quick"] * 64, vocabulary)
    evaluate_dynamically(model, split, unknown_probability=FLOOR)
    assert len(steps) == 5


def test_nothing_to_score_is_an_error(model, vocabulary):
    with pytest.raises(ValueError, match="no characters"):
        evaluate_dynamically(model, Split.of([], vocabulary), unknown_probability=FLOOR)
