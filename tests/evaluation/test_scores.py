import math

import numpy as np
import pytest
import torch
from conftest import network_of, tokenizer_of

from charlstm.errors import CheckpointError
from charlstm.evaluation import scoring
from charlstm.evaluation.scores import (
    CharLosses,
    Evaluation,
    by_kind,
    calibration,
    document_scores,
    most_surprising,
)
from charlstm.evaluation.scoring import score, score_by_context
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import UNKNOWN, Vocabulary


@pytest.fixture(scope="module")
def model(checkpoint):
    return network_of(checkpoint)


def make(nats=(1.0,), rank=None, confidence=None):
    return CharLosses(
        nats_N=np.array(nats, np.float32),
        rank_N=np.array(rank or [0] * len(nats), np.int32),
        confidence_N=np.array(confidence or [0.5] * len(nats), np.float32),
    )


@torch.no_grad()
def test_rank_and_confidence_match_the_distribution(model, vocabulary):
    split = EncodedText.of(["the\u2603"], vocabulary)
    scores = score(model, split)
    ids = torch.tensor([[vocabulary.bos_id], *split.ids[:, None].tolist()])
    logits, _ = model(ids, model.zero_state(1))
    for place, number in enumerate(split.ids):
        p = logits[place, 0].softmax(-1)
        assert scores.confidence_N[place] == pytest.approx(float(p[1:].max()), rel=1e-3)
        if number != UNKNOWN:
            assert scores.rank_N[place] == int((p > p[int(number)]).sum())
    # The unknown token is never a correct guess.
    assert scores.rank_N[3] >= len(vocabulary)
    assert scores.top_accuracy(len(vocabulary) + 1) == 0.75


def test_calibration_returns_confidence_and_accuracy_by_bin():
    scores = make([1.0] * 4, rank=[0, 1, 0, 0], confidence=[0.51, 0.59, 0.98, 1.0])
    found = calibration(scores)
    assert [one.num_chars for one in found.bins] == [2, 2]
    assert found.bins[0].confidence == pytest.approx(0.55)
    assert found.bins[0].accuracy == 0.5
    assert found.expected_error == pytest.approx((2 * 0.05 + 2 * 0.01) / 4, abs=1e-6)


def test_calibration_bins_are_a_tenth_wide():
    found = calibration(make([1.0] * 4, rank=[0, 0, 1, 1], confidence=[0.11, 0.29, 0.89, 0.95]))
    assert [one.num_chars for one in found.bins] == [1, 1, 1, 1]
    assert [one.accuracy for one in found.bins] == [1, 1, 0, 0]
    assert found.expected_error == pytest.approx((0.89 + 0.71 + 0.89 + 0.95) / 4)
    (low,) = calibration(make([1.0], confidence=[0.11])).bins
    assert low.num_chars == 1


def test_empty_scores_have_room_and_dtypes():
    room = CharLosses.empty(1)
    types = [room.nats_N.dtype, room.rank_N.dtype, room.confidence_N.dtype]
    assert types == [np.float32, np.int32, np.float32]
    assert len(room.nats_N) == len(room.rank_N) == len(room.confidence_N) == 1


def test_fill_enters_loss_rank_and_confidence_and_rejects_overflow():
    scores = CharLosses.empty(4)
    p_NV = np.array([[0.2, 0.4, 0.3, 0.1], [0.5, 0.3, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1]], np.float32)
    ids_N = np.array([2, UNKNOWN, 1], np.uint8)
    scores.fill(np.array([3, 0, 1]), np.log(p_NV), ids_N)
    np.testing.assert_allclose(scores.nats_N[[3, 0, 1]], -np.log([0.3, 0.5, 0.2]), rtol=1e-6)
    # Unknown characters rank after the whole vocabulary, whatever their probability.
    assert scores.rank_N[[3, 0, 1]].tolist() == [1, 4, 1]
    np.testing.assert_allclose(scores.confidence_N[[3, 0, 1]], [0.4, 0.5, 0.6], rtol=1e-6)
    for cost in (math.nan, math.inf, -math.inf):
        with pytest.raises(CheckpointError, match="overflow"):
            scores.fill(np.array([0]), np.array([[cost]], np.float32), np.array([0]))


