import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.counting.mixing import Mixture

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
