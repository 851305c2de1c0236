import numpy as np
import pytest
from conftest import tokenizer_of

from charlstm.evaluation.difference import compare, interval_of_mean, worse_than_validation
from charlstm.evaluation.scores import CharLosses
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

NUM_CHARS = 20_000
NUM_TEXTS = 200


def text_of(lengths):
    vocabulary = Vocabulary.of("x")
    return EncodedText.of(["x" * length for length in lengths], vocabulary)


def interval(values, lengths=None):
    values = np.asarray(values, np.float64)
    return interval_of_mean(values, text_of([len(values)] if lengths is None else lengths))


def is_outside(values, mean, lengths=None):
    found = interval(values, lengths)
    return not found.low <= mean <= found.high


def autoregressive(correlation_S, num_chars, generator):
    """Return autoregressive series of mean 0 and variance 1, [S, num_chars]."""
    innovation_S = np.sqrt(1 - correlation_S**2)
    values = np.empty((num_chars, len(correlation_S)))
    values[0] = generator.standard_normal(len(correlation_S))
    for place in range(1, num_chars):
        noise = generator.standard_normal(len(correlation_S))
        values[place] = correlation_S * values[place - 1] + innovation_S * noise
    return values.T


@pytest.fixture(scope="module")
def texts():
    """Differences of mean 0 with several correlations, each [NUM_TEXTS, NUM_CHARS]."""
    generator = np.random.default_rng(1)
    series = autoregressive(np.repeat([0.0, 0.9, 0.98], NUM_TEXTS), NUM_CHARS, generator)
    independent, close, far = np.split(series, 3)
    return {
        "independent": independent,
        "correlated": close,
        "long": far,
        # A weak (0.08) but long-range correlation.
        "hidden": independent + 0.3 * far,
    }


def test_interval_misses_the_mean_in_about_5_percent_of_texts(texts):
    miss_rate = {
        name: np.mean([is_outside(values, 0.0) for values in found])
        for name, found in texts.items()
    }
    assert 0.03 <= np.mean(list(miss_rate.values())) <= 0.07, miss_rate
    assert max(miss_rate.values()) <= 0.1, miss_rate


def test_interval_that_assumes_independence_misses_correlated_means(texts):
    """Check that the simulated texts are a real test."""
    values = texts["correlated"]
    error = values.std(1) / np.sqrt(NUM_CHARS)
    assert np.mean(np.abs(values.mean(1)) > 1.96 * error) > 0.5


def test_interval_covers_a_known_difference(texts):
    found = [interval(values + 0.1) for values in texts["independent"]]
    assert all(i.low > 0 for i in found)
    assert 0.9 <= np.mean([i.low <= 0.1 <= i.high for i in found]) <= 1.0
    moved, still = interval(texts["long"][0] + 0.1), interval(texts["long"][0])
    assert moved.low == pytest.approx(still.low + 0.1)
    assert moved.high == pytest.approx(still.high + 0.1)


@pytest.mark.parametrize("num_documents", [30, 300])
def test_interval_of_correlated_documents_has_the_right_coverage(num_documents):
    generator = np.random.default_rng(2)
    outside = []
    for _ in range(400):
        lengths = generator.integers(20, 120, num_documents)
        # Characters of a document miss_rate a random offset.
        values = np.repeat(generator.standard_normal(num_documents), lengths)
        values += generator.standard_normal(len(values))
        outside.append(is_outside(values, 0.0, lengths))
    assert 0.03 <= np.mean(outside) <= 0.07


@pytest.mark.parametrize(
    ("lengths", "unit", "num_blocks", "has_interval"),
    [
        ([10] * 20, "document", 20, True),
        ([10] * 19, "character", 1, False),
        ([19_499], "character", 19, False),
        ([19_501], "character", 20, True),
        ([100_000, *[10] * 300], "character", 103, True),  # one document dominates
    ],
)
def test_compare_needs_20_documents_or_blocks_for_an_interval(
    lengths, unit, num_blocks, has_interval
):
    text = text_of(lengths)
    own, other = np.random.default_rng(0).exponential(size=(2, text.num_chars))
    found = compare(scores(own), scores(other), text, text, *[tokenizer_of(Vocabulary.of("x"))] * 2)
    assert (found.unit, found.num_blocks) == (unit, num_blocks)
    assert (found.low_bits_per_char is not None) == has_interval
    assert has_interval or not found.is_significant


def test_interval_of_equal_blocks_matches_student():
    values = np.random.default_rng(3).standard_normal((20, 1000))
    error = values.mean(1).std(ddof=1) / np.sqrt(20)
    found = interval(values.ravel())
    assert (found.high - found.low) / 2 / error == pytest.approx(2.0930, abs=2e-3)


