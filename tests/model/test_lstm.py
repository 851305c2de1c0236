import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MODEL

from charlstm.model.cell import CellStack
from charlstm.model.lstm import CharLSTM, State, output_dropout

CELLS = ["lstm", "gru", "rnn"]


def make(cell="lstm", **changes):
    config = replace(MODEL, cell=cell, **changes)
    return CharLSTM(config, generator=torch.Generator().manual_seed(0))


def random_ids(model, *shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, model.config.num_inputs, shape, generator=generator)


@pytest.mark.parametrize("cell", CELLS)
def test_torch_model_matches_numpy_model(cell):
    model = make(cell)
    # Initial biases are zero.
    for parameter in model.parameters():
        parameter.data += torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(2)
        ).mul_(0.3)
    x_TB = random_ids(model, 30, 3)
    logits_TBV, state = model(x_TB, model.zero_state(3))

    stack = CellStack(model.config, {n: v.numpy() for n, v in model.state_dict().items()})
    layers = stack.zero_state(3)
    for ids_B, expected_BV in zip(x_TB.numpy(), logits_TBV.detach().numpy(), strict=True):
        logits_BV, layers = stack.step(ids_B, layers)
        np.testing.assert_allclose(logits_BV, expected_BV, atol=1e-4)
    for number, layer in enumerate(layers):
        np.testing.assert_allclose(layer["hidden"], state.h_LBH[number].detach(), atol=1e-4)
        if cell == "lstm":
            np.testing.assert_allclose(layer["cell"], state.c_LBH[number].detach(), atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_state_carries_over_between_chunks(cell):
    model = make(cell)
    x_TB = random_ids(model, 20, 2)
    expected, _ = model(x_TB, model.zero_state(2))
    first, state = model(x_TB[:7], model.zero_state(2))
    second, _ = model(x_TB[7:], state)
    torch.testing.assert_close(torch.cat([first, second]), expected)


def test_initial_lstm_has_forget_bias_one_and_near_uniform_predictions():
    model = make()
    size = MODEL.hidden_size
    for layer in model.layers:
        bias = layer.bias_ih_l0 + layer.bias_hh_l0
        assert bias[size : 2 * size].tolist() == [1.0] * size
        assert bias.sum() == size
        for block in layer.weight_hh_l0.split(size):
            torch.testing.assert_close(block @ block.T, torch.eye(size))
    logits, _ = model(random_ids(model, 5, 2), model.zero_state(2))
    assert logits.abs().max() < 0.2


@pytest.mark.parametrize("cell", CELLS)
def test_weight_shapes_match_model(cell):
    model = make(cell)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes == model.config.weight_shapes()
    assert model.config.num_parameters == sum(p.numel() for p in model.parameters())


def test_reset_zeroes_selected_streams_even_with_nan():
    state = State(torch.full((2, 3, 4), math.nan), torch.ones(2, 3, 4))
    reset = state.reset(torch.tensor([True, False, True]))
    assert reset.h_LBH[:, [0, 2]].eq(0).all()
    assert reset.h_LBH[:, 1].isnan().all()
    assert reset.c_LBH[:, 1].eq(1).all()


def test_output_dropout_masks_each_stream_with_given_generator():
    ones_TBH = torch.ones(6, 40, 50)

    def dropped(seed, dropout=0.3):
        return output_dropout(ones_TBH, dropout, torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    found = dropped(1)
    torch.testing.assert_close(found, dropped(1))
    assert not torch.equal(found, dropped(2))
    assert 0.25 < float((found == 0).float().mean()) < 0.35
    assert (found == found[0]).all()  # one mask per window
    assert (found[0] != found[0, 0]).any()  # and stream
    torch.testing.assert_close(found[found > 0].unique(), torch.tensor([1 / 0.7]))
    assert dropped(1, dropout=0.0) is ones_TBH
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_zeroes_recurrent_weights_within_context(cell):
    model = make(cell, hidden_size=64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    with model.weight_drop(0.3, generator):
        dropped = [layer.weight_hh_l0 == 0 for layer in model.layers]
        assert all(0.25 < float(mask.float().mean()) < 0.35 for mask in dropped)
        for number, (layer, mask) in enumerate(zip(model.layers, dropped, strict=True)):
            kept = before[f"layers.{number}.weight_hh_l0"][~mask] / 0.7
            torch.testing.assert_close(layer.weight_hh_l0[~mask], kept)
        x_TB = random_ids(model, 6, 2)
        logits, _ = model(x_TB, model.zero_state(2))
        logits.square().sum().backward()
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    for layer, mask in zip(model.layers, dropped, strict=True):
        assert layer.weight_hh_l0.grad[mask].eq(0).all()
        assert layer.weight_hh_l0.grad[~mask].ne(0).any()
    assert not torch.equal(logits, model(x_TB, model.zero_state(2))[0])


def test_weight_drop_gradient_matches_finite_difference():
    model = make().double()
    x_TB = random_ids(model, 6, 2)

    def loss():
        with model.weight_drop(0.5, torch.Generator().manual_seed(3)):
            zeros = model.zero_state(2)
            logits, _ = model(x_TB, State(zeros.h_LBH.double(), zeros.c_LBH.double()))
            value = logits.square().sum()
            if value.requires_grad:
                value.backward()
        return float(value.detach())

    loss()
    weight = model.layers[0].weight_hh_l0
    row, column = divmod(int(weight.grad.abs().argmax()), weight.shape[1])
    slope = float(weight.grad[row, column])
    with torch.no_grad():
        weight[row, column] += 1e-6
        after = loss()
        weight[row, column] -= 2e-6
        before = loss()
    assert slope == pytest.approx((after - before) / 2e-6, rel=1e-5)


def test_weight_drop_restores_weights_after_error():
    model = make()
    before = model.layers[0].weight_hh_l0.clone()
    with (
        pytest.raises(RuntimeError, match="within"),
        model.weight_drop(0.5, torch.Generator().manual_seed(0)),
    ):
        raise RuntimeError("within")
    assert torch.equal(model.layers[0].weight_hh_l0, before)


@pytest.mark.parametrize("unknown_logit", [-200.0, -9.0, 0.0, 5.0, 30.0, 200.0])
def test_unknown_has_minimum_and_probabilities_sum_to_one(unknown_logit):
    logits = torch.tensor([[unknown_logit, 1.0, 2.0, -3.0]])
    model = CharLSTM(MODEL, unknown_probability=1e-3)
    log_p = model.log_probabilities(logits)
    p = log_p.exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)
    assert float(p[0, 0]) >= 1e-3 * (1 - 1e-6)
    if unknown_logit < 0:
        # The ratios of the others don't change.
        assert float(p[0, 2] / p[0, 1]) == pytest.approx(math.e, rel=1e-4)
    else:
        torch.testing.assert_close(log_p, logits.log_softmax(-1))
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    stack = CellStack(MODEL, weights, unknown_probability=1e-3)
    np.testing.assert_allclose(stack.log_probabilities(logits.numpy()), log_p.numpy(), atol=1e-5)


def test_log_probabilities_of_targets_match_full_distribution():
    model = CharLSTM(MODEL, unknown_probability=1e-3)
    generator = torch.Generator().manual_seed(0)
    logits_NV = 5 * torch.randn(200, MODEL.num_outputs, generator=generator)
    # Unknown ranges from far below to above its minimum.
    logits_NV[:, 0] = torch.linspace(-40, 10, 200)
    y_N = torch.arange(200) % MODEL.num_outputs
    expected = model.log_probabilities(logits_NV)
    found = torch.stack(
        [
            model.target_log_probabilities(logits_NV, torch.full((200,), token_id))
            for token_id in range(MODEL.num_outputs)
        ],
        1,
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(200))
    log_p_N = model.target_log_probabilities(logits_NV, y_N)
    torch.testing.assert_close(log_p_N, expected.gather(1, y_N[:, None])[:, 0])
