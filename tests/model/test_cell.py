"""The cells against their equations, written out once more in double precision."""

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
    """read, h, c, weight_hh and bias_hh."""
    state = (NUM_STREAMS, SIZE)
    rows = num_gates * SIZE
    return drawn((NUM_STREAMS, rows), state, state, (rows, SIZE), (rows,))


def assert_is(step, *, h, c, gates, candidate):
    """Every part of a step; the gates by name and in order."""
    assert list(step.gates) == list(gates)
    for found, expected in [
        (step.h, h),
        (step.c, c),
        (step.candidate, candidate),
        *((step.gates[name], gate) for name, gate in gates.items()),
    ]:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_an_lstm_forgets_writes_and_shows():
    read, h, c, weight, bias = inputs(4)
    a = read.astype(float) + h @ weight.astype(float).T + bias
    i, f, g, o = (a[:, number * SIZE : (number + 1) * SIZE] for number in range(4))
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    after = f * c + i * g
    assert_is(
        lstm_step(read, h, c, weight, bias),
        h=o * np.tanh(after),
        c=after,
        gates={"input": i, "forget": f, "output": o},
        candidate=g,
    )


def test_a_gru_moves_a_part_of_the_way_to_its_candidate():
    read, h, c, weight, bias = inputs(3)
    kept = h @ weight.astype(float).T + bias
    r, z, n = (slice(number * SIZE, (number + 1) * SIZE) for number in range(3))
    reset, update = (sigmoid(read[:, part] + kept[:, part]) for part in (r, z))
    candidate = np.tanh(read[:, n] + reset * kept[:, n])
    after = (1 - update) * candidate + update * h
    assert_is(
        gru_step(read, h, c, weight, bias),
        h=after,
        c=after,
        gates={"reset": reset, "update": update},
        candidate=candidate,
    )


def test_a_plain_network_shows_its_candidate():
    read, h, c, weight, bias = inputs(1)
    after = np.tanh(read + h @ weight.astype(float).T + bias)
    assert_is(rnn_step(read, h, c, weight, bias), h=after, c=after, gates={}, candidate=after)


@pytest.fixture(scope="module")
def step():
    return lstm_step(*inputs(4))


def test_streams_are_chosen_in_every_part(step):
    chosen = np.array([2, 0])
    assert_is(
        step.of_streams(chosen),
        h=step.h[chosen],
        c=step.c[chosen],
        gates={name: gate[chosen] for name, gate in step.gates.items()},
        candidate=step.candidate[chosen],
    )


def test_streams_are_joined_in_every_part(step):
    other = step.of_streams(np.array([1]))
    together = step.joined(other)
    back = together.of_streams(np.array([0, 1, 2]))
    assert_is(back, h=step.h, c=step.c, gates=step.gates, candidate=step.candidate)
    last = together.of_streams(np.array([3]))
    assert_is(last, h=other.h, c=other.c, gates=other.gates, candidate=other.candidate)


@pytest.fixture(scope="module")
def stack():
    generator = np.random.default_rng(0)
    weights = {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in MODEL.weight_shapes().items()
    }
    return CellStack(MODEL, weights, unknown_probability=1e-3)


def test_before_the_first_character_all_is_zero_and_can_be_chosen_from(stack):
    before = stack.zero_state(3)
    assert len(before) == MODEL.num_layers
    for layer in before:
        nothing = np.zeros((2, MODEL.hidden_size))
        chosen = layer.of_streams(np.array([0, 2]))
        assert_is(chosen, h=nothing, c=nothing, gates={}, candidate=nothing)
        assert len(layer.joined(layer).h) == 6


def test_probabilities_are_found_over_the_last_axis_whatever_the_shape(stack):
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    log_p = stack.log_probabilities(logits.copy())
    assert log_p.dtype == np.float32
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, rtol=1e-5)
    for one, alone in zip(log_p.reshape(-1, 5), logits.reshape(-1, 5), strict=True):
        np.testing.assert_array_equal(one, stack.log_probabilities(alone))
        np.testing.assert_allclose(np.diff(one), np.diff(alone), atol=1e-5)


def test_unknown_is_lifted_and_the_rest_shrinks_in_proportion(stack):
    logits = np.array([-30.0, 1.0, 2.0], np.float32)
    p = np.exp(stack.log_probabilities(logits).astype(float))
    others = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum() * (1 - 1e-3)
    np.testing.assert_allclose(p, [1e-3, *others], rtol=1e-5)


@pytest.mark.parametrize("logits", [[3e38, -3e38, 0.0], [np.inf, 0.0, 0.0], [np.nan, 0.0, 0.0]])
def test_predictions_that_overflow_are_an_error_and_no_warning(stack, logits):
    with pytest.raises(CheckpointError, match="overflow"):
        stack.log_probabilities(np.array(logits, np.float32))