def test_joined_sums_two_evaluations():
    one = Evaluation(num_chars=4, num_unknown=1, num_correct=2, num_bytes=6, nats=15.0)
    other = Evaluation(num_chars=1, num_unknown=0, num_correct=1, num_bytes=3, nats=0.5)
    assert one.joined(other) == Evaluation(
        num_chars=5, num_unknown=1, num_correct=3, num_bytes=9, nats=15.5
    )


def test_document_losses_are_summed_in_float64():
    split = EncodedText.of(["qqqqq"], Vocabulary("q"))
    scores = make([2.0**24, 1, 1, 1, 1])
    assert scores.document_nats(split).tolist() == [2**24 + 4]
    assert Evaluation.of_scores(split, scores).nats == 2**24 + 4


def test_top_accuracy_counts_ranks_below_k():
    scores = make([1.0] * 4, rank=[0, 1, 2, 9])
    assert [scores.top_accuracy(k) for k in (1, 2, 3, 9, 10)] == [0.25, 0.5, 0.75, 0.75, 1]


def test_of_scores_sums_losses():
    vocabulary = Vocabulary("ab")
    split = EncodedText.of(["ab\u2603b"], vocabulary)
    found = Evaluation.of_scores(split, make([1.0, 2.0, 4.0, 8.0], rank=[0, 1, 3, 0]))
    assert found == Evaluation(num_chars=4, num_unknown=1, num_correct=2, num_bytes=6, nats=15.0)


def test_perplexity_overflows_to_infinity():
    sums = {"num_unknown": 0, "num_correct": 0, "num_bytes": 1, "num_chars": 1}
    assert Evaluation(nats=700.0, **sums).perplexity == pytest.approx(math.exp(700))
    assert Evaluation(nats=710.0, **sums).perplexity == math.inf
    assert Evaluation(nats=1.0, **sums | {"num_bytes": 0}).bits_per_byte is None


@pytest.mark.parametrize("is_known", [None, [True, False, True]])
def test_document_scores_have_loss_and_text(is_known):
    text = ["ab\n", "b\n", "aab"]
    vocabulary = Vocabulary("\nab")
    tokenizer = tokenizer_of(vocabulary, split_documents="lines")
    split = EncodedText.of(text, vocabulary)
    scores = make([1, 2, 3, 4, 5, 6, 7, 8])
    assert scores.document_nats(split).tolist() == [6, 9, 21]
    third, second = document_scores(
        scores,
        split,
        tokenizer,
        np.array([2, 1]),
        is_repeated_D=None if is_known is None else np.array(is_known),
    )
    assert (third.number, third.num_chars, third.nats, third.text) == (3, 3, 21.0, "aab")
    assert (second.number, second.num_chars, second.nats, second.text) == (2, 2, 9.0, "b")
    assert second.bits_per_char == pytest.approx(9 / 2 / math.log(2))
    assert (third.is_known, second.is_known) == (
        (None, None) if is_known is None else (True, False)
    )


@pytest.mark.parametrize(
    ("char", "kind"),
    [
        ("\u00e9", "letters"),
        ("\u0301", "letters"),
        ("\u0663", "digits"),
        ("\u00a0", "spaces"),
        ("\t", "spaces"),
        ("\r", "line ends"),
        ("+", "punctuation"),
        ("\u2014", "punctuation"),
        ("\x00", "other"),
        ("\x80", "other"),
    ],
)
def test_kind_of_a_character(char, kind):
    vocabulary = Vocabulary(char)
    (found,) = by_kind(make([2.0]), EncodedText.of([char], vocabulary), tokenizer_of(vocabulary))
    assert found.kind == kind


def test_non_ascii_bytes_are_of_kind_other():
    vocabulary = Vocabulary("\x7f\x80\xaa")
    split = EncodedText.of(["\x80\xaa"], vocabulary)
    (found,) = by_kind(make([1.0, 1.0]), split, tokenizer_of(vocabulary, level="byte"))
    assert (found.kind, found.num_chars) == ("other", 2)


