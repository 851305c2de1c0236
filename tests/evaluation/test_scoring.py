import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MODEL, TEXT, evaluate

from charlstm.errors import CorpusError
from charlstm.evaluation import scoring
from charlstm.evaluation.scores import Evaluation
from charlstm.evaluation.scoring import fit_temperature
from charlstm.model.lstm import CharLSTM
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import UNKNOWN

FLOOR = 1e-4


@pytest.fixture(scope="module")
def model(vocabulary):
    config = replace(MODEL, num_characters=len(vocabulary))
    generator = torch.Generator().manual_seed(0)
    model = CharLSTM(config, generator=generator, unknown_probability=FLOOR)
    for parameter in model.parameters():
        parameter.data.mul_(2)
    return model


DOCUMENTS = [TEXT[:70], "q", TEXT[10:95], "quick!", "\u2603 snow"]


@pytest.fixture(scope="module")
@torch.no_grad()
def expected_nats(model, vocabulary):
    """Compute the losses of DOCUMENTS one character at a time."""
    nats = []
    for text in DOCUMENTS:
        state, previous = model.zero_state(1), vocabulary.bos_id
        for token in vocabulary.encode(text).astype(int):
            logits, state = model(torch.tensor([[previous]]), state)
            log_p = logits[0, 0].log_softmax(-1)
            unknown = float(log_p[0].exp())
            if unknown < FLOOR:
                log_p[1:] += math.log((1 - FLOOR) / (1 - unknown))
                log_p[0] = math.log(FLOOR)
            nats.append(-float(log_p[token]))
            previous = token
    return nats


@pytest.mark.parametrize(("batch_size", "batch_chars"), [(1, 1), (2, 1), (64, 1), (1, 1000)])
@pytest.mark.parametrize("max_window", [1, 16, 512])
def test_losses_do_not_depend_on_batching(
    model, vocabulary, expected_nats, monkeypatch, batch_size, batch_chars, max_window
):
    monkeypatch.setattr(scoring, "_BATCH_SIZE", batch_size)
    monkeypatch.setattr(scoring, "_BATCH_CHARS", batch_chars)
    monkeypatch.setattr(scoring, "_MAX_WINDOW", max_window)
    split = EncodedText.of(DOCUMENTS, vocabulary)
    np.testing.assert_allclose(scoring.score(model, split).nats_N, expected_nats, rtol=1e-4)
    result = evaluate(model, split)
    assert result.num_chars == sum(map(len, DOCUMENTS))
    assert result.num_unknown == 2  # the snowman and the exclamation mark
    assert result.num_bytes == len("".join(DOCUMENTS).encode())
    assert result.nats == pytest.approx(sum(expected_nats), rel=1e-5)


class RecordingModel:
    """A model that records the size of its batches of logits, and the number of characters read."""

    def __init__(self, model):
        self._model = model
        self.num_logits = []
        self.num_read = 0

    def __call__(self, x_TB, state):
        logits_TBV, state = self._model(x_TB, state)
        self.num_logits.append(logits_TBV.numel())
        self.num_read += x_TB.numel()
        return logits_TBV, state

    def __getattr__(self, name):
        return getattr(self._model, name)


def test_score_limits_the_logits_per_window(model, vocabulary, monkeypatch):
    split = EncodedText.of([TEXT[:90], TEXT[:80], TEXT[:7]], vocabulary)
    for most, limit in [(1 << 22, 1 << 22), (1000, 1000), (10, 3 * model.config.num_outputs)]:
        monkeypatch.setattr(scoring, "_MAX_LOGITS", most)
        recording = RecordingModel(model)
        scoring.score(recording, split)
        assert max(recording.num_logits) <= limit
    # Documents that have ended are not padded.
    assert recording.num_read == split.num_chars


def test_evaluation_derives_rates_from_sums():
    result = Evaluation(
        num_chars=4, num_unknown=1, num_correct=2, num_bytes=8, nats=8 * math.log(2)
    )
    assert result.bits_per_char == pytest.approx(2)
    assert result.bits_per_byte == pytest.approx(1)
    assert result.perplexity == pytest.approx(4)
    assert result.accuracy == 0.5


def test_fit_temperature_lowers_the_loss_of_an_overconfident_model(model, vocabulary):
    split = EncodedText.of([TEXT + "\u2603"], vocabulary)
    temperature, calibrated = fit_temperature(model, split)
    before = evaluate(model, split)
    assert calibrated.nats <= before.nats
    assert calibrated.num_correct == before.num_correct
    changed = copy.deepcopy(model)
    changed.head.weight.data /= temperature
    changed.head.bias.data /= temperature
    again = evaluate(changed, split)
    assert again.nats == pytest.approx(calibrated.nats, rel=1e-5)
    # The fixture's model has doubled weights, so it is overconfident.
    assert temperature > 1


def test_unknown_is_never_a_correct_prediction(model, vocabulary):
    certain = copy.deepcopy(model)
    certain.head.bias.data[UNKNOWN] += 1000
    split = EncodedText.of(["q\u2603"], vocabulary)
    assert evaluate(certain, split).num_correct == 0
    assert fit_temperature(certain, split)[1].num_correct == 0


def test_fit_temperature_on_a_short_text_is_one(model, vocabulary):
    split = EncodedText.of([TEXT[:500]], vocabulary)
    assert fit_temperature(model, split)[0] == 1.0


def test_empty_text_is_an_error(model, vocabulary):
    with pytest.raises(CorpusError, match="no characters"):
        evaluate(model, EncodedText.of([], vocabulary))
