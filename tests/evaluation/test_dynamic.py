from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MODEL, TEXT, evaluate

from charlstm.errors import CorpusError
from charlstm.evaluation import dynamic
from charlstm.evaluation.dynamic import score_dynamically
from charlstm.evaluation.scores import Evaluation
from charlstm.model.network import CharLSTM
from charlstm.text.split import Split


@pytest.fixture
def model(vocabulary):
    config = replace(MODEL, num_characters=len(vocabulary))
    generator = torch.Generator().manual_seed(0)
    return CharLSTM(config, generator=generator, unknown_probability=1e-4)


@pytest.mark.parametrize("segment_length", [1, 7, 64])
def test_without_learning_it_is_the_static_figure(model, vocabulary, monkeypatch, segment_length):
    monkeypatch.setattr(dynamic, "_SEGMENT_LENGTH", segment_length)
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 0.0)
    split = Split.of([TEXT[:90], "q", TEXT[20:70], "☃"], vocabulary)
    static = evaluate(model, split)
    result = Evaluation.of_scores(split, score_dynamically(model, split))
    assert result == replace(static, nats=pytest.approx(static.nats, rel=1e-5))


def test_it_learns_what_repeats_and_leaves_the_model_alone(model, vocabulary, monkeypatch):
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once = "the quick brown fox "
    split = Split.of([once * 60], vocabulary)
    static = evaluate(model, split)
    result = Evaluation.of_scores(split, score_dynamically(model, split))
    assert result.num_chars == static.num_chars
    assert result.nats < 0.97 * static.nats
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("changed", [63, 64, 100, 127, 128, 190])
def test_nothing_is_learned_from_what_is_not_yet_scored(model, vocabulary, monkeypatch, changed):
    """Another character changes its own cost and later ones, never an earlier one."""
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    text = (TEXT * 9)[:200]
    other = text[:changed] + ("z" if text[changed] != "z" else "y") + text[changed + 1 :]
    costs, other_costs = (
        score_dynamically(model, Split.of([one], vocabulary)).nats_N for one in (text, other)
    )
    np.testing.assert_array_equal(costs[:changed], other_costs[:changed])
    assert np.all(costs[changed + 1 : changed + 5] != other_costs[changed + 1 : changed + 5])


def test_a_segment_changes_the_weights_after_it(model, vocabulary, monkeypatch):
    """With the state cut by a new document, only weights can carry anything over."""
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    first = "the quick brown fox " * 4
    split = Split.of([first[:64], first[:64]], vocabulary)
    costs = score_dynamically(model, split).nats_N
    assert costs[64:].sum() < 0.997 * costs[:64].sum()


def test_short_documents_fill_a_segment_together(model, vocabulary, monkeypatch):
    steps = []
    step = dynamic._Adaptation._step
    monkeypatch.setattr(dynamic._Adaptation, "_step", lambda self: (steps.append(self), step(self)))
    split = Split.of(["quick"] * 64, vocabulary)
    score_dynamically(model, split)
    assert len(steps) == 5


def test_steps_are_those_of_rmsprop_with_a_pull_back(model, vocabulary, monkeypatch):
    """Against the equations, over segments that documents share."""
    monkeypatch.setattr(dynamic, "_SEGMENT_LENGTH", 10)
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    documents = [TEXT[:25], TEXT[30:36], TEXT[50:70]]
    split = Split.of(documents, vocabulary)
    told = []
    found = score_dynamically(model, split, progress=told.append).nats_N
    assert sum(told) == split.num_chars

    trained = [parameter.detach().clone() for parameter in model.parameters()]
    squares = [torch.zeros_like(parameter) for parameter in trained]
    expected, segment = [], []
    for text in documents:
        ids = vocabulary.encode(text).astype(int).tolist()
        state = model.zero_state(1)
        for read, number in zip([vocabulary.boundary, *ids], ids, strict=False):
            logits, state = model(torch.tensor([[read]]), state)
            segment.append(-model.log_probabilities(logits)[0, 0, number])
            expected.append(segment[-1].item())
            if len(segment) == 10:
                (sum(segment) / 10).backward()
                step(model.parameters(), trained, squares, number=len(expected) // 10)
                model.zero_grad()
                segment, state = [], state.detached()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@torch.no_grad()
def step(weights, trained, squares, *, number):
    """Back by a thousandth, then down the gradient over the root of its mean square."""
    for weight, origin, square in zip(weights, trained, squares, strict=True):
        square.lerp_(weight.grad**2, 1e-3)
        usual = (square / (1 - 0.999**number)).sqrt() + 1e-8
        weight.lerp_(origin, 1e-3).sub_(1e-2 * weight.grad / usual)


def test_a_gradient_that_is_not_finite_changes_nothing(model, monkeypatch):
    monkeypatch.setattr(dynamic, "_SEGMENT_LENGTH", 2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    adaptation = dynamic._Adaptation(model)

    def learn(factor):
        costs = sum(parameter.sum() for parameter in model.parameters()) * torch.tensor([factor, 1])
        adaptation.learn(costs)

    learn(torch.inf)
    assert all(map(torch.equal, model.parameters(), before))
    learn(1.0)
    assert not any(map(torch.equal, model.parameters(), before))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_nothing_to_score_is_an_error(model, vocabulary):
    with pytest.raises(CorpusError, match="no characters"):
        score_dynamically(model, Split.of([], vocabulary))
