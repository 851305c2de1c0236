import numpy as np
import pytest
from conftest import alphabet_of
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.ngram import interpolation
from charlstm.ngram.interpolation import Counts, Mixture
from charlstm.ngram.order_selection import ngrams_of_order
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary

FLOOR = 1e-4


def distributions(generator, num_chars, num_symbols, sharpness=2.0):
    logits = generator.normal(0, sharpness, (num_chars, num_symbols)).astype(np.float32)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def drawn(generator, log_p_NV):
    return np.array([generator.choice(len(log_p), p=np.exp(log_p) / np.exp(log_p).sum())
                     for log_p in log_p_NV.astype(float)])  # fmt: skip


def nats(log_p_NV, ids_N):
    return -log_p_NV[np.arange(len(ids_N)), ids_N].mean()


@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(-1, 3), st.floats(-1, 3))
@settings(max_examples=40, deadline=None)
def test_mixed_distributions_sum_to_one_with_a_floor_for_unknown(seed, num_symbols, u, v):
    generator = np.random.default_rng(seed)
    one, two = distributions(generator, 5, num_symbols), distributions(generator, 5, num_symbols)
    mixture = Mixture(np.array([[u, v], [v, u]]))
    num_known_N = generator.integers(0, 2, 5)
    mixed = mixture.log_probabilities(one, two, num_known_N, unknown_probability=FLOOR)
    np.testing.assert_allclose(np.exp(mixed).sum(-1), 1, atol=1e-5)
    assert (np.exp(mixed[:, 0]) >= FLOOR * 0.999).all()


def test_a_weight_of_one_and_none_is_that_predictor_alone():
    generator = np.random.default_rng(0)
    one, two = distributions(generator, 9, 5), distributions(generator, 9, 5)
    mixture = Mixture(np.array([[1.0, 0.0], [0.0, 1.0]]))
    num_known_N = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0])
    mixed = mixture.log_probabilities(one, two, num_known_N, unknown_probability=1e-12)
    np.testing.assert_allclose(mixed, np.where(num_known_N[:, None] == 0, one, two), atol=1e-5)


def test_counts_are_mixed_by_how_much_of_the_context_they_know():
    vocabulary = Vocabulary("abc")
    alphabet = alphabet_of(vocabulary, unknown_probability=1e-3)
    ngrams = ngrams_of_order(Split.of(["abcabcab"], vocabulary), alphabet, 2)
    mixture = Mixture(np.array([[0.2, 0.8], [0.5, 0.5], [0.0, 1.0]]))
    context_BK = ngrams.contexts(Split.of(["abac"], vocabulary))
    network_BV = distributions(np.random.default_rng(0), 4, 4)
    ngrams_BV, num_known_B = ngrams.log_probabilities(context_BK)
    found_BV = Counts(ngrams=ngrams, mixture=mixture).mixed(network_BV, ngrams_BV, num_known_B)
    assert set(num_known_B.tolist()) == {1, 2}
    for found, network, p, known in zip(
        found_BV, network_BV, np.exp(ngrams_BV), num_known_B, strict=True
    ):
        u, v = mixture.weights_K2[known]
        expected = np.exp(network * u) * p**v
        expected *= (1 - 1e-3) / expected.sum()
        expected[0] += 1e-3
        np.testing.assert_allclose(np.exp(found), expected, rtol=1e-4)


def test_it_trusts_whoever_is_right_in_each_context():
    generator = np.random.default_rng(0)
    network, counts = distributions(generator, 4000, 6), distributions(generator, 4000, 6)
    num_known_N = generator.integers(0, 2, 4000)
    ids_N = drawn(generator, np.where(num_known_N[:, None] == 0, network, counts))
    mixture = Mixture.fit(network, counts, num_known_N, ids_N, order=2)
    np.testing.assert_allclose(mixture.weights_K2[:2], [[1, 0], [0, 1]], atol=0.1)
    # A length that never came does as all lengths together.
    assert mixture.weights_K2[2] == pytest.approx([0.5, 0.5], abs=0.15)


def test_the_weights_are_the_best_there_are():
    generator = np.random.default_rng(1)
    network, counts = distributions(generator, 3000, 5), distributions(generator, 3000, 5)
    ids_N = drawn(generator, 0.6 * network + 0.4 * counts)
    nowhere = np.zeros(3000, int)

    def cost(weights):
        mixture = Mixture(np.array([weights]))
        return nats(
            mixture.log_probabilities(network, counts, nowhere, unknown_probability=1e-12), ids_N
        )

    (best,) = Mixture.fit(network, counts, nowhere, ids_N, order=0).weights_K2
    for step in ([0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]):
        assert cost(best) < cost(best + step)


