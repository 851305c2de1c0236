import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from conftest import raising

from charlstm.config import Budget
from charlstm.errors import ConfigError, TrainingError
from charlstm.settings import TrainSettings
from charlstm.training import auto_config
from charlstm.training.auto_config import Machine as On
from charlstm.training.auto_config import auto_configure


def plan(
    num_train_chars=1_000_000,
    *,
    num_characters=65,
    budget=Budget(minutes=5),  # noqa: B008
    device="cpu",
    precision="bfloat16",
    step_times=None,
    seconds_used=lambda: 0.0,
    **overrides,
):
    return auto_configure(
        TrainSettings(**overrides),
        num_train_chars=num_train_chars,
        num_characters=num_characters,
        budget=budget,
        machine=On(device=device, precision=precision, threads=2),
        step_times=step_times,
        seconds_used=seconds_used,
    )


@pytest.mark.parametrize(
    "options",
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
def test_user_settings_are_kept(options):
    made = plan(**options)
    settings = asdict(made.model) | asdict(made.train)
    assert all(settings[name] == value for name, value in options.items())


def test_zero_counts_as_a_user_setting():
    assert plan(seed=0, dropout=0.0).train.dropout == 0.0
    with pytest.raises(ConfigError):
        plan(hidden_size=0)


@pytest.mark.parametrize(
    ("num_train_chars", "shape"),
    [(2, (2, 1)), (3, (3, 1)), (100, (2, 50)), (128, (2, 64)), (1000, (15, 64)), (2048, (32, 64))],
)
def test_short_text_gets_smaller_batches_and_a_notice(num_train_chars, shape):
    made = plan(num_train_chars, budget=Budget(steps=1))
    assert (made.train.batch_size, made.train.seq_len) == shape
    matches = [f"only {num_train_chars:,} characters" in notice for notice in made.notices]
    assert matches == [True] * (shape != (32, 64))


def test_regularization_grows_with_epochs():
    made = plan(10**5)
    found = [made.train.dropouts(epochs) for epochs in (0.1, 1, 5, 6, 14, 100)]
    dropouts = [rates.dropout for rates in found]
    assert dropouts == sorted(dropouts)
    assert dropouts[0] < 0.01
    assert dropouts[2] == pytest.approx(0.075, abs=0.005)
    recurrent = [rates.recurrent_dropout for rates in found]
    assert recurrent == sorted(recurrent)
    assert (recurrent[3], recurrent[-1]) == (0.0, 0.4)


def test_user_dropouts_do_not_depend_on_epochs():
    made = plan(10**6, dropout=0.1, recurrent_dropout=0.3)
    for epochs in (0, 100):
        assert made.train.dropouts(epochs) == (0.1, 0.3)


def test_regularization_grows_with_parameters_per_character():
    configs = [plan(size, budget=Budget(epochs=20)).train for size in (10**8, 10**6, 10**5, 10**3)]
    decays = [config.weight_decay for config in configs]
    assert decays == sorted(decays)
    assert (decays[0], decays[-1]) == (0.2, 0.75)
    embedding_decays = [config.vocabulary_decay for config in configs]
    assert embedding_decays == sorted(embedding_decays)
    assert (embedding_decays[0], embedding_decays[-1]) == (0.0, 0.8)
    dropouts = [config.dropout for config in configs]
    assert dropouts == sorted(dropouts)
    assert (dropouts[0], dropouts[-1]) == (0.0, 0.6)


class Machine:
    """Simulated step benchmark: an overhead per step and a time per operation."""

    def __init__(self, operations_per_second, *, overhead=0.0, largest=10**9):
        self.rate = operations_per_second
        self.overhead = overhead
        self.largest = largest
        self.timed = []

    def seconds(self, model, train):
        operations = 6 * model.num_parameters + 500 * model.num_characters
        return self.overhead + operations * train.chars_per_step / self.rate

    def __call__(self, candidates):
        self.timed.append([model.hidden_size for model, _ in candidates])
        return [
            self.seconds(model, train) if model.hidden_size <= self.largest else None
            for model, train in candidates
        ]


def timed(minutes, machine, *, num_train_chars=1_003_854, **options):
    return plan(num_train_chars, budget=Budget(minutes=minutes), step_times=machine, **options)


@pytest.mark.parametrize("rate", [2e10, 2e11, 2e12])
@pytest.mark.parametrize("overhead", [0.0, 0.02])
def test_model_size_follows_measured_step_times(rate, overhead):
    machine = Machine(rate, overhead=overhead)
    made = timed(3, machine, batch_size=32)
    expected = 0.9 * 180 / machine.seconds(made.model, made.train) * made.train.chars_per_step
    assert made.num_chars == pytest.approx(expected, rel=1e-6)
    # About six characters per parameter of the recurrent layers.
    stack = made.model.num_parameters - 65 * (64 + made.model.hidden_size)
    assert 5 * stack < expected < 25 * stack
    assert len(machine.timed) <= 3


def test_more_time_or_speed_gives_a_larger_model():
    sizes = [timed(minutes, Machine(2e11)).model.hidden_size for minutes in (0.1, 1, 5, 30, 6000)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 150
    assert sizes[-1] == 1024
    assert timed(30, Machine(2e11), hidden_size=77).model.hidden_size == 77


def test_model_too_large_for_memory_is_not_chosen():
    made = timed(6000, Machine(1e12, largest=500))
    assert made.model.hidden_size == 448
    assert "does not fit in memory" in made.notices[0]
    with pytest.raises(TrainingError, match="does not fit in memory"):
        timed(3, Machine(1e12, largest=50), hidden_size=100)


def test_long_runs_on_long_texts_use_larger_steps():
    def shape(minutes, num_train_chars, **overrides):
        machine = Machine(2e11)
        train = timed(minutes, machine, num_train_chars=num_train_chars, **overrides).train
        return train.batch_size, train.seq_len

    assert shape(3, 10**8) == (32, 64)
    assert shape(10, 10**8) == (64, 64)
    assert shape(60, 10**8) == (128, 64)
    assert shape(600, 10**9) == (128, 128)
    # Not with many epochs, a user's batch size or a budget in steps.
    assert shape(60, 10**6) == (32, 64)
    assert shape(60, 10**8, batch_size=16) == (16, 64)
    made = plan(10**8, budget=Budget(steps=10**5))
    assert (made.train.batch_size, made.train.seq_len) == (32, 64)


def test_model_size_is_bounded_by_text_length():
    made = timed(30, Machine(1e15), num_train_chars=18_000)
    assert made.model.hidden_size == 192


def test_cuda_sizes_suit_cudnn_kernels():
    for minutes in (0.1, 1, 5, 30):
        made = timed(minutes, Machine(4e12), device="cuda", precision="float16")
        assert made.model.hidden_size % 128 == made.model.embedding_size % 128 == 0
        assert made.train.batch_size % 8 == 0
        assert made.train.seq_len >= 40
    made = timed(1, Machine(4e12), device="cuda", hidden_size=77)
    assert made.model.hidden_size == 77


def test_cuda_first_benchmark_is_a_large_model():
    """Launch overhead dominates small models, so their times don't extrapolate to larger ones."""
    gpu = {"device": "cuda", "precision": "float16"}
    made = timed(0.5, Machine(2e14, overhead=2e-3), **gpu)
    assert made.model.hidden_size >= 512
    assert timed(600, Machine(2e14), num_train_chars=10**8, **gpu).model.hidden_size == 2048


def test_cuda_run_of_a_dozen_epochs_gets_larger_steps_and_model():
    machine = Machine(2e14, overhead=2e-3)
    text = {"num_train_chars": 5 * 10**6, "device": "cuda", "precision": "float16"}
    default = timed(1.25, machine, batch_size=32, seq_len=64, **text)
    larger = timed(1.25, machine, **text)
    assert 7 < default.epochs < 20
    assert larger.train.chars_per_step > default.train.chars_per_step
    assert larger.model.hidden_size > default.model.hidden_size


def test_budget_without_minutes_runs_no_benchmark():
    made = plan(budget=Budget(epochs=20), step_times=raising(AssertionError()))
    assert "about" not in made.extent


def test_large_vocabulary_reduces_model_size():
    """With an output vocabulary of 6,000, the head takes more time than the recurrent layers."""
    sizes = [
        timed(5, Machine(2e11), num_train_chars=10**6, num_characters=number).model.hidden_size
        for number in (6257, 65)
    ]
    assert sizes[0] < sizes[1]


def stack_of(model):
    """Return the number of parameters of the recurrent layers."""
    shapes = model.weight_shapes()
    return sum(
        rows * columns
        for name, (rows, columns, *_) in ((n, (*s, 1)) for n, s in shapes.items())
        if name.startswith("layers")
    )


@pytest.mark.parametrize("num_characters", [65, 6257])
@pytest.mark.parametrize("minutes", [0.3, 2, 5, 20])
def test_model_reads_six_characters_per_parameter(num_characters, minutes):
    text = {"num_train_chars": 10**6, "num_characters": num_characters, "batch_size": 32}
    made = timed(minutes, None, **text)
    assert made.num_chars >= 6 * stack_of(made.model)
    larger = timed(minutes, None, hidden_size=made.model.hidden_size + 64, **text)
    assert larger.num_chars < 6 * stack_of(larger.model)


def test_num_stack_parameters_counts_layers_only():
    for cell in ("lstm", "gru"):
        model = plan(hidden_size=40, embedding_size=7, num_layers=3, cell=cell).model
        assert model.num_stack_parameters == stack_of(model)


def test_every_hidden_size_is_chosen_at_some_speed():
    """Include the smallest two, which are for vocabularies of thousands."""
    sizes = {
        timed(1, Machine(rate), num_characters=5000, batch_size=32).model.hidden_size
        for rate in np.geomspace(1e9, 1e12, 60)
    }
    assert sizes == {64, 96, 128, 192}


def test_step_time_estimate_counts_operations():
    """Count 6 operations per parameter and 400 per logit, plus the optimizer's: 5 recurrent
    matrices in 3 layers, with 4 iterations of 9 H x H x H products."""
    made = timed(
        5, None, hidden_size=100, num_layers=3, embedding_size=10, batch_size=20, seq_len=50
    )
    recurrent = 400 * (10 + 100) + 2 * 400 * (100 + 100) + 3 * 800
    head = 66 * (3 * 100 + 1)
    optimizer = 5 * 4 * 9 * 2 * 100**3 / (20 * 50)
    operations = 6 * (recurrent + head) + 400 * 66 + optimizer
    assert made.num_chars == pytest.approx(0.9 * 300 * 2e11 / operations)


class Noisy(Machine):
    """Simulated step benchmark with a random factor for each size."""

    def __init__(self, seed):
        super().__init__(5e11)
        self.seed = seed

    def seconds(self, model, train):
        factor = np.exp(np.random.default_rng([self.seed, model.hidden_size]).normal())
        return super().seconds(model, train) * float(factor)


def test_best_of_three_benchmarked_sizes_is_chosen():
    num_undecided = 0
    for seed in range(60):
        machine = Noisy(seed)
        made = timed(3, machine, batch_size=32)
        assert len(machine.timed) <= 3
        assert made.model.hidden_size in machine.timed[-1]
        num_chars = {
            size: 0.9 * 180 / machine.seconds(model, made.train) * made.train.chars_per_step
            for size in machine.timed[-1]
            for model in [replace(made.model, hidden_size=size)]
        }
        assert made.num_chars == pytest.approx(num_chars[made.model.hidden_size])
        assert made.notices == ()
        if len(machine.timed) == 3 and made.model.hidden_size != machine.timed[-1][-1]:
            num_undecided += 1
            stacks = {size: stack_of(replace(made.model, hidden_size=size)) for size in num_chars}
            trainable = [size for size in stacks if num_chars[size] / 0.9 >= 6 * stacks[size]]
            assert made.model.hidden_size == max(trainable, default=min(stacks))
    assert num_undecided > 10


def test_step_times_are_interpolated_linearly():
    made = plan(batch_size=32)
    models = {
        size: replace(made.model, hidden_size=size) for size in (64, 128, 256, 320, 384, 512, 1024)
    }

    def seconds(size, times):
        return auto_config._step_seconds(models[size], made.train, times)

    estimates = {size: seconds(size, {}) for size in models}
    line = {size: 0.01 + 2 * estimates[size] for size in models}
    # Only the nearest two measurements count.
    measured = {models[1024]: estimates[320], models[256]: line[256], models[384]: line[384]}
    assert seconds(320, measured) == pytest.approx(line[320])
    assert seconds(256, measured) == line[256]
    # A single measurement scales the estimates.
    assert seconds(512, {models[128]: 3 * estimates[128]}) == pytest.approx(3 * estimates[512])
    # Slope and step time are bounded from below.
    flat = {models[256]: 1.0, models[320]: 0.5}
    slope = 0.5 / estimates[320] / 20
    assert seconds(512, flat) == pytest.approx(0.5 + slope * (estimates[512] - estimates[320]))
    steep = {models[256]: 1.0, models[320]: 100.0}
    assert seconds(64, steep) == pytest.approx(1.0 / 20)


@pytest.mark.parametrize(
    ("num_train_chars", "epochs", "shape"),
    [
        # 3,000 steps of 64 x 64, and one step less.
        (3000 * 64 * 64, 1, (64, 64)),
        (3000 * 64 * 64 - 64 * 64, 1, (32, 64)),
        # Twenty epochs, and more.
        (3000 * 64 * 64, 20, (128, 128)),
        (3000 * 64 * 64, 20.1, (32, 64)),
    ],
)
def test_step_shape_grows_with_number_of_steps(num_train_chars, epochs, shape):
    made = plan(num_train_chars, budget=Budget(epochs=epochs))
    assert (made.train.batch_size, made.train.seq_len) == shape


def test_user_batch_size_or_seq_len_keeps_default_of_the_other():
    text = {"num_train_chars": 10**9}
    for options in ({"batch_size": 16}, {"seq_len": 32}):
        train = timed(600, Machine(2e11), **text, **options).train
        expected = {"batch_size": 32, "seq_len": 64} | options
        assert (train.batch_size, train.seq_len) == tuple(expected.values())


@pytest.mark.parametrize(
    ("budget", "num_chars", "extent"),
    [
        (Budget(steps=4), 4 * 2048, "8,190 characters, 0.00819 epochs"),
        (Budget(steps=400), 400 * 2048, "819,000 characters, 0.819 epochs"),
        (Budget(steps=10_000), 10_000 * 2048, "20,500,000 characters, 20.5 epochs"),
        (Budget(epochs=1234), None, "1,230,000,000 characters, 1,230 epochs"),
    ],
)
def test_extent_has_three_significant_digits(budget, num_chars, extent):
    made = plan(10**6, budget=budget)
    assert made.extent == extent
    assert re.fullmatch("about .* epochs", plan().extent)  # with a budget in minutes
    assert made.num_chars == num_chars or num_chars is None
    assert made.epochs == pytest.approx(made.num_chars / 10**6)


def test_time_before_training_is_subtracted():
    early, late = (
        timed(3, Machine(2e11), seconds_used=lambda used=used: used) for used in (0.0, 60.0)
    )
    assert late.num_chars == pytest.approx(early.num_chars * 2 / 3)
    assert late.epochs == pytest.approx(early.epochs * 2 / 3)
    assert late.model == early.model
    # At least one step is made.
    assert timed(3, Machine(2e11), seconds_used=lambda: 200.0).num_chars == 32 * 64


@pytest.mark.parametrize(
    ("budget", "number"),
    [
        (Budget(steps=1), 1),
        (Budget(steps=3), 3),
        (Budget(steps=5000), 10),
        (Budget(epochs=0.5), 4),
        (Budget(epochs=12), 12),
        (Budget(epochs=1000), 20),
        (Budget(minutes=0.01), 4),
        (Budget(minutes=8), 12),
        (Budget(minutes=600), 20),
    ],
)
def test_number_of_evaluations_follows_budget(budget, number):
    assert plan(10**6, budget=budget).train.num_evaluations == number
    for num_train_chars in (2, 10**9):
        assert 1 <= plan(num_train_chars, budget=budget).train.num_evaluations <= 20


def test_default_settings():
    made = plan(budget=Budget(epochs=1))
    assert (made.train.seed, made.train.early_stop) == (0, False)
    assert (made.model.num_layers, made.model.cell, made.model.embedding_size) == (2, "lstm", 64)
    assert plan(budget=Budget(minutes=1)).train.early_stop
    assert not plan(budget=Budget(steps=1)).train.early_stop
    assert not plan(budget=Budget(minutes=1), early_stop=False).train.early_stop


def test_regularization_values():
    """Values are rounded as displayed."""
    made = plan(300_000, budget=Budget(epochs=1))
    parameters = made.model.num_parameters / 300_000
    assert 2.5 < parameters < 3.5
    assert made.train.weight_decay == round(0.2 + 0.1 * parameters, 2)
    assert made.train.dropout == round(0.6 * parameters / (3.5 + parameters), 2)
    assert made.train.dropout_epochs == (0.0, round(made.train.dropout / 0.015, 1))
    assert made.train.recurrent_dropout == 0.4
    assert made.train.recurrent_dropout_epochs == (6.0, 38.0)
    assert made.train.vocabulary_decay == round(0.08 * parameters, 2)


@pytest.mark.parametrize(
    ("options", "decay"),
    [
        ({"num_characters": 65, "hidden_size": 256}, 0.07),
        ({"num_characters": 6000, "hidden_size": 256}, 0.35),
        ({"num_train_chars": 10**8}, 0.0),
        ({"num_train_chars": 10**5, "num_characters": 5000, "weight_decay": 0.0}, 0.0),
    ],
)
@pytest.mark.parametrize("budget", [Budget(minutes=3), Budget(steps=100)])
def test_embedding_decay_grows_with_vocabulary(budget, options, decay):
    made = plan(budget=budget, **options)
    assert made.train.vocabulary_decay == decay
    expected = f"weight decay {made.train.weight_decay:g}"
    assert made.train.decays == expected + f", {decay:g} of embedding and head" * (decay > 0)
