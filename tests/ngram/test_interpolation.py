import numpy as np
import pytest
from conftest import tokenizer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.ngram import interpolation
from charlstm.ngram.interpolation import InterpolatedNgrams, LogLinearWeights
from charlstm.ngram.order_selection import fit_ngrams_of_order
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

FLOOR = 1e-4


def distributions(generator, num_chars, num_tokens, sharpness=2.0):
    logits = generator.normal(0, sharpness, (num_chars, num_tokens)).astype(np.float32)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def sample(generator, log_p_NV):
    return np.array([generator.choice(len(log_p), p=np.exp(log_p) / np.exp(log_p).sum())
                     for log_p in log_p_NV.astype(float)])  # fmt: skip


def nats(log_p_NV, ids_N):
    return -log_p_NV[np.arange(len(ids_N)), ids_N].mean()


@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(-1, 3), st.floats(-1, 3))
@settings(max_examples=40, deadline=None)
def test_interpolated_distributions_sum_to_one_with_a_floor_for_unknown(seed, num_tokens, u, v):
    generator = np.random.default_rng(seed)
    one, two = distributions(generator, 5, num_tokens), distributions(generator, 5, num_tokens)
    mixture = LogLinearWeights(np.array([[u, v], [v, u]]))
    matched_N = generator.integers(0, 2, 5)
    interpolated = mixture.log_probabilities(one, two, matched_N, unknown_probability=FLOOR)
    np.testing.assert_allclose(np.exp(interpolated).sum(-1), 1, atol=1e-5)
    assert (np.exp(interpolated[:, 0]) >= FLOOR * 0.999).all()


def test_weights_depend_on_matched_context_length():
    vocabulary = Vocabulary("abc")
    tokenizer = tokenizer_of(vocabulary, unknown_probability=1e-3)
    ngrams = fit_ngrams_of_order(EncodedText.of(["abcabcab"], vocabulary), tokenizer, 2)
    mixture = LogLinearWeights(np.array([[0.2, 0.8], [0.5, 0.5], [0.0, 1.0]]))
    context_BK = ngrams.contexts(EncodedText.of(["abac"], vocabulary))
    lstm_BV = distributions(np.random.default_rng(0), 4, 4)
    ngram_BV, matched_B = ngrams.log_probabilities(context_BK)
    mixed_BV = InterpolatedNgrams(ngrams=ngrams, mixture=mixture).interpolated(
        lstm_BV, ngram_BV, matched_B
    )
    assert set(matched_B.tolist()) == {1, 2}
    for interpolated, lstm, p, matched in zip(
        mixed_BV, lstm_BV, np.exp(ngram_BV), matched_B, strict=True
    ):
        u, v = mixture.weights_K2[matched]
        expected = np.exp(lstm * u) * p**v
        expected *= (1 - 1e-3) / expected.sum()
        expected[0] += 1e-3
        np.testing.assert_allclose(np.exp(interpolated), expected, rtol=1e-4)


def test_fit_prefers_the_better_part_for_each_context_length():
    generator = np.random.default_rng(0)
    lstm, ngram = distributions(generator, 4000, 6), distributions(generator, 4000, 6)
    matched_N = generator.integers(0, 2, 4000)
    ids_N = sample(generator, np.where(matched_N[:, None] == 0, lstm, ngram))
    mixture = LogLinearWeights.fit(lstm, ngram, matched_N, ids_N, order=2)
    np.testing.assert_allclose(mixture.weights_K2[:2], [[1, 0], [0, 1]], atol=0.1)
    # Without characters of this length, the weights are the common ones.
    assert mixture.weights_K2[2] == pytest.approx([0.5, 0.5], abs=0.15)


def test_fit_minimizes_the_loss():
    generator = np.random.default_rng(1)
    lstm, ngram = distributions(generator, 3000, 5), distributions(generator, 3000, 5)
    ids_N = sample(generator, 0.6 * lstm + 0.4 * ngram)
    matched_N = np.zeros(3000, int)

    def loss(weights):
        mixture = LogLinearWeights(np.array([weights]))
        return nats(
            mixture.log_probabilities(lstm, ngram, matched_N, unknown_probability=1e-12), ids_N
        )

    (best,) = LogLinearWeights.fit(lstm, ngram, matched_N, ids_N, order=0).weights_K2
    for step in ([0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]):
        assert loss(best) < loss(best + step)


