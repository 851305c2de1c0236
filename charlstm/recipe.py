"""The plan before training: from corpus, budget and machine to every setting, with the reasons."""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from charlstm.config import Budget, Cell, Device, ModelConfig, Precision, TrainConfig

DEFAULT_MINUTES: Final = 5.0

# Measured on tiny Shakespeare: see tests/benchmarks/README.md.
_EMBEDDING_SIZE: Final = 64
_HIDDEN_SIZE: Final = 256
_NUM_LAYERS: Final = 2
_BATCH_SIZE: Final = 32
_SEQ_LEN: Final = 64
_LEARNING_RATE: Final = 8e-3
# The more often a text is read, the more it takes to keep a model from learning it by heart. Per
# epoch, on tiny Shakespeare (6 epochs) and Irish tunes (14 epochs).
_DROPOUT_PER_EPOCH: Final = 0.035
_MAX_DROPOUT: Final = 0.5
_WEIGHT_DECAY_PER_EPOCH: Final = 0.035
_MIN_WEIGHT_DECAY: Final = 0.1
_MAX_WEIGHT_DECAY: Final = 0.8
# Floating-point operations per second that two cores reach in training; only the regularisation
# of runs by the clock depends on it, and mildly.
_OPERATIONS_PER_SECOND: Final = {"bfloat16": 1.9e11, "float16": 1.9e11, "float32": 1.0e11}
_GPU_SPEEDUP: Final = 20
_OPERATIONS_PER_WEIGHT: Final = 6  # per character, forward and backward
# Often enough to learn how a text begins, too seldom to cost anything in its middle.
_RESET_PROBABILITY: Final = 0.01
_MIN_EVALUATIONS: Final = 4
_MAX_EVALUATIONS: Final = 20
_EVALUATIONS_PER_MINUTE: Final = 1.5
_EVALUATIONS_PER_EPOCH: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asked for; None is left to the plan."""

    hidden_size: int | None = None
    num_layers: int | None = None
    embedding_size: int | None = None
    dropout: float | None = None
    recurrent_dropout: float | None = None
    weight_decay: float | None = None
    cell: Cell | None = None
    batch_size: int | None = None
    seq_len: int | None = None
    learning_rate: float | None = None
    seed: int | None = None

    def given(self) -> dict[str, Any]:
        """The wishes that were made, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings, and what a person may want to know about them."""

    model: ModelConfig
    train: TrainConfig
    notices: tuple[str, ...]


def make_plan(
    *,
    num_train_chars: int,
    num_characters: int,
    budget: Budget,
    wishes: Wishes,
    device: Device,
    precision: Precision,
    threads: int,
) -> Plan:
    """Choose every setting that the user left open.

    Raises:
        ConfigError: when a wish is impossible.
    """
    chosen: dict[str, Any] = {
        "hidden_size": _HIDDEN_SIZE,
        "num_layers": _NUM_LAYERS,
        "embedding_size": _EMBEDDING_SIZE,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
        "weight_decay": _MIN_WEIGHT_DECAY,
        "cell": "lstm",
        "batch_size": _BATCH_SIZE,
        "seq_len": _SEQ_LEN,
        "learning_rate": _LEARNING_RATE,
        "seed": 0,
    } | wishes.given()
    model_names = {field.name for field in fields(ModelConfig)}
    model = ModelConfig(
        num_characters=num_characters,
        **{name: value for name, value in chosen.items() if name in model_names},
    )
    # Validated as wished, before it is made to fit.
    train = TrainConfig(
        **{name: value for name, value in chosen.items() if name not in model_names},
        reset_probability=_RESET_PROBABILITY,
        num_evaluations=_MIN_EVALUATIONS,
        threads=threads,
        device=device,
        precision=precision,
    )
    seq_len = min(train.seq_len, max(1, num_train_chars // 2))
    batch_size = min(train.batch_size, max(1, num_train_chars // seq_len))
    notices = []
    if (batch_size, seq_len) != (train.batch_size, train.seq_len):
        notices.append(
            f"{num_train_chars:,} characters are few: trained in batches of {batch_size} x "
            f"{seq_len} instead of {train.batch_size} x {train.seq_len}"
        )
    epochs = _expected_epochs(budget, model, train, num_train_chars)
    if wishes.dropout is None:
        model = replace(model, dropout=round(min(_MAX_DROPOUT, _DROPOUT_PER_EPOCH * epochs), 2))
    if wishes.weight_decay is None:
        decay = min(_MAX_WEIGHT_DECAY, max(_MIN_WEIGHT_DECAY, _WEIGHT_DECAY_PER_EPOCH * epochs))
        train = replace(train, weight_decay=round(decay, 2))
    train = replace(
        train,
        batch_size=batch_size,
        seq_len=seq_len,
        num_evaluations=_num_evaluations(budget, num_train_chars, batch_size * seq_len),
    )
    return Plan(model=model, train=train, notices=tuple(notices))


def _expected_epochs(
    budget: Budget, model: ModelConfig, train: TrainConfig, num_train_chars: int
) -> float:
    """How often the text will be read; by the clock only roughly."""
    if budget.epochs is not None:
        return budget.epochs
    if budget.steps is not None:
        return budget.steps * train.chars_per_step / num_train_chars
    assert budget.minutes is not None
    speed = _OPERATIONS_PER_SECOND[train.precision] * (1 if train.device == "cpu" else _GPU_SPEEDUP)
    chars_per_second = speed / (_OPERATIONS_PER_WEIGHT * model.num_parameters)
    return budget.minutes * 60 * chars_per_second / num_train_chars


def _num_evaluations(budget: Budget, num_train_chars: int, chars_per_step: int) -> int:
    """Enough to see the run's course and to keep its best model, at a few percent of its time."""
    total_steps = budget.total_steps(num_chars=num_train_chars, chars_per_step=chars_per_step)
    if total_steps is None:
        assert budget.minutes is not None
        wanted = budget.minutes * _EVALUATIONS_PER_MINUTE
    else:
        wanted = total_steps * chars_per_step / num_train_chars * _EVALUATIONS_PER_EPOCH
    number = max(_MIN_EVALUATIONS, min(_MAX_EVALUATIONS, round(wanted)))
    return number if total_steps is None else min(number, total_steps)
