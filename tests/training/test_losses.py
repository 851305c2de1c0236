import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from charlstm.errors import ConfigError, TrainingError
from charlstm.training.losses import LossMeter, Outcome, Reading, head_loss


def outcome(loss, scale=1.0):
    return Outcome(torch.tensor(loss), torch.tensor(scale))


@pytest.fixture
def meter():
    return LossMeter(device="cpu", learning_rate=0.25)


@pytest.mark.parametrize(("num_chars", "num_symbols"), [(1, 2), (130, 7), (200, 5000)])
def test_head_loss_matches_cross_entropy(num_chars, num_symbols):
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(6, num_symbols)
    values = torch.randn(num_chars, 6, generator=generator)
    y_N = torch.randint(num_symbols, (num_chars,), generator=generator)
    found, expected = [values.clone().requires_grad_() for _ in range(2)]

    mean, loss_N = head_loss(found, layer, y_N)
    (mean * 3).backward()
    gradients = [found.grad, layer.weight.grad, layer.bias.grad]
    layer.zero_grad()
    plain_N = cross_entropy(layer(expected), y_N, reduction="none")
    (plain_N.mean() * 3).backward()

    torch.testing.assert_close(loss_N, plain_N.detach())
    torch.testing.assert_close(mean, plain_N.mean())
    for one, other in zip(
        gradients, [expected.grad, layer.weight.grad, layer.bias.grad], strict=True
    ):
        torch.testing.assert_close(one, other)


def test_float16_gradients_do_not_underflow():
    layer = nn.Linear(4, 3).half()
    z_NH = torch.ones(4096, 4, dtype=torch.float16, requires_grad=True)
    head_loss(z_NH, layer, torch.zeros(4096, dtype=torch.int64))[0].mul(65536.0).backward()
    assert (z_NH.grad != 0).all()


def test_the_running_mean_weighs_the_latest_step_most(meter):
    assert meter.bits_per_char == 0
    for step, loss in enumerate((1.0, 2.0, 4.0), start=1):
        meter.add(outcome(loss), step)
    weights = [0.98**2, 0.98, 1.0]
    mean = (weights[0] * 1 + weights[1] * 2 + 4) / sum(weights)
    assert meter.bits_per_char == pytest.approx(mean / math.log(2))


@pytest.mark.parametrize(
    ("scale", "found", "rate"), [(1.0, Reading(True, True), 0.5), (2.0, Reading(True, False), 1.0)]
)
def test_a_step_without_a_finite_gradient_halves_the_rate_unless_its_scale_did_it(
    meter, scale, found, rate
):
    meter.add(outcome(1.0), 1)
    meter.add(outcome(math.nan, scale), 2)
    assert meter.counts.rate_factor == rate
    assert meter.counts.num_skipped == (rate < 1)
    assert meter.take_found() == found
    assert meter.take_found() == Reading()
    assert meter.bits_per_char == pytest.approx(1 / math.log(2))
    meter.add(outcome(1.0), 3)
    assert meter.counts.num_skipped == 0
    assert meter.take_found() == Reading(False, False)


def test_what_was_found_lasts_until_it_is_taken(meter):
    meter.add(outcome(math.nan), 1)
    meter.add(outcome(1.0), 2)
    assert meter.take_found() == Reading(True, True)


def test_ten_steps_in_a_row_without_a_finite_gradient_end_the_run(meter):
    for step in range(1, 10):
        meter.add(outcome(math.nan), step)
    meter.add(outcome(1.0), 10)
    for step in range(11, 20):
        meter.add(outcome(math.inf), step)
    with pytest.raises(TrainingError, match=r"10 steps in a row, up to step 20, .* than 0\.25$"):
        meter.add(outcome(math.nan), 20)
    assert meter.counts.rate_factor == 2.0**-19


@pytest.mark.parametrize(("device", "reads_at"), [("cpu", 1), ("cuda", 8), ("mps", 8)])
def test_a_gpu_is_waited_for_at_every_eighth_step(device, reads_at):
    meter = LossMeter(device=device, learning_rate=0.25)
    assert meter.is_read
    read = []
    for step in range(1, 17):
        meter.add(outcome(float(step)), step)
        if meter.is_read:
            read.append(step)
    assert read == list(range(reads_at, 17, reads_at))
    meter.read(16)  # nothing is left to read
    assert meter.counts.loss_weight == pytest.approx((1 - 0.98**16) / 0.02)


def test_counts_are_stored_and_loaded(meter):
    meter.add(outcome(1.5), 1)
    meter.add(outcome(math.nan), 2)
    state = meter.state_dict()
    assert state == {"loss_sum": 1.5, "loss_weight": 1.0, "rate_factor": 0.5, "num_skipped": 1}
    other = LossMeter(device="cpu", learning_rate=0.25)
    other.load_state_dict(state)
    assert other.counts == meter.counts
    for broken in ({**state, "num_skipped": -1}, {**state, "loss_sum": math.nan}):
        with pytest.raises(ConfigError):
            other.load_state_dict(broken)
