import math
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from conftest import tokenizer_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from charlstm.config import SampleConfig
from charlstm.errors import ConfigError, CorpusError
from charlstm.inference import sampling
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import build_filters
from charlstm.text.vocabulary import UNKNOWN, Vocabulary

LETTERS = tokenizer_of(Vocabulary.of("abcdefgh"))
logits = arrays(np.float64, st.integers(2, 30), elements=st.floats(-50, 50))


def log_softmax(x):
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


@given(logits, st.integers(1, 40))
def test_top_k_keeps_the_k_most_likely(x, k):
    kept = np.isfinite(sampling.keep_top_k(x, k))
    assert kept.sum() == min(k, len(x))
    if not kept.all():
        assert x[kept].min() >= x[~kept].max()


@given(logits, st.floats(0.01, 1))
def test_top_p_keeps_the_smallest_set_that_reaches_p(x, p):
    kept = np.isfinite(sampling.keep_top_p(x, p))
    probabilities = np.exp(log_softmax(x))
    assert probabilities[kept].sum() >= p * (1 - 1e-9)
    fewer = np.sort(probabilities[kept])[1:]
    assert fewer.sum() < p
    if not kept.all():
        assert x[kept].min() >= x[~kept].max()


@pytest.mark.parametrize("shape", [(40,), (3, 40)])
def test_top_k_and_top_p_keep_the_first_of_equals(shape):
    """Ties are resolved alike on every machine."""
    equal = np.zeros(shape)
    for filtered in (sampling.keep_top_k(equal, 10), sampling.keep_top_p(equal, 0.25)):
        assert np.isfinite(filtered[..., :10]).all()
        assert np.isneginf(filtered[..., 10:]).all()


def test_top_k_keeps_the_first_of_equals_at_any_position():
    x = np.random.default_rng(0).choice([0.0, -9.0], 2000)
    likeliest = np.flatnonzero(x == 0)
    for filtered in (
        sampling.keep_top_k(x, 100),
        sampling.keep_top_p(x, 100 / len(likeliest) * 0.99),
    ):
        assert np.flatnonzero(np.isfinite(filtered)).tolist() == likeliest[:100].tolist()


def test_top_p_stops_when_p_is_reached_exactly():
    kept = np.isfinite(sampling.keep_top_p(np.log([0.25, 0.5, 0.25]), 0.5))
    assert kept.tolist() == [False, True, False]
    assert np.isfinite(sampling.keep_top_p(np.log([0.25, 0.5, 0.25]), 1.0)).all()


@given(logits, st.floats(0.001, 1))
def test_min_p_keeps_probabilities_above_a_fraction_of_the_maximum(x, p):
    filtered = sampling.keep_min_p(x, p)
    kept = filtered > -np.inf
    np.testing.assert_array_equal(filtered[kept], x[kept])
    relative = np.exp(x - x.max())
    assert kept[relative > p * (1 + 1e-9)].all()
    assert not kept[relative < p * (1 - 1e-9)].any()
    assert kept[np.argmax(x)]


@given(
    arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=st.floats(-9, 9)),
    st.builds(
        SampleConfig,
        temperature=st.sampled_from([0, 0.5, 1.0]),
        top_k=st.none() | st.integers(1, 5),
        top_p=st.none() | st.floats(0.1, 1),
        min_p=st.none() | st.floats(0.01, 1),
    ),
)
def test_filters_treat_streams_independently(x, config):
    together = sampling.next_distribution(x, build_filters(config, LETTERS))
    for row, alone in zip(together, x, strict=True):
        np.testing.assert_array_equal(
            row, sampling.next_distribution(alone, build_filters(config, LETTERS))
        )


@given(logits, st.floats(0, 1, exclude_max=True))
def test_draw_never_returns_excluded_tokens(x, u):
    log_p = sampling.keep_top_k(x, 2)[None]
    for number in (u, 0.0, np.nextafter(1.0, 0.0)):
        symbol = sampling.draw(log_p, np.array([number]))
        assert np.isfinite(log_p[0, symbol[0]])