@pytest.mark.parametrize("num_chars", [0, 1, 3])
def test_fit_on_little_text_stays_near_the_default_weights(num_chars):
    generator = np.random.default_rng(0)
    lstm = distributions(generator, num_chars, 5, sharpness=20)
    ngram = distributions(generator, num_chars, 5, sharpness=20)
    matched_N = np.zeros(num_chars, int)
    ids_N = generator.integers(0, 5, num_chars)
    mixture = LogLinearWeights.fit(lstm, ngram, matched_N, ids_N, order=1)
    assert np.abs(mixture.weights_K2 - LogLinearWeights.typical(1).weights_K2).max() < 1.5
    assert np.isfinite(mixture.weights_K2).all()


@pytest.mark.parametrize(("sharp", "only"), [(0, "network"), (1, "counts"), (None, None)])
def test_or_better_part_drops_interpolation_without_gain(sharp, only):
    generator = np.random.default_rng(4)
    both = [distributions(generator, 3000, 5) for _ in range(2)]
    ids_N = sample(generator, 0.5 * both[0] + 0.5 * both[1] if sharp is None else both[sharp])
    fitted_on = *both, generator.integers(0, 3, 3000), ids_N
    mixture = LogLinearWeights.fit(*fitted_on, order=2)
    chosen = mixture.or_better_part(*fitted_on)
    assert chosen.only == only
    assert (chosen is mixture) == (only is None)
    interpolated = chosen.log_probabilities(*fitted_on[:3], unknown_probability=1e-12)
    assert nats(interpolated, ids_N) <= min(nats(one, ids_N) for one in both) + 1e-3


def test_or_better_part_keeps_weights_without_text():
    nothing = np.empty((0, 5), np.float32)
    none = np.empty(0, int)
    mixture = LogLinearWeights.fit(nothing, nothing, none, none, order=1)
    assert mixture.or_better_part(nothing, nothing, none, none) is mixture


def test_contradicting_parts_do_not_underflow():
    sure = np.array([[0, -99.0, -99.0], [-99.0, 0, -99.0]], np.float32)
    mixture = LogLinearWeights(np.array([[3.0, 3.0]]))
    # The parts contradict each other in the first row and agree in the second.
    ngram = sure[[1, 1]]
    interpolated = mixture.log_probabilities(
        sure, ngram, np.zeros(2, int), unknown_probability=1e-12
    )
    assert interpolated.dtype == np.float32
    np.testing.assert_allclose(np.exp(interpolated), [[0.5, 0.5, 0], [0, 1, 0]], atol=1e-5)


@pytest.mark.parametrize("chunk_chars", [7, 4096])
@pytest.mark.parametrize(
    ("num_chars", "sharpness", "trust"),
    [(3, 2.0, 1), (30, 2.0, 1), (300, 2.0, 1), (30, 25.0, 1), (300, 9.0, 0.05), (40, 2.0, 30)],
)
def test_fit_is_a_fixed_point_of_newtons_method(
    monkeypatch, chunk_chars, num_chars, sharpness, trust
):
    """Compare with a Newton step in double precision over all characters at once.

    The prior, of precision 10, is centred on the default weights for all characters, then on the
    common weights for each context length.
    """
    monkeypatch.setattr(interpolation, "_CHUNK_CHARS", chunk_chars)
    generator = np.random.default_rng(num_chars)
    lstm = distributions(generator, num_chars, 5, sharpness)
    ngram = distributions(generator, num_chars, 5, sharpness)
    ids_N = sample(generator, trust * (0.2 * lstm + 0.9 * ngram))
    matched_N = np.ones(num_chars, int)
    common, weights = LogLinearWeights.fit(lstm, ngram, matched_N, ids_N, order=1).weights_K2
    both_2NV = np.maximum(np.stack([lstm, ngram]).astype(float), -100.0)
    assert np.abs(newton_step(both_2NV, ids_N, common, np.array([0.7, 0.3]))).max() < 2e-3
    assert np.abs(newton_step(both_2NV, ids_N, weights, common)).max() < 2e-3


def newton_step(both_2NV, ids_N, weights, prior):
    gradient, hessian = 10 * (weights - prior), 10 * np.eye(2)
    for x_2V, target in zip(np.moveaxis(both_2NV, 1, 0), ids_N, strict=True):
        p_V = np.exp(weights @ x_2V - (weights @ x_2V).max())
        p_V /= p_V.sum()
        mean_2 = x_2V @ p_V
        gradient += mean_2 - x_2V[:, target]
        hessian += (x_2V * p_V) @ x_2V.T - np.outer(mean_2, mean_2)
    return np.linalg.solve(hessian, gradient)
