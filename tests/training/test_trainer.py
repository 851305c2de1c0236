import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import MODEL, raising

from charlstm.config import Budget
from charlstm.errors import CheckpointError, TrainingError
from charlstm.events import Evaluated, Finished, SaveDue, Started, Stepped
from charlstm.text.encoded_text import EncodedText
from charlstm.training import bptt as bptt_module
from charlstm.training import loss_meter
from charlstm.training import trainer as trainer_module
from charlstm.training.hardware import resolve_precision


def finish(trainer):
    return list(trainer.run())


def of_kind(kind, events):
    return [event for event in events if isinstance(event, kind)]


def snapshot(trainer):
    return trainer.weights(), trainer.state_dict()


def assert_same(trainer, other):
    """Assert that two trainers agree in every tensor and number except elapsed time."""
    for name, value in trainer.weights().items():
        np.testing.assert_array_equal(value, other.weights()[name], err_msg=name)
    state, other_state = trainer.state_dict(), other.state_dict()
    assert state.arrays.keys() == other_state.arrays.keys()
    for name, value in state.arrays.items():
        np.testing.assert_array_equal(value, other_state.arrays[name], err_msg=name)
    for numbers in (state.numbers, other_state.numbers):
        del numbers["counters"]["elapsed_seconds"]
    assert state.numbers == other_state.numbers


def test_events_are_ordered_and_consistent(make_trainer):
    events = finish(make_trainer(steps=12))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert [event.step for event in of_kind(Stepped, events)] == list(range(1, 13))
    assert [event.step for event in of_kind(Evaluated, events)] == [4, 8, 12]
    assert events[-1].epoch == pytest.approx(12 * 4 * 16 / (77 * 30), rel=0.05)


def test_trainer_memorizes_a_sentence(make_trainer):
    model = replace(MODEL, hidden_size=48)
    events = finish(make_trainer(steps=150, model=model, reset_probability=0.01))
    bits = [event.val_bits_per_char for event in of_kind(Evaluated, events)]
    assert bits[-1] < 0.1


def test_training_is_determined_by_seed(make_trainer):
    one, same, other = make_trainer(), make_trainer(), make_trainer(seed=2)
    for trainer in (one, same, other):
        finish(trainer)
    assert_same(one, same)
    assert not np.array_equal(one.weights()["head.weight"], other.weights()["head.weight"])


@pytest.mark.parametrize(
    "cell",
    ["lstm", *(pytest.param(cell, marks=pytest.mark.slow) for cell in ("gru", "rnn"))],
)
@pytest.mark.parametrize(("dropout", "precision"), [(0.0, "float32"), (0.3, "bfloat16")])
def test_resumed_run_equals_uninterrupted_run(make_trainer, cell, dropout, precision):
    precision = resolve_precision("auto" if precision == "bfloat16" else precision, "cpu")
    options = {
        "model": replace(MODEL, cell=cell),
        "steps": 9,
        "precision": precision,
        "dropout": dropout,
        "recurrent_dropout": dropout,
        "dropout_epochs": (0.0, 50.0),
    }
    whole = make_trainer(**options)
    for saved in [snapshot(whole) for _ in whole.run()]:
        resumed = make_trainer(resume=saved, **options)
        finish(resumed)
        assert_same(resumed, whole)


def test_resuming_needs_every_tensor(make_trainer):
    trainer = make_trainer(steps=2)
    finish(trainer)
    weights, state = snapshot(trainer)
    for name in state.arrays:
        arrays = {key: value for key, value in state.arrays.items() if key != name}
        if name.startswith("optimizer.") and not name.endswith(("momentum", "exp_avg")):
            continue  # absent together with AdamW's other entries
        with pytest.raises(CheckpointError):
            make_trainer(resume=(weights, replace(state, arrays=arrays)))


