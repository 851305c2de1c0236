import lzma
import math

import pytest
from conftest import tokenizer_of

from charlstm.evaluation import baselines
from charlstm.evaluation.baselines import score_baselines
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

ABC = Vocabulary("abc")


def test_score_baselines_matches_direct_computation(vocabulary, monkeypatch):
    train, text = "the quick brown fox. " * 50, "brown quick fox. " * 90
    splits = {
        "train": EncodedText.of([train], vocabulary),
        "text": EncodedText.of([text], vocabulary),
    }
    found = {b.name: b.nats for b in score_baselines(tokenizer_of(vocabulary), **splits)}
    assert found["uniform"] == pytest.approx(len(text) * math.log(len(vocabulary) + 1))
    before, after = (len(lzma.compress(t.encode(), preset=9)) for t in (train, train + text))
    assert found["xz"] == pytest.approx((after - before) * 8 * math.log(2))
    assert list(found) == ["uniform", "order 0", "xz"]
    assert found["order 0"] < found["uniform"]


def score_abc(train, text):
    found = score_baselines(
        tokenizer_of(ABC),
        train=EncodedText.of([train], ABC),
        text=EncodedText.of([text], ABC),
    )
    return {baseline.name: baseline.nats for baseline in found}


def test_xz_compresses_only_the_end_of_long_training_texts(monkeypatch):
    full = score_abc("abcacb" * 700, "abc" * 400)
    monkeypatch.setattr(baselines, "MAX_COMPRESSED_CHARS", 40)
    ended = score_abc("abcacb" * 700, "abc" * 400)
    assert ended.pop("xz") != full.pop("xz")
    assert ended == full


def test_xz_is_omitted_for_short_or_unknown_texts():
    assert "xz" not in score_abc("abc" * 500, "abc" * 300)
    assert "xz" in score_abc("abc" * 500, "abc" * 400)
    assert "xz" not in score_abc("abc" * 500, "abc" * 400 + "?" * 20)
    # Fewer than 1 % of the characters may be unknown.
    assert "xz" in score_abc("abc" * 500, "a" * 991 + "?" * 9)
    assert "xz" not in score_abc("abc" * 500, "a" * 990 + "?" * 10)


def test_xz_needs_a_thousand_characters():
    assert "xz" in score_abc("abc" * 500, "a" * 1000)
    assert "xz" not in score_abc("abc" * 500, "a" * 999)


def test_xz_compresses_bytes_as_latin1():
    train, text = ("".join(map(chr, range(0x60, 0x100))) * number for number in (9, 8))
    # An unknown byte is replaced.
    text += "?"
    vocabulary = Vocabulary.of(train)
    found = score_baselines(
        tokenizer_of(vocabulary, level="byte"),
        train=EncodedText.of([train], vocabulary),
        text=EncodedText.of([text], vocabulary),
    )
    before, after = (
        len(lzma.compress(data.encode("latin-1"), preset=9)) for data in (train, train + text)
    )
    (xz,) = (baseline.nats for baseline in found if baseline.name == "xz")
    assert xz == pytest.approx((after - before) * 8 * math.log(2))
