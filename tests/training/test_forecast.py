import pytest

from charlstm.training.forecast import Forecast


def read(paces):
    """A run whose epochs per progress change: pairs of progress until then and pace."""
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


def test_an_even_pace_is_known_from_its_first_step():
    assert read([(1.0, 8.0)]) == pytest.approx([8.0] * 1000)


def test_a_change_of_pace_is_known_a_tenth_of_the_budget_later():
    found = read([(0.5, 9.0), (1.0, 3.0)])
    assert found[499] == pytest.approx(9.0)
    assert found[799] == pytest.approx(6.0, rel=0.05)
    assert found[999] == pytest.approx(6.0)


def test_nothing_is_expected_before_the_first_step():
    forecast = Forecast()
    assert forecast.epochs == 0.0
    forecast.add(progress=0.0, epoch=0.0)
    assert forecast.epochs == 0.0


def test_what_is_stored_continues_exactly():
    forecast = Forecast()
    forecast.add(progress=0.2, epoch=1.0)
    again = Forecast(**vars(forecast))
    for one in (forecast, again):
        one.add(progress=0.3, epoch=2.0)
    assert again.epochs == forecast.epochs
