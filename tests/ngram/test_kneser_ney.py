import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from conftest import tokenizer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.ngram.kneser_ney import NgramModel
from charlstm.ngram.order_selection import fit_ngrams, fit_ngrams_of_order
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

FLOOR = 1e-3
ABC = Vocabulary("abc")
TOKENIZER = tokenizer_of(ABC, unknown_probability=FLOOR)
texts = st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=4)
others = st.lists(st.text("abcd", min_size=1, max_size=12), min_size=1, max_size=3)


def split_of(documents):
    return EncodedText.of(documents, ABC)


def fit(documents, order):
    return fit_ngrams_of_order(split_of(documents), TOKENIZER, order)


def nats(model, *documents):
    return model.score(split_of(documents))


class Textbook:
    """Chen and Goodman's formulas with dictionaries, one token at a time; "^" is BOS."""

    def __init__(self, documents, order, symbols):
        self.order, self.symbols = order, symbols
        occurrences = Counter(
            padded[place - n : place + 1]
            for padded in ("^" + document for document in documents)
            for place in range(1, len(padded))
            for n in range(min(place, order) + 1)
        )
        preceding = defaultdict(set)
        for gram in occurrences:
            preceding[gram[1:]].add(gram[0])
        self.counts = defaultdict(dict)
        for gram, count in occurrences.items():
            uses_count = len(gram) > order or gram[0] == "^"
            self.counts[gram[:-1]][gram[-1]] = count if uses_count else len(preceding[gram])
        self.discounts = [self.discounts_of(n) for n in range(order + 1)]

    def discounts_of(self, n):
        all_counts = [
            c
            for context, counts in self.counts.items()
            if len(context) == n
            for c in counts.values()
        ]
        n1, n2, n3, n4 = (all_counts.count(number) for number in (1, 2, 3, 4))
        if 0 in (n1, n2, n3, n4):
            return (0, 0.5, 1, 1.5)
        y = n1 / (n1 + 2 * n2)
        found = (0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 < found[number] <= number for number in (1, 2, 3)):
            return found
        return (0, 0.5, 1, 1.5)

    def probability(self, symbol, context):
        shorter = self.probability(symbol, context[1:]) if context else 1 / len(self.symbols)
        counts, discounts = self.counts.get(context), self.discounts[len(context)]
        if not counts:
            return shorter
        total = sum(counts.values())
        discounted = sum(discounts[min(count, 3)] for count in counts.values())
        count = counts.get(symbol, 0)
        return (count - discounts[min(count, 3)]) / total + discounted / total * shorter

    def nats(self, document):
        padded = "^" + document.replace("d", "?")
        found = []
        for place in range(1, len(padded)):
            p = self.probability(padded[place], padded[max(0, place - self.order) : place])
            found.append(-math.log(p * (1 - FLOOR) + (padded[place] == "?") * FLOOR))
        return found


@given(texts, others, st.integers(0, 4))
@settings(max_examples=80, deadline=None)
def test_score_matches_the_textbook_formulas(train, text, order):
    model = fit(train, order)
    textbook = Textbook(train, order, "abc?")
    expected = [cost for document in text for cost in textbook.nats(document)]
    np.testing.assert_allclose(nats(model, *text), expected, rtol=1e-5)


def test_estimated_discounts_match_the_textbook_formulas():
    generator = np.random.default_rng(0)
    train = ["".join(generator.choice(list("abc"), 300, p=[0.6, 0.3, 0.1])) for _ in range(3)]
    textbook = Textbook(train, 5, "abc?")
    assert any(found != (0, 0.5, 1, 1.5) for found in textbook.discounts)
    model = fit(train, 5)
    np.testing.assert_allclose(nats(model, "abcabba"), textbook.nats("abcabba"), rtol=1e-5)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        # Numbers of n-grams that occur once, twice, three times, four times, more often.
        ((8, 2, 1, 1, 9), (2 / 3, 1, 1 / 3)),
        ((8, 2, 1, 0, 9), (0.5, 1, 1.5)),
        # One of the three estimates is zero or negative.
        ((4, 1, 1, 1, 0), (0.5, 1, 1.5)),
        ((1, 1, 5, 1, 0), (0.5, 1, 1.5)),
        ((8, 2, 1, 3, 0), (0.5, 1, 1.5)),
    ],
)
def test_discounts_without_valid_estimate_are_the_defaults(numbers, expected):
    """Without context, the probability of a character follows from its count and discount."""
    counts = np.repeat([1, 2, 3, 4, 7], numbers)
    vocabulary = Vocabulary("".join(map(chr, range(0x4E00, 0x4E00 + len(counts)))))
    text = "".join(char * count for char, count in zip(vocabulary.characters, counts, strict=True))
    train, once = (EncodedText.of([one], vocabulary) for one in (text, vocabulary.characters))
    model = fit_ngrams_of_order(train, tokenizer_of(vocabulary, unknown_probability=FLOOR), 0)
    discounts = np.array([0, *expected])[np.minimum(counts, 3)]
    p = (counts - discounts + discounts.sum() / (len(counts) + 1)) / counts.sum() * (1 - FLOOR)
    np.testing.assert_allclose(model.score(once), -np.log(p), rtol=1e-5)