def test_kinds_add_up_to_the_loss():
    text = "Ab1 \n.\u2603\u00e9"
    vocabulary = Vocabulary("".join(sorted(set(text) - {"\u2603"})))
    split = EncodedText.of([text], vocabulary)
    kinds = by_kind(make(range(1, 9)), split, tokenizer_of(vocabulary))
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
    as_bytes = tokenizer_of(vocabulary, level="byte")
    (letters, *_, _, other) = by_kind(make(range(1, 9)), split, as_bytes)[:7]
    assert letters.num_chars == 2
    assert other.kind == "unknown"


def test_most_surprising_sorts_by_surprisal_and_shows_context(vocabulary):
    split = EncodedText.of(["the quick\u2603fox"], vocabulary)
    nats = [0.1] * 13
    nats[4], nats[9] = 5.0, 9.0
    first, second, _ = most_surprising(make(nats), split, tokenizer_of(vocabulary), number=3)
    assert (first.place, first.char, first.before, first.after) == (9, None, "the quick", "fox")
    assert (second.place, second.char) == (4, "q")
    assert first.bits == pytest.approx(9 / math.log(2))
    assert len(most_surprising(make(nats), split, tokenizer_of(vocabulary), number=99)) == 13


def test_most_surprising_finds_characters_at_any_position(vocabulary):
    generator = np.random.default_rng(0)
    text = "".join(generator.choice(list("abcdefgh"), 200))
    split = EncodedText.of([text], vocabulary)
    for number in (1, 2, 7):
        nats = generator.permutation(200) / 10
        found = most_surprising(make(nats), split, tokenizer_of(vocabulary), number=number)
        assert [one.place for one in found] == np.argsort(-nats)[:number].tolist()
        for one in found:
            assert one.char == text[one.place]
            assert one.before == text[max(0, one.place - 24) : one.place]
            assert one.after == text[one.place + 1 :][:24]
    assert len(most_surprising(make(nats), split, tokenizer_of(vocabulary))) == 10


def test_context_scores_depend_only_on_the_context(model, vocabulary):
    """In a text of one repeated character, all windows are equal."""
    split = EncodedText.of(["q" * 300], vocabulary)
    found = score_by_context(model, split, generator=np.random.default_rng(0))
    assert [one.num_context for one in found] == [1, 10, 100]
    alone = score(model, EncodedText.of(["q" * 101], vocabulary)).nats_N
    assert found[0].nats_per_char == pytest.approx(float(alone[1]), rel=1e-5)
    assert found[1].nats_per_char == pytest.approx(float(alone[10]), rel=1e-5)
    assert found[2].nats_per_char == pytest.approx(float(alone[91:101].mean()), rel=1e-5)


def test_context_scores_average_the_last_tenth_of_each_window(model, vocabulary, monkeypatch):
    monkeypatch.setattr(scoring, "_CONTEXTS", ((3, 5), (20, 7)))
    monkeypatch.setattr(
        scoring,
        "score",
        lambda _model, split, *, progress: (
            progress(split.num_chars),
            make(np.concatenate([np.arange(n) for n in split.lengths])),
        )[1],
    )
    told = []
    found = score_by_context(
        model,
        EncodedText.of(["q" * 100], vocabulary),
        generator=np.random.default_rng(0),
        progress=told.append,
    )
    assert [(one.num_context, one.nats_per_char) for one in found] == [(3, 3.0), (20, 19.5)]
    assert told == [4 * 5, 21 * 7]


def test_windows_never_cross_documents(model, vocabulary, monkeypatch):
    monkeypatch.setattr(scoring, "_CONTEXTS", ((3, 50),))
    seen = []

    def fake_score(model, split, **_):
        seen.append(split)
        return make([0.0] * split.num_chars)

    monkeypatch.setattr(scoring, "score", fake_score)
    documents = ["abcd", "xy", "mnopq"]
    split = EncodedText.of(documents, vocabulary)
    score_by_context(model, split, generator=np.random.default_rng(0))
    windows = {vocabulary.decode(ids) for ids in seen[0].ids.reshape(-1, 4)}
    assert windows == {"abcd", "mnop", "nopq"}
