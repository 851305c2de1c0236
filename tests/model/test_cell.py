"""Tests of the cells against their equations in double precision."""

import numpy as np
import pytest
from conftest import MODEL

from charlstm.errors import CheckpointError
from charlstm.model.cell import CellStack, gru_step, lstm_step, rnn_step

NUM_STREAMS, SIZE = 3, 4


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(*shapes):
    generator = np.random.default_rng(0)
    return [generator.normal(size=shape).astype(np.float32) for shape in shapes]


def inputs(num_gates):
    """Return random wx, h, c, weight_hh and bias_hh."""
    state = (NUM_STREAMS, SIZE)
    rows = num_gates * SIZE
    return drawn((NUM_STREAMS, rows), state, state, (rows, SIZE), (rows,))


def assert_is(step, **expected):
    """Assert that all values of a step match, by name and in order."""
    assert list(step) == list(expected)
    for name, values in expected.items():
        assert step[name].dtype == np.float32
        np.testing.assert_allclose(step[name], values, rtol=1e-4, atol=1e-6)


def test_lstm_step_matches_equations():
    wx, h, c, weight, bias = inputs(4)
    a = wx.astype(float) + h @ weight.astype(float).T + bias
    i, f, g, o = (a[:, number * SIZE : (number + 1) * SIZE] for number in range(4))
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    after = f * c + i * g
    assert_is(
        lstm_step(wx, {"hidden": h, "cell": c}, weight, bias),
        input=i,
        forget=f,
        output=o,
        candidate=g,
        cell=after,
        hidden=o * np.tanh(after),
    )


def test_gru_step_matches_equations():
    wx, h, _, weight, bias = inputs(3)
    wh = h @ weight.astype(float).T + bias
    r, z, n = (slice(number * SIZE, (number + 1) * SIZE) for number in range(3))
    reset, update = (sigmoid(wx[:, part] + wh[:, part]) for part in (r, z))
    candidate = np.tanh(wx[:, n] + reset * wh[:, n])
    after = (1 - update) * candidate + update * h
    assert_is(
        gru_step(wx, {"hidden": h}, weight, bias),
        reset=reset,
        update=update,
        candidate=candidate,
        hidden=after,
    )


def test_rnn_step_matches_equations():
    wx, h, _, weight, bias = inputs(1)
    after = np.tanh(wx + h @ weight.astype(float).T + bias)
    assert_is(rnn_step(wx, {"hidden": h}, weight, bias), hidden=after)


@pytest.fixture(scope="module")
def stack():
    generator = np.random.default_rng(0)
    weights = {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in MODEL.weight_shapes().items()
    }
    return CellStack(MODEL, weights, unknown_probability=1e-3)


def test_zero_state_has_all_values_of_a_step(stack):
    before = stack.zero_state(3)
    assert len(before) == MODEL.num_layers
    nothing = np.zeros((3, MODEL.hidden_size))
    for layer in before:
        assert_is(layer, **dict.fromkeys(MODEL.spec.values, nothing))
    _, after = stack.step(np.array([1, 2, 3]), before)
    assert [list(layer) for layer in after] == [list(layer) for layer in before]


def test_log_probabilities_normalize_over_last_axis(stack):
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    log_p = stack.log_probabilities(logits.copy())
    assert log_p.dtype == np.float32
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, rtol=1e-5)
    for log_p_V, logits_V in zip(log_p.reshape(-1, 5), logits.reshape(-1, 5), strict=True):
        np.testing.assert_array_equal(log_p_V, stack.log_probabilities(logits_V))
        np.testing.assert_allclose(np.diff(log_p_V), np.diff(logits_V), atol=1e-5)


def test_unknown_gets_minimum_and_others_are_rescaled(stack):
    logits = np.array([-30.0, 1.0, 2.0], np.float32)
    p = np.exp(stack.log_probabilities(logits).astype(float))
    others = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum() * (1 - 1e-3)
    np.testing.assert_allclose(p, [1e-3, *others], rtol=1e-5)


@pytest.mark.parametrize("logits", [[3e38, -3e38, 0.0], [np.inf, 0.0, 0.0], [np.nan, 0.0, 0.0]])
def test_overflowing_predictions_raise_without_warning(stack, logits):
    with pytest.raises(CheckpointError, match="overflow"):
        stack.log_probabilities(np.array(logits, np.float32))
