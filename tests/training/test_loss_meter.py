import math
from dataclasses import asdict

import pytest
import torch

from charlstm.config import from_plain
from charlstm.errors import ConfigError, TrainingError
from charlstm.training.loss_meter import LossMeter, LossStatistics, StepFlags, StepOutcome


def outcome(loss, scale=1.0):
    return StepOutcome(torch.tensor(loss), torch.tensor(scale))


@pytest.fixture
def meter():
    return LossMeter(device="cpu", learning_rate=0.25)


def test_running_mean_decays(meter):
    assert meter.bits_per_char == 0
    for step, loss in enumerate((1.0, 2.0, 4.0), start=1):
        meter.add(outcome(loss), step)
    weights = [0.98**2, 0.98, 1.0]
    mean = (weights[0] * 1 + weights[1] * 2 + 4) / sum(weights)
    assert meter.bits_per_char == pytest.approx(mean / math.log(2))


@pytest.mark.parametrize(
    ("scale", "found", "rate"),
    [(1.0, StepFlags(True, True), 0.5), (2.0, StepFlags(True, False), 1.0)],
)
def test_nonfinite_gradient_halves_rate_unless_loss_is_scaled(meter, scale, found, rate):
    meter.add(outcome(1.0), 1)
    meter.add(outcome(math.nan, scale), 2)
    assert meter.statistics.rate_factor == rate
    assert meter.statistics.num_skipped == (rate < 1)
    assert meter.take_flags() == found
    assert meter.take_flags() == StepFlags()
    assert meter.bits_per_char == pytest.approx(1 / math.log(2))
    meter.add(outcome(1.0), 3)
    assert meter.statistics.num_skipped == 0
    assert meter.take_flags() == StepFlags(False, False)


def test_flags_last_until_taken(meter):
    meter.add(outcome(math.nan), 1)
    meter.add(outcome(1.0), 2)
    assert meter.take_flags() == StepFlags(True, True)


def test_ten_consecutive_skipped_steps_raise(meter):
    for step in range(1, 10):
        meter.add(outcome(math.nan), step)
    meter.add(outcome(1.0), 10)
    for step in range(11, 20):
        meter.add(outcome(math.inf), step)
    with pytest.raises(TrainingError, match=r"10 steps in a row, up to step 20, .* below 0\.25$"):
        meter.add(outcome(math.nan), 20)
    assert meter.statistics.rate_factor == 2.0**-19


@pytest.mark.parametrize(("device", "reads_at"), [("cpu", 1), ("cuda", 8), ("mps", 8)])
def test_gpu_losses_are_read_every_eighth_step(device, reads_at):
    meter = LossMeter(device=device, learning_rate=0.25)
    assert meter.is_read
    read = []
    for step in range(1, 17):
        meter.add(outcome(float(step)), step)
        if meter.is_read:
            read.append(step)
    assert read == list(range(reads_at, 17, reads_at))
    meter.read(16)  # no-op
    assert meter.statistics.loss_weight == pytest.approx((1 - 0.98**16) / 0.02)


def test_loss_statistics_round_trip(meter):
    meter.add(outcome(1.5), 1)
    meter.add(outcome(math.nan), 2)
    state = asdict(meter.statistics)
    assert state == {"loss_sum": 1.5, "loss_weight": 1.0, "rate_factor": 0.5, "num_skipped": 1}
    assert from_plain(LossStatistics, state) == meter.statistics
    for broken in ({**state, "num_skipped": -1}, {**state, "loss_sum": math.nan}):
        with pytest.raises(ConfigError):
            from_plain(LossStatistics, broken)
