import pytest

from charlstm.config import Budget
from charlstm.training.budgets import (
    Forecast,
    StepBudget,
    Stopwatch,
    TimeBudget,
    training_budget_for,
)


class Clock:
    """Clock that the tests advance by hand."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_stopwatch_adds_earlier_sessions(clock):
    fresh = Stopwatch(clock=clock)
    resumed = Stopwatch(used_seconds=30.0, clock=clock)
    early = Stopwatch(used_seconds=30.0, started_at=998.0, clock=clock)
    clock.now += 5
    assert (fresh.elapsed(), resumed.elapsed(), early.elapsed()) == (5, 35, 37)
    assert (fresh.used_seconds, resumed.used_seconds, early.used_seconds) == (0, 30, 30)


def test_step_budget_ignores_clock():
    pace = StepBudget(8)
    assert [pace.progress(step) for step in (0, 2, 8, 9)] == [0, 0.25, 1, 1]
    pace.add_evaluation(100.0)
    assert pace.progress(2) == 0.25
    assert pace.may_evaluate()
    assert [pace.seconds_left(step, 3.0) for step in (0, 6, 8, 9)] == [24, 6, 0, 0]


def test_time_budget_progress_starts_at_first_step(clock):
    """Start 10 s into a budget of 100 s, of which 2 s are reserved for the end at first."""
    stopwatch = Stopwatch(started_at=990.0, clock=clock)
    pace = TimeBudget(100.0, stopwatch)
    assert pace.progress(0) == 0
    clock.now += 22
    assert pace.progress(1) == pytest.approx(22 / 88)
    assert pace.seconds_left(1, 9.0) == 68
    pace.add_evaluation(27.5 / 1.2)
    assert pace.progress(1) == pytest.approx(22 / 62)
    clock.now += 39
    assert pace.progress(1) == pytest.approx(61 / 62)
    for seconds in (1, 1, 100):
        clock.now += seconds
        assert pace.progress(1) == 1
    assert pace.seconds_left(1, 9.0) == 0


def test_time_budget_counts_earlier_sessions(clock):
    pace = TimeBudget(100.0, Stopwatch(used_seconds=40.0, clock=clock))
    assert pace.progress(0) == pytest.approx(0.4)
    clock.now += 29
    assert pace.progress(0) == pytest.approx(0.4 + 0.6 * 29 / 58)
    assert pace.seconds_left(0, 1.0) == 31
    # Nothing but the time for the end is left.
    assert TimeBudget(100.0, Stopwatch(used_seconds=98.0, clock=clock)).progress(0) == 1
    beyond = TimeBudget(100.0, Stopwatch(used_seconds=150.0, clock=clock))
    assert beyond.progress(0) == 1
    assert beyond.seconds_left(0, 1.0) == 0


def test_evaluations_get_a_tenth_of_the_time(clock):
    pace = TimeBudget(100.0, Stopwatch(clock=clock))
    assert pace.evaluation_seconds == 10
    assert pace.may_evaluate()
    pace.add_evaluation(1.5)
    for elapsed, may_evaluate in ((29, False), (31, True)):
        clock.now = 1000.0 + elapsed
        assert pace.may_evaluate() == may_evaluate
    pace.add_evaluation(1.5)
    for elapsed, may_evaluate in ((44, False), (46, True)):
        clock.now = 1000.0 + elapsed
        assert pace.may_evaluate() == may_evaluate


def test_training_budget_matches_unit(clock):
    text = {"num_chars": 1000, "chars_per_step": 100, "stopwatch": Stopwatch(clock=clock)}
    assert training_budget_for(Budget(steps=7), **text).progress(1) == pytest.approx(1 / 7)
    assert training_budget_for(Budget(epochs=3), **text).progress(3) == pytest.approx(3 / 30)
    pace = training_budget_for(Budget(minutes=2), **text)
    clock.now += 30
    assert pace.seconds_left(0, 1.0) == 90


def read(paces):
    """Return the forecasts of a run for (progress, epochs per budget until then) pairs."""
    forecast = Forecast()
    found = []
    progress = epoch = 0.0
    for until, pace in paces:
        while progress < until - 1e-9:
            progress += 0.001
            epoch += 0.001 * pace
            forecast.add(progress=progress, epoch=epoch)
            found.append(forecast.epochs)
    return found


def test_forecast_at_constant_speed_is_exact():
    assert read([(1.0, 8.0)]) == pytest.approx([8.0] * 1000)


def test_forecast_adapts_within_a_tenth_of_the_budget():
    found = read([(0.5, 9.0), (1.0, 3.0)])
    assert found[499] == pytest.approx(9.0)
    assert found[799] == pytest.approx(6.0, rel=0.05)
    assert found[999] == pytest.approx(6.0)


def test_forecast_before_first_step_is_zero():
    forecast = Forecast()
    assert forecast.epochs == 0.0
    forecast.add(progress=0.0, epoch=0.0)
    assert forecast.epochs == 0.0


def test_forecast_state_round_trips():
    forecast = Forecast()
    forecast.add(progress=0.2, epoch=1.0)
    loaded = Forecast(**vars(forecast))
    for either in (forecast, loaded):
        either.add(progress=0.3, epoch=2.0)
    assert loaded.epochs == forecast.epochs