def test_evaluation_does_not_change_training(make_trainer):
    often, seldom = make_trainer(num_evaluations=12), make_trainer(num_evaluations=1)
    finish(often)
    finish(seldom)
    np.testing.assert_array_equal(often.weights()["head.weight"], seldom.weights()["head.weight"])


def test_stop_ends_after_current_step(make_trainer):
    trainer = make_trainer(steps=1000)
    events = []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, Stepped) and event.step == 3:
            trainer.stop()
    assert events[-1].was_interrupted
    assert events[-1].step == 3


def test_extended_budget_raises_learning_rate_again(make_trainer):
    short = make_trainer(steps=6)
    finish(short)
    longer = make_trainer(steps=12, resume=snapshot(short))
    events = finish(longer)
    stepped = of_kind(Stepped, events)
    assert [event.step for event in stepped] == list(range(7, 13))
    assert stepped[0].learning_rate == pytest.approx(0.02 * 0.5 / 0.97, rel=1e-6)


@pytest.fixture
def by_clock(make_trainer):
    """Return a function (now) -> trainer for one minute, whose clock advances `now` by `tick`."""

    def made(now, *, started_at=0.0, tick=0.03, resume=None):
        def clock():
            now[0] += tick
            return now[0]

        options = {"started_at": started_at, "clock": clock}
        return make_trainer(budget=Budget(minutes=1), resume=resume, options=options)

    return made


def test_time_budget_is_kept(by_clock):
    events = finish(by_clock([100.0], started_at=95.0, tick=0.01))
    stepped = of_kind(Stepped, events)
    assert events[-1].elapsed_seconds == pytest.approx(60, abs=3)
    assert stepped[-1].learning_rate < 0.02 * 0.01  # decayed
    assert max(event.learning_rate for event in stepped) == pytest.approx(0.02, rel=0.01)
    # At thirds of the budget, and before the first of them after 2 and 4 epochs.
    assert len(of_kind(Evaluated, events)) == 5


def test_pause_does_not_change_measured_speed(by_clock, monkeypatch):
    now = [0.0]
    step = bptt_module.TruncatedBPTT.step

    def paused(*arguments):
        now[0] += 20.0 * (9.9 < now[0] < 10.1)
        return step(*arguments)

    usual = finish(by_clock([0.0]))[-1].chars_per_second
    monkeypatch.setattr(bptt_module.TruncatedBPTT, "step", paused)
    event = finish(by_clock(now))[-1]
    assert event.elapsed_seconds == pytest.approx(60, abs=3)
    assert event.chars_per_second == pytest.approx(usual, rel=0.01)


def test_time_is_reserved_for_final_evaluation_and_save(by_clock, monkeypatch):
    """Evaluations take 4 of 60 seconds; the last one must end in time."""
    now = [0.0]
    fit = trainer_module.fit_temperature

    def slow(*arguments, **options):
        now[0] += 4.0
        return fit(*arguments, **options)

    monkeypatch.setattr(trainer_module, "fit_temperature", slow)
    events = finish(by_clock(now))
    last = of_kind(Evaluated, events)[-1]
    assert 56 < last.elapsed_seconds <= 60


def test_slow_evaluations_score_fewer_characters(by_clock, monkeypatch):
    """Scoring the entire text would take 24 of 60 seconds for each of five evaluations."""
    now, taken = [0.0], []
    fit = trainer_module.fit_temperature

    def slow(model, split, **options):
        taken.append(0.01 * split.num_chars)
        now[0] += taken[-1]
        return fit(model, split, **options)

    monkeypatch.setattr(trainer_module, "fit_temperature", slow)
    monkeypatch.setattr(trainer_module, "_MIN_VAL_CHARS", 20)
    trainer = by_clock(now, tick=0.01)
    finish(trainer)
    assert len(taken) >= 4
    assert 3 < sum(taken) < 7
    # A resumed run scores the same number of characters.
    again = by_clock(now, resume=snapshot(trainer))
    found, resumed = (one.state_dict().numbers["num_val_chars"] for one in (trainer, again))
    assert resumed == found == pytest.approx(200, abs=20)


