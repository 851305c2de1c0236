import lzma
import math

import numpy as np
import pytest
from conftest import alphabet_of

from charlstm.counting.growth import ngrams_of_order
from charlstm.evaluation import baselines
from charlstm.evaluation.baselines import score_baselines
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary

ABC = Vocabulary("abc")


def test_the_baselines_of_a_text(vocabulary, monkeypatch):
    train, val, text = (
        "the quick brown fox. " * 50,
        "the quick fox. " * 9,
        "brown quick fox. " * 90,
    )
    splits = {
        "train": Split.of([train], vocabulary),
        "val": Split.of([val], vocabulary),
        "text": Split.of([text], vocabulary),
    }
    found = {b.name: b.nats for b in score_baselines(alphabet_of(vocabulary), **splits)}
    assert found["uniform"] == pytest.approx(len(text) * math.log(len(vocabulary) + 1))
    before, after = (len(lzma.compress(t.encode(), preset=9)) for t in (train, train + text))
    assert found["xz"] == pytest.approx((after - before) * 8 * math.log(2))
    names = list(found)
    assert names[0] == "uniform"
    assert names[1] == "order 0"
    assert names[2].endswith(", Kneser-Ney)")
    assert found[names[2]] < found["order 0"] < found["uniform"]


def score_abc(train, text, val=""):
    found = score_baselines(
        alphabet_of(ABC),
        train=Split.of([train], ABC),
        val=Split.of([val], ABC),
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


def learned(train, text, val="", order=3):
    train, val, text = (Split.of([one], ABC) for one in (train, val, text))
    alphabet = alphabet_of(ABC)
    ngrams = ngrams_of_order(train, alphabet, order)
    found = baselines.score_adaptive_baselines(
        alphabet, train=train, val=val, text=text, ngrams=ngrams
    )
    static = float(ngrams.score(text).nats_N.sum())
    return static, {one.name: one.nats for one in found}


def test_what_learns_as_it_reads_adapts_to_a_text():
    generator = np.random.default_rng(0)
    train = "".join(generator.choice(list("abc"), 3000))
    text = "abacabca" * 500
    static, found = learned(train, text)
    counting, ppmd = found.values()
    assert counting < static / 3
    assert ppmd < static / 3
    # And loses little where there is nothing to adapt to.
    more = "".join(generator.choice(list("abc"), 4000))
    static, found = learned(train, more)
    assert found["n-gram (order 3, Kneser-Ney), counting on"] < static * 1.01


def test_counting_on_never_looks_ahead():
    generator = np.random.default_rng(0)
    train = Split.of(["".join(generator.choice(list("abc"), 500))], ABC)
    ngrams = ngrams_of_order(train, alphabet_of(ABC), 2)

    def beginning(end):
        text = Split.of(["abacab" * 200 + end], ABC)
        return baselines._counting_on(alphabet_of(ABC), ngrams, text)[:1200]

    # In the middle of a part, too.
    np.testing.assert_array_equal(beginning("a" * 1800), beginning("cb" * 900))


def test_without_the_library_there_is_no_ppmd(monkeypatch):
    monkeypatch.setattr(baselines, "_ppmd", lambda: None)
    assert not baselines.has_ppmd()
    assert list(learned("abc" * 99, "abc" * 9)[1]) == ["n-gram (order 3, Kneser-Ney), counting on"]
