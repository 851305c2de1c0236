import math

import numpy as np
import pytest
import torch
from conftest import TEXT, alphabet_of, evaluate, network_of

from charlstm.evaluation.scores import Scores, by_kind, calibration, most_surprising
from charlstm.evaluation.scoring import score, score_by_context
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN, Vocabulary

DOCUMENTS = [TEXT[:70], "q", TEXT[10:95], "quick!", "\u2603 snow"]


@pytest.fixture(scope="module")
def model(checkpoint):
    return network_of(checkpoint)


def make(nats=(1.0,), rank=None, confidence=None):
    return Scores(
        nats_N=np.array(nats, np.float32),
        rank_N=np.array(rank or [0] * len(nats), np.int32),
        confidence_N=np.array(confidence or [0.5] * len(nats), np.float32),
    )


def test_each_character_s_cost_stands_at_its_place(model, vocabulary):
    split = Split.of(DOCUMENTS, vocabulary)
    scores = score(model, split)
    whole = evaluate(model, split)
    assert float(scores.nats_N.sum(dtype=float)) == pytest.approx(whole.nats, rel=1e-6)
    assert np.count_nonzero(scores.rank_N == 0) == whole.num_correct
    for number, start in enumerate(split.starts):
        alone = Split.of([DOCUMENTS[number]], vocabulary)
        expected = score(model, alone).nats_N
        found = scores.nats_N[start : start + len(expected)]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@torch.no_grad()
def test_rank_and_confidence_of_a_character(model, vocabulary):
    split = Split.of(["the\u2603"], vocabulary)
    scores = score(model, split)
    ids = torch.tensor([[vocabulary.boundary], *split.ids[:, None].tolist()])
    logits, _ = model(ids, model.zero_state(1))
    for place, number in enumerate(split.ids):
        p = logits[place, 0].softmax(-1)
        assert scores.confidence_N[place] == pytest.approx(float(p[1:].max()), rel=1e-3)
        if number != UNKNOWN:
            assert scores.rank_N[place] == int((p > p[int(number)]).sum())
    # What the model has no name for is never among its guesses.
    assert scores.rank_N[3] >= len(vocabulary)
    assert scores.top_accuracy(len(vocabulary) + 1) == 0.75


def test_calibration_compares_confidence_with_accuracy():
    scores = make([1.0] * 4, rank=[0, 1, 0, 0], confidence=[0.51, 0.59, 0.98, 1.0])
    found = calibration(scores)
    assert [one.num_chars for one in found.bins] == [2, 2]
    assert found.bins[0].confidence == pytest.approx(0.55)
    assert found.bins[0].accuracy == 0.5
    assert found.expected_error == pytest.approx((2 * 0.05 + 2 * 0.01) / 4, abs=1e-6)


def test_kinds_share_out_the_cost():
    text = "Ab1 \n.\u2603\u00e9"
    vocabulary = Vocabulary("".join(sorted(set(text) - {"\u2603"})))
    split = Split.of([text], vocabulary)
    kinds = by_kind(make(range(1, 9)), split, alphabet_of(vocabulary))
    found = {kind.kind: (kind.num_chars, kind.nats) for kind in kinds}
    assert found == {
        "letters": (3, 1 + 2 + 8),
        "digits": (1, 3),
        "spaces": (1, 4),
        "line ends": (1, 5),
        "punctuation": (1, 6),
        "unknown": (1, 7),
    }
    assert kinds[0].bits_per_char == pytest.approx(11 / 3 / math.log(2))
    as_bytes = alphabet_of(vocabulary, level="byte")
    (letters, *_, _, other) = by_kind(make(range(1, 9)), split, as_bytes)[:7]
    assert letters.num_chars == 2
    assert other.kind == "unknown"


def test_the_most_expensive_places_come_first_with_what_stands_around(vocabulary):
    split = Split.of(["the quick\u2603fox"], vocabulary)
    nats = [0.1] * 13
    nats[4], nats[9] = 5.0, 9.0
    first, second, _ = most_surprising(make(nats), split, alphabet_of(vocabulary), number=3)
    assert (first.place, first.char, first.before, first.after) == (9, None, "the quick", "fox")
    assert (second.place, second.char) == (4, "q")
    assert first.bits == pytest.approx(9 / math.log(2))
    assert len(most_surprising(make(nats), split, alphabet_of(vocabulary), number=99)) == 13


def test_context_is_what_stands_before_and_nothing_else(model, vocabulary):
    """A text of one repeated character: every window looks alike."""
    split = Split.of(["q" * 300], vocabulary)
    found = score_by_context(model, split, generator=np.random.default_rng(0))
    assert [one.num_context for one in found] == [1, 10, 100]
    alone = score(model, Split.of(["q" * 101], vocabulary)).nats_N
    assert found[0].nats_per_char == pytest.approx(float(alone[1]), rel=1e-5)
    assert found[1].nats_per_char == pytest.approx(float(alone[10]), rel=1e-5)
    assert found[2].nats_per_char == pytest.approx(float(alone[91:101].mean()), rel=1e-5)


def test_windows_never_cross_documents(model, vocabulary, monkeypatch):
    from charlstm.evaluation import scoring as evaluation

    monkeypatch.setattr(evaluation, "_CONTEXTS", ((3, 50),))
    seen = []

    def fake_score(model, split, **_):
        seen.append(split)
        return make([0.0] * split.num_chars)

    monkeypatch.setattr(evaluation, "score", fake_score)
    documents = ["abcd", "xy", "mnopq"]
    split = Split.of(documents, vocabulary)
    score_by_context(model, split, generator=np.random.default_rng(0))
    windows = {vocabulary.decode(ids) for ids in seen[0].ids.reshape(-1, 4)}
    assert windows == {"abcd", "mnop", "nopq"}
