import math

import pytest
import torch
from conftest import MODEL, TEXT, evaluate

from charlstm.errors import CorpusError
from charlstm.evaluation import scoring as evaluation
from charlstm.evaluation.scores import Evaluation
from charlstm.evaluation.scoring import fit_temperature
from charlstm.model.lstm import CharLSTM
from charlstm.text.encoded_text import EncodedText

FLOOR = 1e-4


@pytest.fixture(scope="module")
def model(vocabulary):
    from dataclasses import replace

    config = replace(MODEL, num_characters=len(vocabulary))
    generator = torch.Generator().manual_seed(0)
    model = CharLSTM(config, generator=generator, unknown_probability=FLOOR)
    for parameter in model.parameters():
        parameter.data.mul_(2)
    return model


@torch.no_grad()
def by_hand(model, vocabulary, documents):
    """Return the summed loss, one document and one character at a time."""
    nats = 0.0
    for text in documents:
        ids = vocabulary.encode(text).astype(int)
        state, previous = model.zero_state(1), vocabulary.bos_id
        for token in ids:
            logits, state = model(torch.tensor([[previous]]), state)
            log_p = logits[0, 0].log_softmax(-1)
            unknown = float(log_p[0].exp())
            if unknown < FLOOR:
                log_p[1:] += math.log((1 - FLOOR) / (1 - unknown))
                log_p[0] = math.log(FLOOR)
            nats -= float(log_p[token])
            previous = token
    return nats


DOCUMENTS = [TEXT[:70], "q", TEXT[10:95], "quick!", "\u2603 snow"]


@pytest.mark.parametrize(("batch_size", "batch_chars"), [(1, 1), (2, 1), (64, 1), (1, 1000)])
@pytest.mark.parametrize("max_window", [1, 16, 512])
def test_loss_does_not_depend_on_batching(
    model, vocabulary, monkeypatch, batch_size, batch_chars, max_window
):
    monkeypatch.setattr(evaluation, "_BATCH_SIZE", batch_size)
    monkeypatch.setattr(evaluation, "_BATCH_CHARS", batch_chars)
    monkeypatch.setattr(evaluation, "_MAX_WINDOW", max_window)
    result = evaluate(model, EncodedText.of(DOCUMENTS, vocabulary))
    assert result.num_chars == sum(map(len, DOCUMENTS))
    assert result.num_unknown == 2  # the snowman and the exclamation mark
    assert result.num_bytes == len("".join(DOCUMENTS).encode())
    assert result.nats == pytest.approx(by_hand(model, vocabulary, DOCUMENTS), rel=1e-5)


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
        monkeypatch.setattr(evaluation, "_MAX_LOGITS", most)
        recording = RecordingModel(model)
        evaluation.score(recording, split)
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


def test_num_correct_counts_top_predictions(model, vocabulary):
    with torch.no_grad():
        saved = model.head.bias.clone()
        model.head.bias[int(vocabulary.encode("e")[0])] += 1000
    try:
        result = evaluate(model, EncodedText.of(["eel"], vocabulary))
    finally:
        with torch.no_grad():
            model.head.bias.copy_(saved)
    assert result.num_correct == 2


def test_fit_temperature_lowers_the_loss_of_an_overconfident_model(model, vocabulary):
    split = EncodedText.of([TEXT], vocabulary)
    temperature, calibrated = fit_temperature(model, split)
    assert calibrated.nats <= evaluate(model, split).nats
    changed = CharLSTM(model.config, unknown_probability=FLOOR)
    changed.load_state_dict(model.state_dict())
    with torch.no_grad():
        changed.head.weight /= temperature
        changed.head.bias /= temperature
    again = evaluate(changed, split)
    assert again.nats == pytest.approx(calibrated.nats, rel=1e-5)
    # The fixture's model has doubled weights, so it is overconfident.
    assert temperature > 1


def test_fit_temperature_on_a_short_text_is_one(model, vocabulary):
    split = EncodedText.of([TEXT[:500]], vocabulary)
    assert fit_temperature(model, split)[0] == 1.0


def test_empty_text_is_an_error(model, vocabulary):
    with pytest.raises(CorpusError, match="no characters"):
        evaluate(model, EncodedText.of([], vocabulary))