def test_loading_a_resumed_run_does_not_use_its_budget(by_clock):
    now = [0.0]
    trainer = by_clock(now)
    for event in trainer.run():
        if isinstance(event, Stepped) and event.progress > 0.5:
            trainer.stop()
    saved = snapshot(trainer)
    used = saved[1].numbers["counters"]["elapsed_seconds"]
    now[0] += 1000.0
    events = finish(by_clock(now, started_at=now[0] - 25.0, resume=saved))
    stepped = of_kind(Stepped, events)
    assert stepped[0].elapsed_seconds == pytest.approx(used, abs=1)
    assert events[-1].elapsed_seconds == pytest.approx(60, abs=3)


def test_latest_model_is_best_without_validation_text(make_trainer, vocabulary):
    events = finish(make_trainer(options={"val": EncodedText.of([], vocabulary)}))
    evaluated = of_kind(Evaluated, events)
    assert len(evaluated) == 3
    assert all(event.is_best and event.val_bits_per_char is None for event in evaluated)


def poison(trainer, value=math.nan):
    trainer.model.head.bias.data[0] = value


def test_nonfinite_gradient_skips_step_and_halves_learning_rate(make_trainer):
    trainer = make_trainer(steps=8)
    events = []
    clean = None
    for event in trainer.run():
        events.append(event)
        if isinstance(event, Stepped) and event.step == 3:
            clean = trainer.weights()
            poison(trainer)
        if isinstance(event, Stepped) and event.step == 4:
            assert event.was_skipped
            assert all(np.isfinite(value).all() for value in trainer.state_dict().arrays.values())
            for name, value in trainer.weights().items():
                if name != "head.bias":
                    np.testing.assert_array_equal(value, clean[name])
            poison(trainer, 0.0)
            break
    rest = of_kind(Stepped, trainer.run())
    assert not any(event.was_skipped for event in rest)
    assert rest[0].learning_rate == pytest.approx(0.01 * (1 - 4 / 8) / 0.97, rel=1e-6)


@pytest.mark.parametrize(("steps_per_reading", "num_read"), [(1, 10), (8, 16)])
def test_ten_skipped_steps_end_the_run(make_trainer, monkeypatch, steps_per_reading, num_read):
    monkeypatch.setitem(loss_meter._STEPS_PER_READING, "cpu", steps_per_reading)
    trainer = make_trainer(steps=50)
    poison(trainer)
    events = []
    with pytest.raises(TrainingError, match=f"up to step {num_read}, were not .* --learning-rate"):
        events.extend(trainer.run())
    stepped = of_kind(Stepped, events)
    assert len(stepped) == num_read - 1
    assert stepped[steps_per_reading - 1].was_skipped
    assert stepped[steps_per_reading - 1].was_slowed


def test_delayed_loss_reads_give_the_same_statistics(make_trainer, monkeypatch):
    def figures(steps_per_reading):
        monkeypatch.setitem(loss_meter._STEPS_PER_READING, "cpu", steps_per_reading)
        trainer = make_trainer(steps=20)
        found = []
        for event in trainer.run():
            if isinstance(event, Evaluated | Finished):
                found.append((event.step, trainer.state_dict().numbers["loss_meter"]["loss_sum"]))
            if isinstance(event, Evaluated):
                found.append(event.train_bits_per_char)
        return found

    assert figures(8) == figures(1)


def test_time_of_save_does_not_change_training(make_trainer, monkeypatch):
    """Also with delayed reads and a halved learning rate."""
    monkeypatch.setitem(loss_meter._STEPS_PER_READING, "cpu", 8)

    def rates(save_after):
        trainer = make_trainer(steps=24)
        found, was_skipped, num_saves = [], 0, 0
        for event in trainer.run():
            if isinstance(event, SaveDue):
                trainer.state_dict()
                num_saves += 1
            if isinstance(event, Stepped):
                found.append(event.learning_rate)
                was_skipped += event.was_skipped
                if event.step == 2:
                    poison(trainer)
                if event.step == 3:
                    poison(trainer, 0.0)
                if event.step == save_after:
                    trainer.request_save()
        assert was_skipped == 1
        assert num_saves == (save_after is not None)
        return found

    assert rates(4) == rates(None)


