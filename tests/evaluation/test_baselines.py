import lzma
import math

import numpy as np
import pytest
from conftest import alphabet_of

from charlstm.evaluation import baselines
from charlstm.evaluation.baselines import score_baselines
from charlstm.ngram.order_selection import ngrams_of_order
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
        val=Split.of([], vocabulary),
        text=Split.of([text], vocabulary),
    )
    before, after = (
        len(lzma.compress(one.encode("latin-1"), preset=9)) for one in (train, train + text)
    )
    (xz,) = (one.nats for one in found if one.name == "xz")
    assert xz == pytest.approx((after - before) * 8 * math.log(2))


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


def compressed(order, *, before, text):
    """Nats of a text behind another one, by the compressor itself."""
    pyppmd = pytest.importorskip("pyppmd")

    def num_bytes(data):
        encoder = pyppmd.Ppmd7Encoder(order, 1 << 28)
        return len(encoder.encode(data.encode()) + encoder.flush())

    return (num_bytes(before + text) - num_bytes(before)) * 8 * math.log(2)


def words(seed, number, *, length):
    """A text of one set of words."""
    generator = np.random.default_rng(seed)
    known = ["".join(generator.choice(list("abc"), length)) for _ in range(20)]
    return "".join(generator.choice(known, number))


@pytest.mark.parametrize("kind_of_val", ["held out", "nothing", "unknown"])
def test_ppmd_has_the_order_that_suits_held_out_text(kind_of_val):
    train, text = words(0, 200, length=13), words(0, 30, length=13)
    edge = len(train) * 9 // 10
    val = {
        "held out": "".join(np.random.default_rng(1).choice(list("abc"), 400)),
        "nothing": "",
        "unknown": "?" * 400,
    }[kind_of_val]
    before, chosen_on = (train, val) if kind_of_val == "held out" else (train[:edge], train[edge:])
    costs = {n: compressed(n, before=before, text=chosen_on) for n in (4, 6, 8, 12, 16)}
    best = min(costs, key=costs.get)
    # What is held out decides: random letters have no long contexts, words have.
    assert (best == 4) == (kind_of_val == "held out")
    _, found = learned(train, text, val)
    assert found[f"PPMd (order {best})"] == compressed(best, before=train, text=text)


def test_what_learns_as_it_reads_says_so(vocabulary):
    text = Split.of(["abc" * 400], ABC)
    alphabet = alphabet_of(ABC)
    ngrams = ngrams_of_order(text, alphabet, 2)
    splits = {"train": text, "val": text, "text": text, "ngrams": ngrams}
    static = score_baselines(alphabet, **splits)
    assert [one.name for one in static if one.is_dynamic] == ["xz"]
    adaptive = baselines.score_adaptive_baselines(alphabet, **splits)
    assert all(one.is_dynamic for one in adaptive)


def test_counting_on_begins_with_the_usual_share_of_what_was_read(monkeypatch):
    """Nothing is known yet of how far to trust it; documents are read from their beginning."""
    monkeypatch.setattr(baselines, "_MIN_ADAPTIVE_PART", 10)
    monkeypatch.setattr(baselines, "_NUM_ADAPTIVE_PARTS", 3)
    alphabet = alphabet_of(ABC)
    ngrams = ngrams_of_order(Split.of(["abccba" * 20], ABC), alphabet, 3)
    # Parts of 14 characters; the second begins within the third document.
    text = Split.of(["abcab", "cabab", "acbcab", "babc" * 6], ABC)
    nats_N = baselines._counting_on(alphabet, ngrams, text)
    static_N = ngrams.score(text).nats_N
    recent_N = ngrams_of_order(text.part(0, 14), alphabet, 3).score(text).nats_N
    np.testing.assert_array_equal(nats_N[:14], static_N[:14])
    expected = -np.log(0.8 * np.exp(-static_N[14:28]) + 0.2 * np.exp(-recent_N[14:28]))
    np.testing.assert_allclose(nats_N[14:28], expected, rtol=1e-9)
    # From the third part on it is known how well the recent counts did in the second.
    recent_N = ngrams_of_order(text.part(0, 28), alphabet, 3).score(text).nats_N
    usual = -np.log(0.8 * np.exp(-static_N[28:]) + 0.2 * np.exp(-recent_N[28:]))
    assert np.all(np.minimum(static_N, recent_N[: len(static_N)])[28:] <= nats_N[28:] + 1e-9)
    assert nats_N[28:].sum() < usual.sum()


def test_how_far_recent_counts_are_trusted_is_learned_where_there_were_some(monkeypatch):
    """Not from the first part; and a part that begins in the first document is read from there."""
    monkeypatch.setattr(baselines, "_MIN_ADAPTIVE_PART", 10)
    monkeypatch.setattr(baselines, "_NUM_ADAPTIVE_PARTS", 99)
    alphabet = alphabet_of(ABC)
    ngrams = ngrams_of_order(Split.of(["abccba" * 20], ABC), alphabet, 2)
    # After "c", which comes late, the recent counts know nothing.
    text = Split.of(["ab" * 11, "ccacbccab", "ab"], ABC)
    static_N = ngrams.score(text).nats_N
    first, second = (
        ngrams_of_order(text.part(0, length), alphabet, 2).score(text) for length in (10, 20)
    )
    part, before = slice(20, 30), slice(10, 20)
    assert 0 in second.num_known_N[part]
    share_K = baselines._shares(
        static_N[before], first.nats_N[before], first.num_known_N[before], 2
    )
    share_N = share_K[second.num_known_N[part]]
    expected = -np.log(
        (1 - share_N) * np.exp(-static_N[part]) + share_N * np.exp(-second.nats_N[part])
    )
    found = baselines._counting_on(alphabet, ngrams, text)
    np.testing.assert_allclose(found[part], expected, rtol=1e-9)


def test_a_share_is_what_the_recent_counts_earned():
    known_N = np.array([0] * 100 + [1] * 100 + [2] * 100)
    static_N = np.array([3.0] * 100 + [1.0] * 100 + [1000.0] * 50 + [0.0] * 50)
    recent_N = np.array([1.0] * 100 + [3.0] * 100 + [0.0] * 50 + [1000.0] * 50)
    share_K = baselines._shares(static_N, recent_N, known_N, 3)
    # Twenty characters' worth of the usual 0.2 against a hundred.
    assert share_K[0] == pytest.approx(104 / 120, abs=0.05)
    assert share_K[1] == pytest.approx(4 / 120, abs=0.02)
    assert share_K[2] == pytest.approx(54 / 120, abs=0.001)
    assert share_K[3] == pytest.approx(0.2)
    # Where both cost the same, nothing was learned.
    np.testing.assert_allclose(
        baselines._shares(np.zeros(9), np.zeros(9), np.zeros(9, int), 0), [0.2]
    )


def test_without_the_library_there_is_no_ppmd(monkeypatch):
    monkeypatch.setattr(baselines, "_ppmd", lambda: None)
    assert not baselines.has_ppmd()
    assert list(learned("abc" * 99, "abc" * 9)[1]) == ["n-gram (order 3, Kneser-Ney), counting on"]