@pytest.mark.parametrize("num_chars", [0, 1, 3])
def test_hardly_any_text_changes_hardly_anything(num_chars):
    generator = np.random.default_rng(0)
    network = distributions(generator, num_chars, 5, sharpness=20)
    counts = distributions(generator, num_chars, 5, sharpness=20)
    known = np.zeros(num_chars, int)
    ids_N = generator.integers(0, 5, num_chars)
    mixture = Mixture.fit(network, counts, known, ids_N, order=1)
    assert np.abs(mixture.weights_K2 - Mixture.usual(1).weights_K2).max() < 1.5
    assert np.isfinite(mixture.weights_K2).all()


@pytest.mark.parametrize(("sharp", "only"), [(0, "network"), (1, "counts"), (None, None)])
def test_a_mixture_without_gain_falls_back_to_the_better_part(sharp, only):
    generator = np.random.default_rng(4)
    both = [distributions(generator, 3000, 5) for _ in range(2)]
    ids_N = drawn(generator, 0.5 * both[0] + 0.5 * both[1] if sharp is None else both[sharp])
    fitted_on = *both, generator.integers(0, 3, 3000), ids_N
    mixture = Mixture.fit(*fitted_on, order=2)
    chosen = mixture.or_better_part(*fitted_on)
    assert chosen.only == only
    assert (chosen is mixture) == (only is None)
    mixed = chosen.log_probabilities(*fitted_on[:3], unknown_probability=1e-12)
    assert nats(mixed, ids_N) <= min(nats(one, ids_N) for one in both) + 1e-3


def test_without_text_the_usual_mixture_stays():
    nothing = np.empty((0, 5), np.float32)
    none = np.empty(0, int)
    mixture = Mixture.fit(nothing, nothing, none, none, order=1)
    assert mixture.or_better_part(nothing, nothing, none, none) is mixture


def test_predictors_that_contradict_each_other_do_not_underflow():
    sure = np.array([[0, -99.0, -99.0], [-99.0, 0, -99.0]], np.float32)
    mixture = Mixture(np.array([[3.0, 3.0]]))
    # In the second row both agree, and its size says nothing about the first.
    counts = sure[[1, 1]]
    mixed = mixture.log_probabilities(sure, counts, np.zeros(2, int), unknown_probability=1e-12)
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(np.exp(mixed), [[0.5, 0.5, 0], [0, 1, 0]], atol=1e-5)


@pytest.mark.parametrize("part_chars", [7, 4096])
@pytest.mark.parametrize(
    ("num_chars", "sharpness", "trust"),
    [(3, 2.0, 1), (30, 2.0, 1), (300, 2.0, 1), (30, 25.0, 1), (300, 9.0, 0.05), (40, 2.0, 30)],
)
def test_weights_are_where_neither_text_nor_prior_pulls(
    monkeypatch, part_chars, num_chars, sharpness, trust
):
    """From there Newton's method, in double precision and of all characters at once, goes nowhere.

    The prior is as strong as ten characters: first around the usual weights, for all characters;
    then, for those of each length of context, around what came of that.
    """
    monkeypatch.setattr(interpolation, "_PART_CHARS", part_chars)
    generator = np.random.default_rng(num_chars)
    network = distributions(generator, num_chars, 5, sharpness)
    counts = distributions(generator, num_chars, 5, sharpness)
    ids_N = drawn(generator, trust * (0.2 * network + 0.9 * counts))
    everywhere = np.ones(num_chars, int)
    common, weights = Mixture.fit(network, counts, everywhere, ids_N, order=1).weights_K2
    both_2NV = np.maximum(np.stack([network, counts]).astype(float), -100.0)
    assert np.abs(newton_step(both_2NV, ids_N, common, np.array([0.7, 0.3]))).max() < 2e-3
    assert np.abs(newton_step(both_2NV, ids_N, weights, common)).max() < 2e-3


def newton_step(both_2NV, ids_N, weights, prior):
    slope, curvature = 10 * (weights - prior), 10 * np.eye(2)
    for x_2V, seen in zip(np.moveaxis(both_2NV, 1, 0), ids_N, strict=True):
        p_V = np.exp(weights @ x_2V - (weights @ x_2V).max())
        p_V /= p_V.sum()
        mean_2 = x_2V @ p_V
        slope += mean_2 - x_2V[:, seen]
        curvature += (x_2V * p_V) @ x_2V.T - np.outer(mean_2, mean_2)
    return np.linalg.solve(curvature, slope)
