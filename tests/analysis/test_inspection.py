import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TEXT, tokenizer_of

from charlstm.analysis import inspection
from charlstm.analysis.inspection import (
    Trace,
    gate_statistics,
    most_variable_units,
    trace,
    track_features,
)
from charlstm.errors import ConfigError, CorpusError
from charlstm.inference.predictor import Predictor
from charlstm.model.cell import CELLS
from charlstm.text.encoded_text import EncodedText
from charlstm.text.features import FEATURES
from charlstm.text.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def document(vocabulary):
    """Return a function (texts) -> the encoded documents."""
    return lambda *texts: EncodedText.of(texts, vocabulary)


def test_trace_records_losses_candidates_and_activations(predictor, document):
    traced = trace(predictor, document("the quick"))
    assert "".join(character.char for character in traced.characters) == "the quick"
    prediction = predictor.start()
    for position, character in enumerate(traced.characters):
        (token,) = predictor.tokenizer.encode(character.char)
        assert character.nats == pytest.approx(-prediction.log_p[0, token], rel=1e-6)
        p = [candidate.probability for candidate in character.candidates]
        assert len(p) == 5
        assert p[0] == pytest.approx(math.exp(prediction.log_p[0].max()), rel=1e-4)
        prediction = predictor.read(np.array([token]), prediction)
        for layer, step in enumerate(prediction.layers):
            for name, values in step.items():
                np.testing.assert_array_equal(traced[name][layer, position], values[0])
    assert list(traced.values) == [
        "input", "forget", "output", "candidate", "cell", "hidden",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="text is empty"):
        trace(predictor, document(""))


def test_trace_starts_each_document_from_a_zero_state(predictor, document):
    together = trace(predictor, document("the quick", "fox"))
    alone = trace(predictor, document("fox"))
    for one, other in zip(together.characters[-3:], alone.characters, strict=True):
        assert one == other
    np.testing.assert_array_equal(together["cell"][:, -3:], alone["cell"])


def test_trace_accepts_unknown_characters(predictor, document):
    traced = trace(predictor, document("t\u2603e"))
    assert [character.char for character in traced.characters] == ["t", "\ufffd", "e"]
    with pytest.raises(CorpusError):
        predictor.tokenizer.require_known("t\u2603e")


def test_track_features_ignores_non_ascii_bytes(predictor):
    text = "caf\u00c3\u00ab sat\u00bb. " * 40
    vocabulary = Vocabulary.of(text)
    other = SimpleNamespace(
        tokenizer=tokenizer_of(vocabulary, level="byte"),
        hidden_size=8,
        cell=predictor.cell,
        trace=lambda split: predictor.trace(replace(split, ids=split.ids % 20)),
    )
    found = {
        tracked.feature for tracked in track_features(other, EncodedText.of([text], vocabulary))
    }
    assert "inside quotes" not in found
    assert "position in the word" in found


def test_gate_statistics_summarize_the_trace(predictor, document, monkeypatch):
    monkeypatch.setattr(inspection, "CLOSED_BELOW", 0.5)
    monkeypatch.setattr(inspection, "OPEN_ABOVE", 0.6)
    text = document("the quick brown", "fox")
    traced = trace(predictor, text)
    layers = gate_statistics(predictor, text)
    assert [list(layer) for layer in layers] == [["input", "forget", "output"]] * 2
    for number, layer in enumerate(layers):
        for gate, found in layer.items():
            values = traced[gate][number]
            assert found.mean == pytest.approx(values.mean(), rel=1e-6)
            assert found.closed == pytest.approx((values < 0.5).mean())
            assert found.open == pytest.approx((values > 0.6).mean())
    # A new LSTM's forget gate has bias 1: sigmoid(1) = 0.73.
    assert layers[0]["forget"].mean == pytest.approx(0.73, abs=0.1)


def test_most_variable_units_sorts_by_gates(predictor, document):
    traced = trace(predictor, document(TEXT[:200]))
    units = most_variable_units(traced, 0, 3)
    moved = np.maximum(traced["forget"][0].std(0), traced["input"][0].std(0))
    assert moved[units[0]] == moved.max()
    assert list(moved[units]) == sorted(moved[units], reverse=True)


def test_most_variable_units_of_a_plain_rnn_sorts_by_hidden_state():
    values = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * np.arange(1, 7)
    traced = Trace(characters=(), values={"hidden": values[None]}, cell=CELLS["rnn"])
    assert most_variable_units(traced, 0, 6) == [5, 4, 3, 2, 1, 0]


def area_under_curve(values_N, is_positive_N):
    differences = values_N[is_positive_N][:, None] - values_N[~is_positive_N]
    return ((differences > 0) + (differences == 0) / 2).mean()


def test_track_features_returns_the_units_with_the_best_scores():
    text = "the (quick) fox. " * 60
    vocabulary = Vocabulary.of(text)
    # With many equal values.
    states_NU = np.random.default_rng(0).integers(0, 4, (len(text), 5)) / 4
    model = SimpleNamespace(
        tokenizer=tokenizer_of(vocabulary),
        cell=CELLS["lstm"],
        hidden_size=5,
        trace=lambda _: [
            (None, SimpleNamespace(layers=[{"cell": state[None]}])) for state in states_NU
        ],
    )
    found = track_features(model, EncodedText.of([text], vocabulary))
    assert {tracked.measure for tracked in found} == {"auc", "correlation"}
    for tracked in found:
        values_N = FEATURES[tracked.feature](text)
        if tracked.measure == "auc":
            scores = [area_under_curve(np.tanh(unit_N), values_N) for unit_N in states_NU.T]
            order = np.argsort(-np.abs(np.array(scores) - 0.5))
        else:
            scores = [np.corrcoef(np.tanh(unit_N), values_N)[0, 1] for unit_N in states_NU.T]
            order = np.argsort(-np.abs(scores))
        assert [best.unit for best in tracked.units] == order[:3].tolist()
        for best in tracked.units:
            assert best.score == pytest.approx(scores[best.unit])


def test_track_features_finds_a_tracking_unit(predictor, document, monkeypatch):
    """One cell state is replaced by the position in the word."""
    text = TEXT[:900]
    positions = FEATURES["position in the word"](text)
    original = Predictor.trace

    def with_a_tracking_unit(self, text):
        for number, (before, after) in enumerate(original(self, text)):
            layer = after.layers[1]
            layer["cell"][0, 5] = positions[number] / 10
            yield before, after

    monkeypatch.setattr(Predictor, "trace", with_a_tracking_unit)
    found = {tracked.feature: tracked for tracked in track_features(predictor, document(text))}
    best = found["position in the word"].units[0]
    assert (best.layer, best.unit) == (1, 5)
    assert best.score > 0.95
    assert found["position in the word"].chance < 0.8
    assert best.stretch in text
    assert best.marked.replace("[", "").replace("]", "") in best.stretch
    assert f"[{text[best.place]}]" in best.marked
    # Features that do not occur are omitted.
    assert "inside quotes" not in found
    with pytest.raises(ConfigError, match="too few"):
        track_features(predictor, document("the"))
