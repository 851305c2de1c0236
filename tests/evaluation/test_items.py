import math

import numpy as np
import pytest
from conftest import tokenizer_of

from charlstm.evaluation import items
from charlstm.evaluation.items import (
    ItemScore,
    Percentiles,
    character_scores,
    classify_items,
    line_batches,
    read_percentiles,
    score_items,
    validation_items,
    write_percentiles,
)
from charlstm.evaluation.scores import CharLosses
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

TOKENIZER = tokenizer_of(Vocabulary("ab"))


def predict(likely):
    """A model to which one character has the probability 1/2, the other two 1/4 each."""

    def of(text):
        p_NV = np.full((text.num_chars, 3), 0.25)
        p_NV[:, likely] = 0.5
        yield np.arange(text.num_chars), np.log(p_NV).astype(np.float32)

    return of


def test_items_cost_the_bits_of_their_characters():
    found = score_items(["aab", "", "b?"], TOKENIZER, predict(1), None, first_number=7)
    assert [(one.number, one.text, one.num_chars) for one in found] == [
        (7, "aab", 3), (8, "", 0), (9, "b?", 2)
    ]  # fmt: skip
    assert [one.bits for one in found] == pytest.approx([4, 0, 4])
    assert [one.bits_per_char for one in found] == [pytest.approx(4 / 3), None, pytest.approx(2)]
    assert all(one.percentile is None for one in found)


def test_a_percentile_is_the_place_among_items_of_like_length(monkeypatch):
    monkeypatch.setattr(items, "_MIN_SIMILAR", 10)
    monkeypatch.setattr(items, "_SIMILAR_FRACTION", 0.5)
    # Ten of 2 characters that cost 1 to 10 bits each, ten of 4 that cost 10 times as much.
    lengths = np.array([4] * 10 + [2] * 10)
    costs = np.array([*range(10, 101, 10), *range(1, 11)])
    text = EncodedText.of(["a" * length for length in lengths], Vocabulary("ab"))
    nats_N = np.repeat(costs * math.log(2), lengths).astype(np.float32)
    scores = CharLosses(nats_N=nats_N, rank_N=np.zeros(60, np.int32), confidence_N=nats_N)
    found = Percentiles.of(scores, text)
    assert found.percentile(2, 5.5) == 50
    assert found.percentile(1, 5.5) == 50
    assert found.percentile(4, 5.5) == 0
    assert found.percentile(9, 95.0) == 90
    assert (found.percentile(2, 0.0), found.percentile(2, 99.0)) == (0, 100)
    item = score_items(["bb"], TOKENIZER, predict(1), found)[0]
    assert item.percentile == 10  # 2 bits per character


def test_percentiles_are_kept_for_their_owner_only(tmp_path):
    kept = Percentiles(np.array([1, 2], np.int32), np.array([0.5, 1.5], np.float32))
    path = tmp_path / "percentiles.safetensors"
    assert read_percentiles(path, owner="me") is None
    write_percentiles(path, kept, owner="me", mode=0o600)
    assert read_percentiles(path, owner="me").bits_per_char_I.tolist() == [0.5, 1.5]
    assert read_percentiles(path, owner="you") is None
    path.write_bytes(b"damaged")
    assert read_percentiles(path, owner="me") is None


def test_validation_items_are_documents_or_lines(monkeypatch):
    vocabulary = Vocabulary("\nab")
    running = tokenizer_of(vocabulary)
    text = running.encode_documents(["ab\n\n \nb"])
    assert validation_items(text, running).starts.tolist() == [0, 2, 3]
    monkeypatch.setattr(items, "_MAX_ITEMS", 3)
    many = running.encode_documents(["a\n" * 10])
    assert len(validation_items(many, running).starts) == 3


def test_the_best_model_has_the_largest_posterior():
    models = {"a": (TOKENIZER, predict(1)), "b": (TOKENIZER, predict(2))}
    first, second = classify_items(["aab", "bb"], models)
    assert (first.best, first.bits["a"], first.bits["b"]) == (
        "a",
        pytest.approx(4),
        pytest.approx(5),
    )
    assert first.posterior == pytest.approx(2 / 3)
    assert (second.number, second.best) == (2, "b")
    assert second.posterior == pytest.approx(4 / 5)


def test_a_smaller_vocabulary_is_no_advantage_between_models():
    less = tokenizer_of(Vocabulary("a"))
    models = {"a": (less, predict(0)), "ab": (TOKENIZER, predict(2))}
    (found,) = classify_items(["b"], models)
    assert found.bits == pytest.approx({"a": 1 + np.log2(0x110000 - 1), "ab": 1})
    assert score_items(["b"], *models["a"], None)[0].bits == pytest.approx(1)


def test_characters_have_a_rank_and_what_was_expected():
    text = TOKENIZER.encode_documents(["ab?"])
    found = list(character_scores(text, lambda i, j: "ab?"[i:j], TOKENIZER, predict(2)))
    assert [(one.char, one.expected) for one in found] == [("a", "b"), ("b", "b"), ("?", "b")]
    assert [one.bits for one in found] == pytest.approx([2, 1, 2])
    assert found[1].rank == 0
    assert found[2].rank >= len(TOKENIZER)


@pytest.mark.parametrize(
    ("costs", "stretch"),
    [
        ([1, 1, 9, 9, 1], (2, 4)),
        ([1, 9, 1, 9, 9], (3, 5)),
        ([8, 9, 12, 11, 8], (2, 4)),
        ([1, 1], (0, 0)),
        ([], (0, 0)),
    ],
)
def test_the_most_surprising_stretch(costs, stretch):
    item = ItemScore(1, "x" * len(costs), np.array(costs, np.float32), None)
    assert item.surprising_passage() == stretch


def test_line_batches_number_lines_from_one(monkeypatch):
    monkeypatch.setattr(items, "_LINES_AT_ONCE", 2)
    assert [*line_batches(["a\n", "b", "\n"])] == [(1, ["a", "b"]), (3, [""])]
    assert [*line_batches(iter(["a\n", "b"]))] == [(1, ["a"]), (2, ["b"])]