@given(logits, st.floats(1e-300, 1e300))
def test_with_temperature_returns_a_distribution(x, temperature):
    p = sampling.probabilities(sampling.with_temperature(log_softmax(x), temperature))
    assert p.sum() == pytest.approx(1)
    assert np.isfinite(p).all()
    # The order is the same, up to rounding.
    assert p[np.argmax(x)] == p.max()


def test_with_temperature_is_stable_for_extreme_values():
    far = np.array([[0.0, -1.0], [-800.0, -801.0]])
    np.testing.assert_allclose(*sampling.probabilities(far))
    for temperature in (1e-306, 5e-324):
        cold = sampling.with_temperature(np.array([-700.0, -701.0, -750.0]), temperature)
        assert sampling.probabilities(cold).tolist() == [1, 0, 0]


@given(logits)
def test_temperature_zero_keeps_the_most_likely(x):
    p = sampling.probabilities(sampling.with_temperature(x, 0))
    assert p[np.argmax(x)] == 1


@given(logits)
def test_temperature_one_is_the_identity(x):
    log_p = log_softmax(x)
    p = sampling.probabilities(sampling.with_temperature(log_p, 1))
    np.testing.assert_allclose(p, np.exp(log_p), atol=1e-12)


def test_build_filters_composes_and_excludes_unknown():
    log_p = np.log([0.4, 0.3, 0.2, 0.05, 0.05])
    config = SampleConfig(temperature=0.5, top_k=3, top_p=0.7)
    kept = np.isfinite(sampling.next_distribution(log_p, build_filters(config, LETTERS)))
    assert kept.tolist() == [False, True, True, False, False]
    assert not np.isfinite(
        sampling.next_distribution(log_p, build_filters(SampleConfig(), LETTERS))[UNKNOWN]
    )


def sample(predictor, prime="qu", *, seed=0, restarts=False, **options):
    generator, config = np.random.default_rng(seed), SampleConfig(**options)
    return "".join(
        sampling.sample(predictor, prime, config, generator=generator, restarts=restarts)
    )


def test_sample_is_deterministic_for_a_seed(predictor):
    assert sample(predictor, length=50) == sample(predictor, length=50)
    assert sample(predictor, length=50) != sample(predictor, length=50, seed=1)
    assert len(sample(predictor, length=50)) == 50
    assert sample(predictor, length=0) == ""


def test_sample_accepts_extreme_temperatures(predictor):
    likeliest = sample(predictor, length=20, temperature=0)
    assert sample(predictor, length=20, temperature=1e-9) == likeliest
    assert len(sample(predictor, length=20, temperature=1e9)) == 20


def test_sample_names_unknown_characters_of_the_prime(predictor):
    with pytest.raises(CorpusError, match=r"'!' \(U\+0021\), '☃' \(U\+2603\)"):
        sample(predictor, "qu!☃")


def test_empty_prime_starts_a_document(predictor):
    assert len(sample(predictor, "", length=10)) == 10


def drawn_by(predictor, prime, *, num_samples, seed=0, more=None, **options):
    return list(
        sampling.sample_many(
            predictor,
            prime,
            SampleConfig(**options),
            num_samples=num_samples,
            generator=np.random.default_rng(seed),
            **(more or {}),
        )
    )


def many(predictor, prime="qu", *, num_samples, **options):
    return sampling.collect(
        drawn_by(predictor, prime, num_samples=num_samples, **options), num_samples
    )


NUM_DRAWS = 20_000


@pytest.fixture(scope="module")
def sharp(checkpoint):
    """A predictor with scaled head weights, whose distribution is far from uniform."""
    weights = dict(checkpoint.weights)
    weights["head.weight"] = weights["head.weight"] * np.float32(50)
    return Predictor(replace(checkpoint, weights=weights))