def scores(nats):
    nats = np.asarray(nats, np.float32)
    return CharLosses(nats_N=nats, rank_N=np.zeros(len(nats), np.int32), confidence_N=nats)


def compared(nats, other, text, vocabulary, other_vocabulary):
    return compare(
        scores(nats),
        scores(other),
        EncodedText.of([text], vocabulary),
        EncodedText.of([text], other_vocabulary),
        tokenizer_of(vocabulary),
        tokenizer_of(other_vocabulary),
    )


def test_compare_with_itself_is_zero_and_swapping_flips_the_sign():
    text = "the 7 foxes.\n" * 2000
    vocabulary = Vocabulary.of(text)
    generator = np.random.default_rng(4)
    own, other = generator.exponential(size=(2, len(text)))
    same = compared(own, own, text, vocabulary, vocabulary)
    assert same.low_bits_per_char == same.high_bits_per_char == same.difference_bits_per_char == 0
    assert not same.is_significant
    here = compared(own, other, text, vocabulary, vocabulary)
    there = compared(other, own, text, vocabulary, vocabulary)
    assert here.difference_bits_per_char == -there.difference_bits_per_char
    assert (here.low_bits_per_char, here.high_bits_per_char) == (
        -there.high_bits_per_char,
        -there.low_bits_per_char,
    )
    assert here.low_bits_per_char < here.difference_bits_per_char < here.high_bits_per_char
    better = compared(own, own + 1, text, vocabulary, vocabulary)
    assert better.is_significant
    assert better.difference_bits_per_char == pytest.approx(-1 / np.log(2))


def test_kinds_add_up_to_the_difference():
    text = "the 7 foxes, \u2603.\n" * 40
    generator = np.random.default_rng(5)
    own, other = generator.exponential(size=(2, len(text)))
    known, less = Vocabulary.of(text.replace("\u2603", "")), Vocabulary.of(text.replace("7", ""))
    found = compared(own, other, text, known, less)
    assert (found.num_unknown, found.other_num_unknown) == (40, 40)
    kinds = {kind.kind: kind.num_chars for kind in found.by_kind}
    assert kinds == {
        "letters": 320, "spaces": 120, "line ends": 40, "punctuation": 80, "unknown": 80,
    }  # fmt: skip
    assert sum(kinds.values()) == found.num_chars == len(text)
    assert sum(kind.nats for kind in found.by_kind) == pytest.approx(found.nats)
    assert sum(kind.other_nats for kind in found.by_kind) == pytest.approx(found.other_nats)


def test_compare_adds_the_cost_of_naming_unknown_characters():
    own, other = np.ones((2, 10))
    found = compared(own, other, "abab\u2603" * 2, Vocabulary.of("ab"), Vocabulary.of("ab\u2603"))
    assert found.nats - 10 == pytest.approx(2 * np.log(0x110000 - 2))
    assert found.other_nats == pytest.approx(10)


def test_context_classes_add_up_to_the_difference():
    texts = ["x" * 300, "y" * 20, "z"]
    vocabulary = Vocabulary.of("".join(texts))
    split = EncodedText.of(texts, vocabulary)
    generator = np.random.default_rng(6)
    own, other = generator.exponential(size=(2, split.num_chars))
    tokenizer = tokenizer_of(vocabulary)
    found = compare(scores(own), scores(other), split, split, tokenizer, tokenizer)
    assert [(one.min_context, one.max_context, one.num_chars) for one in found.by_context] == [
        (0, 15, 16 + 16 + 1), (16, 63, 48 + 4), (64, 255, 192), (256, None, 44)
    ]  # fmt: skip
    first = found.by_context[0]
    in_first = np.r_[0:16, 300:316, 320]
    assert first.nats == pytest.approx(own[in_first].sum())
    assert first.other_bits_per_char == pytest.approx(other[in_first].mean() / np.log(2))
    assert sum(one.nats for one in found.by_context) == pytest.approx(found.nats)


def test_worse_than_validation_returns_the_interval():
    vocabulary = Vocabulary.of("x")
    split = EncodedText.of(["x" * 50_000], vocabulary)
    generator = np.random.default_rng(7)
    nats = generator.exponential(2 * np.log(2), size=50_000)
    bits = nats.mean() / np.log(2)
    assert worse_than_validation(scores(nats), split, bits / 1.02) is None
    found = worse_than_validation(scores(nats), split, bits / 1.05)
    assert found.bits_per_char == pytest.approx(bits)
    assert found.low == pytest.approx(bits - 1.96 * 2 / np.sqrt(50_000), abs=0.02)
    assert found.high == pytest.approx(bits + 1.96 * 2 / np.sqrt(50_000), abs=0.02)
    short = EncodedText.of(["x" * 999], vocabulary)
    assert worse_than_validation(scores(np.ones(999)), short, 0.1) is None
