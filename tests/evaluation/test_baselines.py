import lzma
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from conftest import alphabet_of
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.evaluation import baselines
from charlstm.evaluation.baselines import NgramModel, score_baselines
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary

FLOOR = 1e-3
ABC = Vocabulary("abc")
texts = st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=3)


def by_hand(train, text, order, num_symbols):
    """Witten and Bell's interpolation from dictionaries, one character at a time."""
    counts = defaultdict(Counter)
    for document in train:
        for place, char in enumerate(document):
            for n in range(min(place, order) + 1):
                counts[n, document[place - n : place]][char] += 1
    nats = 0.0
    for document in text:
        for place, char in enumerate(document):
            p = 1 / num_symbols
            for n in range(min(place, order) + 1):
                seen = counts.get((n, document[place - n : place]))
                if seen:
                    p = (seen[char] + len(seen) * p) / (seen.total() + len(seen))
            known = char in "abc"
            nats -= math.log(p * (1 - FLOOR) if known else max(p, FLOOR))
    return nats


@given(texts, st.lists(st.text("abcd", min_size=1, max_size=12), min_size=1, max_size=3))
@settings(max_examples=60)
def test_it_is_witten_and_bells_interpolation(train, text):
    model = NgramModel(Split.of(train, ABC), alphabet_of(ABC, unknown_probability=FLOOR))
    # What the vocabulary lacks is the same symbol everywhere, in contexts too.
    expected = [by_hand(train, text, order, 4) for order in range(model.max_order + 1)]
    assert model.nats_by_order(Split.of(text, ABC)) == pytest.approx(expected, rel=1e-9)


def test_by_hand_values_of_a_tiny_text():
    model = NgramModel(Split.of(["aab"], ABC), alphabet_of(ABC, unknown_probability=FLOOR))
    order_0 = (2 + 2 / 4) / (3 + 2)  # P(a): seen twice of three, two different ones
    assert model.nats_by_order(Split.of(["a"], ABC))[0] == pytest.approx(
        -math.log(order_0 * (1 - FLOOR))
    )
    after_a = (1 + 2 * order_0) / (2 + 2)  # behind a: one a, one b
    nats = -math.log(order_0 * (1 - FLOOR)) - math.log(after_a * (1 - FLOOR))
    assert model.nats_by_order(Split.of(["aa"], ABC))[1] == pytest.approx(nats)


@given(texts)
@settings(max_examples=30)
def test_probabilities_sum_to_one_up_to_unknowns_floor(train):
    model = NgramModel(Split.of(train, ABC), alphabet_of(ABC, unknown_probability=FLOOR))
    for order in range(3):

        def probability(char, order=order):
            whole = model.nats_by_order(Split.of(["ab" + char], ABC))[order]
            return math.exp(model.nats_by_order(Split.of(["ab"], ABC))[order] - whole)

        assert sum(map(probability, "abcd")) == pytest.approx(1, abs=1.01 * FLOOR)


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
    assert names[2].endswith("(Witten-Bell)")
    assert found[names[2]] < found["order 0"] < found["uniform"]


def score_abc(train, text, val=""):
    found = score_baselines(
        alphabet_of(ABC),
        train=Split.of([train], ABC),
        val=Split.of([val], ABC),
        text=Split.of([text], ABC),
    )
    return {baseline.name: baseline.nats for baseline in found}


def test_of_a_long_training_text_the_end_is_taken(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_TRAINING_CHARS", 40)
    assert score_abc("a" * 99 + "b" * 40, "bbb") == score_abc("b" * 40, "bbb")


def test_without_a_validation_text_the_order_is_not_chosen_on_what_was_learned():
    generator = np.random.default_rng(0)
    train = "".join(generator.choice(list("abc"), 3000))
    assert "order 9 (Witten-Bell)" not in score_abc(train, train[:50])


def test_xz_says_nothing_of_short_or_unknown_texts():
    assert "xz" not in score_abc("abc" * 500, "abc" * 300)
    assert "xz" in score_abc("abc" * 500, "abc" * 400)
    assert "xz" not in score_abc("abc" * 500, "abc" * 400 + "?" * 20)


def test_tens_of_thousands_of_symbols_allow_short_contexts_only():
    large = Vocabulary("".join(map(chr, range(0x4E00, 0x4E00 + 20_000))))
    split = Split.of([large.characters[:50] * 3], large)
    model = NgramModel(split, alphabet_of(large))
    assert model.max_order == 3
    nats = model.nats_by_order(split)
    assert nats == sorted(nats, reverse=True)