def test_out_of_memory_error_gives_advice(make_trainer, monkeypatch):
    full = RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
    monkeypatch.setattr(bptt_module.TruncatedBPTT, "step", raising(full))
    with pytest.raises(TrainingError, match="--batch-size"):
        finish(make_trainer())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("optimizer.embedding.weight.exp_avg", lambda value: value[:1, :1]),
        ("optimizer.embedding.weight.exp_avg", lambda value: value.astype(np.float64)),
        ("optimizer.embedding.weight.exp_avg_sq", lambda value: value.T),
        ("optimizer.head.bias.exp_avg", lambda value: value * np.inf),
        ("optimizer.head.bias.exp_avg_sq", lambda value: value * 0 - 1),
        ("optimizer.head.bias.step", lambda value: value[None]),
        ("optimizer.head.bias.step", lambda value: value * 0 - 5),
        ("optimizer.layers.0.weight_hh_l0.momentum", lambda value: value.T[:2]),
        ("optimizer.layers.0.weight_hh_l0.momentum", lambda value: value[None]),
        ("optimizer.layers.0.weight_hh_l0.momentum", lambda value: value * np.nan),
        ("carried.h_LBH", lambda value: value.reshape(-1)),
        ("carried.c_LBH", lambda value: value[:, :1]),
        ("generator.batches", lambda value: value[:7]),
    ],
)
def test_untrusted_optimizer_state_is_validated(make_trainer, name, change):
    """The fused optimizer doesn't check sizes and would write out of bounds."""
    trainer = make_trainer(steps=4)
    finish(trainer)
    state = trainer.state_dict()
    arrays = {**state.arrays, name: np.ascontiguousarray(change(state.arrays[name]))}
    with pytest.raises(CheckpointError, match=rf"can't be resumed.*({name.split('.')[-1]}|RNG)"):
        make_trainer(steps=8, resume=(trainer.weights(), replace(state, arrays=arrays)))


@pytest.fixture
def small_text(split):
    """Return options for a text of 100 characters; a step reads 4 x 16."""
    return {"train": split.part(0, 100), "val": split.part(100, 400)}


def test_small_text_is_evaluated_early_after_doublings(make_trainer, small_text):
    """The first regular evaluation, at 20 steps or 13 epochs, would miss the best model."""
    events = finish(make_trainer(steps=60, options=small_text))
    steps = [event.step for event in of_kind(Evaluated, events)]
    assert steps == [4, 7, 13, 20, 40, 60]  # at 2, 4, 8 epochs, then thirds of the budget
    trainer = make_trainer(steps=60, options=small_text)
    for event in trainer.run():
        if isinstance(event, Evaluated) and event.step == 7:
            break
    events = finish(make_trainer(steps=60, resume=snapshot(trainer), options=small_text))
    assert [event.step for event in of_kind(Evaluated, events)] == steps[2:]


def test_overfitting_run_stops_early_if_enabled(make_trainer, small_text):
    val = small_text["val"]
    shuffled = replace(val, ids=np.random.default_rng(0).permutation(val.ids))
    config = {"weight_decay": 0.0, "num_evaluations": 40, "early_stop": True}
    stopped = finish(make_trainer(steps=2000, options=small_text | {"val": shuffled}, **config))
    assert stopped[-1].stopped_early
    assert not stopped[-1].was_interrupted
    assert stopped[-1].step < 2000
    assert stopped[-1].best_epoch * 4 <= stopped[-1].epoch
    bits = [event.val_bits_per_char for event in of_kind(Evaluated, stopped)]
    assert bits[-1] > 1.2 * min(bits)
