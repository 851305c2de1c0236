from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MODEL, TEXT, evaluate
from torch.nn.functional import nll_loss

from charlstm.errors import CorpusError
from charlstm.evaluation import dynamic
from charlstm.evaluation.dynamic import score_dynamically
from charlstm.evaluation.scores import Evaluation
from charlstm.model.lstm import CharLSTM
from charlstm.text.encoded_text import EncodedText


@pytest.fixture
def model(vocabulary):
    config = replace(MODEL, num_characters=len(vocabulary))
    generator = torch.Generator().manual_seed(0)
    return CharLSTM(config, generator=generator, unknown_probability=1e-4)


@pytest.mark.parametrize("segment_length", [1, 7, 64])
def test_learning_rate_zero_gives_the_static_loss(model, vocabulary, monkeypatch, segment_length):
    monkeypatch.setattr(dynamic, "_SEGMENT_LENGTH", segment_length)
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 0.0)
    split = EncodedText.of([TEXT[:90], "q", TEXT[20:70], "☃"], vocabulary)
    static = evaluate(model, split)
    result = Evaluation.of_scores(split, score_dynamically(model, split))
    assert result == replace(static, nats=pytest.approx(static.nats, rel=1e-5))


def test_repetition_lowers_the_loss_and_the_model_stays_unchanged(model, vocabulary, monkeypatch):
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once = "the quick brown fox "
    split = EncodedText.of([once * 60], vocabulary)
    static = evaluate(model, split)
    result = Evaluation.of_scores(split, score_dynamically(model, split))
    assert result.num_chars == static.num_chars
    assert result.nats < 0.97 * static.nats
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("changed", [63, 64, 100, 127, 128, 190])
def test_losses_do_not_depend_on_later_characters(model, vocabulary, monkeypatch, changed):
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    text = (TEXT * 9)[:200]
    other = text[:changed] + ("z" if text[changed] != "z" else "y") + text[changed + 1 :]
    losses, other_losses = (
        score_dynamically(model, EncodedText.of([t], vocabulary)).nats_N for t in (text, other)
    )
    np.testing.assert_array_equal(losses[:changed], other_losses[:changed])
    assert np.all(losses[changed + 1 : changed + 5] != other_losses[changed + 1 : changed + 5])


def test_steps_match_the_equations_of_rmsprop_with_decay(model, vocabulary, monkeypatch):
    """Segments and weights continue in the next document, which starts from a zero state."""
    monkeypatch.setattr(dynamic, "_SEGMENT_LENGTH", 10)
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    documents = [TEXT[:25], TEXT[30:36], TEXT[50:70]]
    split = EncodedText.of(documents, vocabulary)
    progress = []
    found = score_dynamically(model, split, progress=progress.append).nats_N
    assert sum(progress) == split.num_chars

    trained = [parameter.detach().clone() for parameter in model.parameters()]
    squares = [torch.zeros_like(parameter) for parameter in trained]
    expected, segment = [], []
    for text in documents:
        ids = vocabulary.encode(text).astype(int).tolist()
        state = model.zero_state(1)
        for previous, token in zip([vocabulary.bos_id, *ids], ids, strict=False):
            logits, state = model(torch.tensor([[previous]]), state)
            segment.append(-model.log_probabilities(logits)[0, 0, token])
            expected.append(segment[-1].item())
            if len(segment) == 10:
                (sum(segment) / 10).backward()
                step(model.parameters(), trained, squares, number=len(expected) // 10)
                model.zero_grad()
                segment, state = [], state.detached()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@torch.no_grad()
def step(weights, trained, squares, *, number):
    """Decay by 0.001 to the trained weights, then an RMSprop step."""
    for weight, origin, square in zip(weights, trained, squares, strict=True):
        square.lerp_(weight.grad**2, 1e-3)
        rms = (square / (1 - 0.999**number)).sqrt() + 1e-8
        weight.lerp_(origin, 1e-3).sub_(1e-2 * weight.grad / rms)


def test_segment_with_a_non_finite_gradient_is_not_learned_from(model, vocabulary, monkeypatch):
    monkeypatch.setattr(dynamic, "_SEGMENT_LENGTH", 10)
    monkeypatch.setattr(dynamic, "_LEARNING_RATE", 1e-2)
    factors = iter([torch.inf, 1.0, 1.0])
    monkeypatch.setattr(
        dynamic, "nll_loss", lambda *args, **options: nll_loss(*args, **options) * next(factors)
    )
    split = EncodedText.of([TEXT[:10]] * 3, vocabulary)
    first, second, third = score_dynamically(model, split).nats_N.reshape(3, 10)
    np.testing.assert_array_equal(second, first)
    assert third.sum() < second.sum()


def test_empty_text_is_an_error(model, vocabulary):
    with pytest.raises(CorpusError, match="no characters"):
        score_dynamically(model, EncodedText.of([], vocabulary))