def test_batched_streams_match_single_ones():
    model = fit(["abcab", "cba", "aab"], 3)
    together = model.start(3)
    alone = [model.start() for _ in range(3)]
    for ids_B in np.array([[1, 2, 3], [2, 0, 3], [3, 1, 1]]):
        together = model.read(ids_B, together)
        alone = [model.read(ids_B[b : b + 1], state) for b, state in enumerate(alone)]
        np.testing.assert_array_equal(together, np.concatenate(alone))
        np.testing.assert_allclose(
            model.log_probabilities(together)[0],
            np.concatenate([model.log_probabilities(state)[0] for state in alone]),
        )


def test_log_probabilities_come_with_matched_context_lengths():
    model = fit(["abcabcabc"], 3)
    # BOS counts as context; "aa" never occurred in training, so only "a" matches at the end.
    _, matched_N = model.log_probabilities(model.contexts(split_of(["abcaab"])))
    assert matched_N.tolist() == [1, 2, 3, 3, 3, 1]


@given(texts, others, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_reading_character_by_character_predicts_the_same_distributions_as_score(
    train, text, order
):
    model = fit(train, order)
    split = split_of(text)
    nats_N = model.score(split)
    contexts = []
    for document in text:
        context = model.start()
        for symbol in ABC.encode(document):
            contexts.append(context)
            context = model.read(np.array([symbol]), context)
    together_NK = model.contexts(split)
    np.testing.assert_array_equal(together_NK, np.concatenate(contexts))
    log_p_NV, matched_N = model.log_probabilities(together_NK)
    np.testing.assert_allclose(-log_p_NV[np.arange(len(log_p_NV)), split.ids], nats_N, rtol=1e-5)
    np.testing.assert_allclose(np.exp(log_p_NV).sum(-1), 1, atol=1e-6)
    # Interpolation and storage rely on these types.
    assert {context.dtype for context in (*contexts, together_NK)} == {np.dtype(np.int32)}
    assert (log_p_NV.dtype, matched_N.dtype) == (np.float32, np.int8)


def test_pruned_level_still_predicts_a_distribution():
    model = fit(["abcab", "abcba", "abb"], 2)
    longest = model.levels[2]
    is_frequent_G = np.arange(len(longest.key_G)) % 2 == 0
    is_kept_C = np.ones(longest.num_contexts, np.bool_)
    pruned, is_kept_G = longest.pruned(is_frequent_G, is_kept_C)
    np.testing.assert_array_equal(is_kept_G, is_frequent_G)
    np.testing.assert_array_equal(pruned.key_G, longest.key_G[is_frequent_G])
    smaller = NgramModel([*model.levels[:2], pruned], num_tokens=4, unknown_probability=FLOOR)
    p_BV = np.exp(smaller.log_probabilities(smaller.read(np.array([1]), smaller.start()))[0])
    assert p_BV.sum() == pytest.approx(1, abs=1e-6)
    assert p_BV.shape == (1, 4)


def test_levels_have_small_dtypes():
    model = fit(["abcab", "abcba", "abb"], 4)
    for level in model.levels:
        assert [level.key_G.dtype, level.discounted_G.dtype] == [np.uint64, np.float32]
        assert level.backoff_C.dtype == np.float32
        assert level.find(level.key_G).dtype == np.int32


@pytest.mark.parametrize(
    "train", ["a" * 500, "abc", "a", "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))]
)
def test_texts_without_variety_or_repeats_give_finite_losses(train):
    vocabulary = Vocabulary.of(train)
    tokenizer = tokenizer_of(vocabulary)
    text = EncodedText.of([train[:100] + "\U0001f600"], vocabulary)
    model = fit_ngrams(
        EncodedText.of([train], vocabulary), EncodedText.of([train[:50]], vocabulary), tokenizer
    )
    assert np.isfinite(model.score(text)).all()
    assert np.exp(model.log_probabilities(model.start())[0]).sum() == pytest.approx(1)


def test_vocabulary_of_a_hundred_thousand_characters():
    vocabulary = Vocabulary("".join(map(chr, range(0x10000, 0x10000 + 100_000))))
    train = EncodedText.of([vocabulary.characters * 2], vocabulary)
    model = fit_ngrams_of_order(train, tokenizer_of(vocabulary), 2)
    assert model.score(train)[10:].max() < 1.2