def expected_after(predictor, text, *, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """Compute the filtered distribution directly, one token at a time."""
    log_p_V = predictor.read_all(text, predictor.start()).log_p[0].astype(float)
    p = [0.0] + [math.exp(log_p / temperature) for log_p in log_p_V[1:]]
    likeliest_first = sorted(range(len(p)), key=lambda symbol: -p[symbol])
    kept = set(likeliest_first[:top_k])
    if top_p is not None:
        whole = sum(p[symbol] for symbol in kept)
        reached = 0.0
        for symbol in likeliest_first:
            if reached >= top_p * whole:
                kept.discard(symbol)
            reached += p[symbol]
    if min_p is not None:
        kept = {symbol for symbol in kept if p[symbol] >= min_p * max(p)}
    p = np.array([one * (symbol in kept) for symbol, one in enumerate(p)])
    return p / p.sum()


def too_far(counts, expected):
    """Return chi-square divided by its 0.9999 quantile."""
    num_draws = counts.sum()
    if counts[expected == 0].any():
        return math.inf
    # Pool the rarest outcomes until each class is expected five times.
    order = np.argsort(expected)
    pooled, found, wanted = [], 0.0, 0.0
    for symbol in order[expected[order] > 0]:
        found += counts[symbol]
        wanted += expected[symbol] * num_draws
        if wanted >= 5:
            pooled.append((found, wanted))
            found = wanted = 0.0
    assert not wanted  # the most likely outcome is expected more than five times
    statistic = sum((found - wanted) ** 2 / wanted for found, wanted in pooled)
    degrees = len(pooled) - 1
    assert degrees > 0
    # Wilson & Hilferty 1931: the cube root of chi-square over its degrees of freedom is nearly
    # normal; 3.72 is the 0.9999 quantile of the normal distribution.
    spread = 2 / (9 * degrees)
    return statistic / (degrees * (1 - spread + 3.72 * spread**0.5) ** 3)


def counts_of(predictor, texts):
    ids = predictor.tokenizer.encode("".join(texts))
    return np.bincount(ids, minlength=len(predictor.tokenizer))


SETTINGS = [
    {},
    {"temperature": 0.5},
    {"temperature": 0.8, "top_k": 5},
    {"temperature": 1.7, "top_p": 0.6},
    {"temperature": 1.2, "min_p": 0.2},
    {"temperature": 0.9, "top_k": 9, "top_p": 0.9, "min_p": 0.05},
]


def distance(predictor, options, *, seed=0):
    """Return the scaled chi-square of 20,000 draws of one character."""
    drawn = many(predictor, "q", num_samples=NUM_DRAWS, length=1, seed=seed, **options)
    counts = counts_of(predictor, [sample.text for sample in drawn])
    assert counts.sum() == NUM_DRAWS
    return too_far(counts, expected_after(predictor, "q", **options))


@pytest.mark.parametrize("options", SETTINGS)
def test_frequencies_follow_the_distribution(sharp, options):
    assert distance(sharp, options) < 1


def test_frequencies_of_single_streams_follow_the_distribution(sharp):
    """`sample` draws one character per call, like the command."""
    generator, config = np.random.default_rng(0), SampleConfig(length=1, temperature=0.7)
    drawn = [next(sampling.sample(sharp, "q", config, generator=generator)) for _ in range(1000)]
    assert too_far(counts_of(sharp, drawn), expected_after(sharp, "q", temperature=0.7)) < 1


def test_second_characters_depend_on_their_own_stream(sharp):
    drawn = many(sharp, "q", num_samples=NUM_DRAWS, length=2)
    texts = [sample.text for sample in drawn]
    for first, _ in Counter(text[0] for text in texts).most_common(3):
        second = [text[1] for text in texts if text[0] == first]
        expected = expected_after(sharp, "q" + first)
        assert too_far(counts_of(sharp, second), expected) < 1


def without_most_unlikely(log_p):
    least = np.where(np.isfinite(log_p), log_p, np.inf).min(-1, keepdims=True)
    return np.where(log_p > least, log_p, -np.inf)


# Faulty samplers: (function name, replacement given the original, options).
MUTANTS = {
    "the temperature counts twice": (
        "with_temperature",
        lambda keep, x, temperature: keep(keep(x, temperature), temperature),
        {"temperature": 0.8},
    ),
    "the temperature is a factor": (
        "with_temperature", lambda keep, x, temperature: x * temperature, {"temperature": 0.8}
    ),
    "the symbol after it": ("draw", lambda draw, x, u: np.minimum(draw(x, u) + 1, 27), {}),
    "unknown is drawn": ("exclude", lambda keep, x, ids: x, {}),
    "one too many": ("keep_top_k", lambda keep, x, k: keep(x, k + 1), {"top_k": 5}),
    "one too few": ("keep_top_k", lambda keep, x, k: keep(x, k - 1), {"top_k": 5}),
    "the token that reaches p is excluded": (
        "keep_top_p", lambda keep, x, p: without_most_unlikely(keep(x, p)), {"top_p": 0.6}
    ),
    "min-p is squared": ("keep_min_p", lambda keep, x, p: keep(x, p**2), {"min_p": 0.3}),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_faulty_samplers_fail_the_frequency_test(sharp, monkeypatch, name):
    """Check that the frequency tests detect faults."""
    function, change, options = MUTANTS[name]
    assert distance(sharp, options) < 1
    monkeypatch.setattr(sampling, function, partial(change, getattr(sampling, function)))
    assert distance(sharp, options) > 2


def test_sample_many_returns_different_texts(predictor):
    samples = many(predictor, num_samples=5, length=40)
    assert len({sample.text for sample in samples}) == 5
    assert {len(sample.text) for sample in samples} == {40}


def test_sample_many_returns_the_models_log_probabilities(predictor):
    samples = many(predictor, num_samples=3, length=20, temperature=0.5, until=("e",))
    for text, log_p in samples:
        prediction = predictor.read_all("qu", predictor.start())
        for char, number in zip(text, log_p, strict=True):
            (identity,) = predictor.tokenizer.encode(char)
            assert number == pytest.approx(prediction.log_p[0, identity], abs=1e-4)
            prediction = predictor.read_all(char, prediction)


@pytest.mark.parametrize("num_stops", [1, 2])
def test_stream_ends_after_its_first_stop(predictor, num_stops):
    whole = many(predictor, num_samples=8, length=60)
    until = (whole[3].text[20:22], whole[5].text[30:33])[:num_stops]
    cut = many(predictor, num_samples=8, length=60, until=until)
    assert len({len(sample.text) for sample in cut}) > 1
    for sample, ended in zip(whole, cut, strict=True):
        ends = [sample.text.find(one) + len(one) for one in until if one in sample.text]
        assert ended.text == sample.text[: min(ends, default=None)]


def test_stream_ends_after_max_lines(predictor):
    whole = many(predictor, num_samples=8, length=60, temperature=2.0)
    for sample, ended in zip(
        whole,
        many(predictor, num_samples=8, length=60, temperature=2.0, max_lines=2),
        strict=True,
    ):
        assert ended.text == "".join(sample.text.splitlines(keepends=True)[:2])


def test_sample_many_accepts_a_prime_per_stream(predictor):
    primes = ["qu", "the q", "", "qu"]
    drawn = many(predictor, primes, num_samples=4, length=30, temperature=0)
    for prime, found in zip(primes, drawn, strict=True):
        assert found.text == many(predictor, prime, num_samples=1, length=30, temperature=0)[0].text


def test_forbidden_characters_are_never_drawn(predictor):
    forbidden = "aeiou\u2603"
    text = sample(predictor, length=300, forbid=forbidden)
    assert len(text) == 300
    assert not set(text) & set(forbidden)
    with pytest.raises(ConfigError, match="every character"):
        sample(predictor, forbid=predictor.tokenizer.vocabulary.characters)


def test_num_cut_counts_samples_without_eos(predictor, lines_predictor):
    running, lines = predictor.tokenizer, lines_predictor.tokenizer
    config = SampleConfig(length=3, until=("x",))
    texts = ["abc", "ab\n", "abx", "ab"]
    assert sampling.num_cut(texts, config, lines) == 1
    assert sampling.num_cut(texts, config, running) == 0
    assert sampling.max_chars(SampleConfig(), running) < sampling.max_chars(SampleConfig(), lines)


def test_sample_matches_sample_many_with_one_stream(predictor):
    (only,) = many(predictor, num_samples=1, length=50)
    assert sample(predictor, length=50) == only.text


def test_stream_ends_at_eos_and_others_continue(lines_predictor):
    steps = drawn_by(lines_predictor, "qu", num_samples=6, length=40)
    texts = ["".join(chars) for chars in zip(*(step.chars for step in steps), strict=True)]
    assert len({len(text) for text in texts}) > 1
    for stream, text in enumerate(texts):
        assert text.count("\n") <= 1
        assert text.endswith("\n") or len(text) == 40
        costs = [step.log_p_B[stream] for step in steps]
        assert np.isfinite(costs[: len(text)]).all()
        assert np.isnan(costs[len(text) :]).all()
    assert {step.log_p_B.dtype for step in steps} == {np.dtype(np.float64)}
    # Sampling stops when all streams have ended.
    assert len(steps) == max(map(len, texts))
    collected = sampling.collect(steps, 6)
    assert [one.text for one in collected] == texts
    assert [len(one.log_probabilities) for one in collected] == list(map(len, texts))
    assert collected[0].bits == pytest.approx(-sum(collected[0].log_probabilities) / np.log(2))


def test_stops_do_not_revive_ended_streams(lines_predictor):
    whole = drawn_by(lines_predictor, "qu", num_samples=6, length=40)
    waiting = drawn_by(lines_predictor, "qu", num_samples=6, length=40, until=("never comes",))
    assert [step.chars for step in whole] == [step.chars for step in waiting]
    # Stops in the prime do not count.
    for char in lines_predictor.tokenizer.vocabulary.characters:
        steps = drawn_by(lines_predictor, "qu", num_samples=6, length=40, until=("XX" + char,))
        assert [step.chars for step in whole] == [step.chars for step in steps]


def test_restarts_continue_with_the_next_document(lines_predictor):
    first, longer = (
        sample(lines_predictor, length=60, restarts=restarts) for restarts in (False, True)
    )
    assert first.count("\n") == 1
    assert longer.startswith(first)
    assert (len(longer), longer.count("\n") > 2) == (60, True)


def test_restarted_documents_start_from_a_zero_state(lines_predictor):
    samples = many(lines_predictor, "", num_samples=3, length=100, more={"restarts": True})
    for text, log_probabilities in samples:
        assert text.count("\n") > 5
        prediction = lines_predictor.start()
        for char, log_p in zip(text, log_probabilities, strict=True):
            (token,) = lines_predictor.tokenizer.encode(char)
            assert log_p == pytest.approx(prediction.log_p[0, token], abs=1e-4)
            if char == "\n":
                prediction = lines_predictor.start()
            else:
                prediction = lines_predictor.read_all(char, prediction)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"length": -1},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"min_p": 0.0},
        {"min_p": 1.5},
        {"until": ""},
        {"until": ("a", "")},
        {"until": ["a"]},
        {"max_lines": 0},
        {"forbid": 3},
    ],
)
def test_invalid_settings_are_rejected(options):
    with pytest.raises(ConfigError):
        SampleConfig(**options)


