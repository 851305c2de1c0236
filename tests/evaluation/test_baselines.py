import lzma
import math

import pytest
from conftest import alphabet_of

from charlstm.evaluation import baselines
from charlstm.evaluation.baselines import score_baselines
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary

ABC = Vocabulary("abc")


def test_the_baselines_of_a_text(vocabulary, monkeypatch):
    train, text = "the quick brown fox. " * 50, "brown quick fox. " * 90
    splits = {"train": Split.of([train], vocabulary), "text": Split.of([text], vocabulary)}
    found = {b.name: b.nats for b in score_baselines(alphabet_of(vocabulary), **splits)}
    assert found["uniform"] == pytest.approx(len(text) * math.log(len(vocabulary) + 1))
    before, after = (len(lzma.compress(t.encode(), preset=9)) for t in (train, train + text))
    assert found["xz"] == pytest.approx((after - before) * 8 * math.log(2))
    assert list(found) == ["uniform", "order 0", "xz"]
    assert found["order 0"] < found["uniform"]


def score_abc(train, text):
    found = score_baselines(
        alphabet_of(ABC),
        train=Split.of([train], ABC),
        text=Split.of([text], ABC),
    )
    return {baseline.name: baseline.nats for baseline in found}


def test_of_a_long_training_text_the_end_is_compressed(monkeypatch):
    whole = score_abc("abcacb" * 700, "abc" * 400)
    monkeypatch.setattr(baselines, "MAX_COMPRESSED_CHARS", 40)
    ended = score_abc("abcacb" * 700, "abc" * 400)
    assert ended.pop("xz") != whole.pop("xz")
    assert ended == whole


def test_xz_says_nothing_of_short_or_unknown_texts():
    assert "xz" not in score_abc("abc" * 500, "abc" * 300)
    assert "xz" in score_abc("abc" * 500, "abc" * 400)
    assert "xz" not in score_abc("abc" * 500, "abc" * 400 + "?" * 20)
    # From one in a hundred on.
    assert "xz" in score_abc("abc" * 500, "a" * 991 + "?" * 9)
    assert "xz" not in score_abc("abc" * 500, "a" * 990 + "?" * 10)


def test_a_thousand_characters_are_enough_for_xz():
    assert "xz" in score_abc("abc" * 500, "a" * 1000)
    assert "xz" not in score_abc("abc" * 500, "a" * 999)


def test_bytes_are_compressed_as_they_are():
    train, text = ("".join(map(chr, range(0x60, 0x100))) * number for number in (9, 8))
    # One that training never saw stands as any other such byte.
    text += "?"
    vocabulary = Vocabulary.of(train)
    found = score_baselines(
        alphabet_of(vocabulary, level="byte"),
        train=Split.of([train], vocabulary),
        text=Split.of([text], vocabulary),
    )
    before, after = (
        len(lzma.compress(one.encode("latin-1"), preset=9)) for one in (train, train + text)
    )
    (xz,) = (one.nats for one in found if one.name == "xz")
    assert xz == pytest.approx((after - before) * 8 * math.log(2))
