from dataclasses import asdict

import pytest

from charlstm.config import Budget
from charlstm.errors import ConfigError
from charlstm.training.recipe import Overrides, make_plan


def plan(num_train_chars=1_000_000, *, budget=None, **overrides):
    return make_plan(
        num_train_chars=num_train_chars,
        num_characters=65,
        budget=budget or Budget(minutes=5),
        overrides=Overrides(**overrides),
        device="cpu",
        precision="float32",
        threads=2,
    )


@pytest.mark.parametrize(
    "wish",
    [
        {"hidden_size": 77},
        {"num_layers": 3},
        {"embedding_size": 9},
        {"dropout": 0.25},
        {"recurrent_dropout": 0.35},
        {"weight_decay": 0.07},
        {"cell": "gru"},
        {"batch_size": 7},
        {"seq_len": 9},
        {"learning_rate": 0.5},
        {"seed": 9},
    ],
)
def test_every_wish_is_granted(wish):
    made = plan(**wish)
    settings = asdict(made.model) | asdict(made.train)
    assert all(settings[name] == value for name, value in wish.items())


def test_a_wish_of_zero_is_a_wish():
    assert plan(seed=0, dropout=0.0).model.dropout == 0.0
    with pytest.raises(ConfigError):
        plan(hidden_size=0)


@pytest.mark.parametrize("num_train_chars", [2, 3, 10, 100, 1000])
def test_a_short_text_gets_smaller_batches_and_is_told_so(num_train_chars):
    made = plan(num_train_chars)
    assert made.train.chars_per_step <= num_train_chars
    assert f"{num_train_chars:,} characters are few" in made.notices[0]
    assert plan().notices == ()


@pytest.mark.parametrize("num_train_chars", [2, 10**3, 10**6, 10**9])
@pytest.mark.parametrize(
    "budget", [Budget(minutes=0.01), Budget(minutes=600), Budget(steps=1), Budget(epochs=1000)]
)
def test_any_budget_has_a_few_evaluations(num_train_chars, budget):
    made = plan(num_train_chars, budget=budget)
    assert 1 <= made.train.num_evaluations <= 20


def test_a_text_read_more_often_is_regularized_more():
    made = [plan(10**6, budget=Budget(epochs=epochs)) for epochs in (0.1, 1, 5, 14, 100)]
    dropouts = [one.model.dropout for one in made]
    assert dropouts == sorted(dropouts)
    assert dropouts[0] < 0.01
    assert dropouts[2] == pytest.approx(0.18, abs=0.02)
    recurrent = [one.model.recurrent_dropout for one in made]
    assert recurrent == sorted(recurrent)
    assert (recurrent[1], recurrent[-1]) == (0.0, 0.4)
    assert plan(10**6, budget=Budget(epochs=100), dropout=0.0).model.dropout == 0.0


def test_a_model_that_is_large_for_its_text_is_regularized_more():
    made = [plan(size, budget=Budget(epochs=20)) for size in (10**8, 10**6, 10**5, 10**3)]
    decays = [one.train.weight_decay for one in made]
    assert decays == sorted(decays)
    assert (decays[0], decays[-1]) == (0.15, 0.8)
    dropouts = [one.model.dropout for one in made]
    assert dropouts == sorted(dropouts)
    assert (dropouts[0], dropouts[-1]) == (0.12, 0.5)


def timed(minutes, operations_per_second, **changes):
    settings = {
        "num_train_chars": 1_003_854,
        "num_characters": 65,
        "device": "cpu",
        "precision": "bfloat16",
    }
    overrides = {name: value for name, value in changes.items() if name not in settings}
    return make_plan(
        **settings | {name: value for name, value in changes.items() if name in settings},
        budget=Budget(minutes=minutes),
        overrides=Overrides(**overrides),
        threads=2,
        operations_per_second=operations_per_second,
    )


def test_three_minutes_of_a_megabyte_are_about_six_epochs_of_the_usual_model():
    """What was measured on two cores with bfloat16."""
    made = timed(3, 4.24e11)
    assert made.model.hidden_size == 256
    assert made.model.dropout == pytest.approx(0.2, abs=0.02)
    assert made.train.weight_decay == pytest.approx(0.2, abs=0.04)
    assert "about 6,130,000 characters" in made.reason


def test_more_time_or_a_quicker_machine_make_a_larger_model():
    sizes = [timed(minutes, 4e11).model.hidden_size for minutes in (0.1, 1, 5, 30, 60, 6000)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (96, 1024)
    assert timed(3, 4e12).model.hidden_size == timed(30, 4e11).model.hidden_size
    assert timed(30, 4e11, hidden_size=77).model.hidden_size == 77


def test_a_long_run_of_a_long_text_makes_larger_steps():
    def shape(minutes, num_train_chars, **overrides):
        train = timed(minutes, 4e11, num_train_chars=num_train_chars, **overrides).train
        return train.batch_size, train.seq_len

    assert shape(3, 10**8) == (32, 64)
    assert shape(10, 10**8) == (64, 64)
    assert shape(60, 10**8) == (128, 64)
    assert shape(600, 10**9) == (128, 128)
    # What is read often anyway gains nothing by more of it; what was asked for stays.
    assert shape(60, 10**6) == (32, 64)
    assert shape(60, 10**8, batch_size=16) == (16, 64)
    made = make_plan(
        num_train_chars=10**8,
        num_characters=65,
        budget=Budget(steps=10**5),
        overrides=Overrides(),
        device="cpu",
        precision="bfloat16",
        threads=2,
    )
    assert (made.train.batch_size, made.train.seq_len) == (32, 64)


def test_a_short_text_gets_no_giant_however_quick_the_machine_is():
    made = timed(30, 1e15, num_train_chars=18_000)
    assert made.model.hidden_size == 192


def test_on_cuda_every_size_is_one_that_cudnn_is_quick_with():
    for minutes in (0.1, 1, 5, 30):
        made = timed(minutes, 4e12, device="cuda", precision="float16")
        assert made.model.hidden_size % 128 == made.model.embedding_size % 128 == 0
        assert made.train.batch_size % 8 == 0
        assert made.train.seq_len >= 40
    assert timed(1, 4e12, device="cuda", hidden_size=77).model.hidden_size == 77


def test_without_a_clock_the_speed_is_not_asked():
    plans = [
        make_plan(
            num_train_chars=1_003_854,
            num_characters=65,
            budget=Budget(epochs=20),
            overrides=Overrides(),
            device="cpu",
            precision="bfloat16",
            threads=2,
            operations_per_second=speed,
        )
        for speed in (None, 1e9, 1e14)
    ]
    assert plans[0] == plans[1] == plans[2]
    assert "about" not in plans[0].reason


def test_a_large_vocabulary_counts_as_work():
    """The head of 6,000 symbols computes more than the recurrent layers."""
    made = timed(5, 4e11, num_train_chars=10**6, num_characters=6257)
    assert made.model.hidden_size < timed(5, 4e11).model.hidden_size