def forbidding(ids):
    def keep(log_p):
        log_p[..., ids] = -np.inf
        return log_p

    return keep


def test_custom_filters_precede_temperature_and_top_k(predictor):
    """With top-k 1, the most likely allowed character remains."""
    log_p = predictor.start().log_p[0]
    order = np.argsort(-log_p[1:], kind="stable") + 1
    for temperature in (0.0, 0.5):
        config = SampleConfig(
            temperature=temperature, top_k=1, filters=(forbidding(order[:3]), forbidding(order[3]))
        )
        left = sampling.next_distribution(log_p, build_filters(config, LETTERS))
        assert np.flatnonzero(np.isfinite(left)).tolist() == [order[4]]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (forbidding(slice(None)), "exclude every character"),
        (lambda log_p: log_p[..., :2], "must return log-probabilities"),
        (lambda log_p: log_p * np.nan, "must return log-probabilities"),
        (forbidding(slice(1, None)), "exclude every"),
    ],
)
def test_custom_filters_without_a_distribution_are_errors(predictor, bad, message):
    with pytest.raises(ConfigError, match=message):
        sample(predictor, filters=(bad,))


@pytest.mark.parametrize("filters", [[], "e", (3,), None])
def test_filters_must_be_callable(filters):
    with pytest.raises(ConfigError, match="tuple of functions"):
        SampleConfig(filters=filters)
