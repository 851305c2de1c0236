"""Auto-configuration: choose the settings that the user left open from text, budget and machine.

Two rules, fitted on the runs in tests/benchmarks/LOG.md. Size: a model should read about six
characters per parameter of its recurrent layers; larger models end undertrained, smaller ones lack
capacity. Regularization grows with the parameters per character of the text and with the number of
epochs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from charlstm.config import Budget, Device, Precision, TrainConfig
from charlstm.errors import TrainingError
from charlstm.model.config import ModelConfig
from charlstm.settings import TrainSettings, chosen
from charlstm.training.budgets import EVALUATION_FRACTION

_CHARS_PER_PARAMETER: Final = 6.0
# Recurrent parameters per character of the text; more never helped.
_MAX_PARAMETERS_PER_CHAR: Final = 30.0
# The default size without a time limit, and the candidates with one: multiples of 64, to suit
# vector units. The smallest are for vocabularies of thousands, where the softmax takes most of the
# time. cuDNN's persistent kernels, its fastest for small steps, need float16 and multiples of 128
# up to 1024 as hidden and input size (`use_persist_common_heuristics` in PyTorch's
# aten/src/ATen/native/cudnn/RNN.cpp); larger layers fill a GPU without them.
_HIDDEN_SIZE: Final = 256
_HIDDEN_SIZES: Final = (64, 96, *range(128, 1024 + 1, 64))
_CUDA_HIDDEN_SIZES: Final = tuple(range(128, 2048 + 1, 128))
_EMBEDDING_SIZE: Final = 64
_CUDA_EMBEDDING_SIZE: Final = 128
_NUM_LAYERS: Final = 2
# Batch size and sequence length. Larger steps read more characters in the same time, because the
# optimizer's work is amortized over more of them, but need at least `_MIN_STEPS`: on 16 million
# characters with few repetitions 4,000 steps were best, 2,000 were 0.010 nats worse, 8,000 0.005.
# With many epochs, reading more characters doesn't help.
_STEP_SHAPES: Final = ((32, 64), (64, 64), (128, 64), (128, 128))
_MIN_STEPS: Final = 3000
_MAX_EPOCHS_IN_LARGER_STEPS: Final = 20.0
_LEARNING_RATE: Final = 0.012
# Regularization by parameters per training character and by epochs, and its bounds.
_MIN_WEIGHT_DECAY: Final = 0.2
_WEIGHT_DECAY_PER_PARAMETER: Final = 0.1
_MAX_WEIGHT_DECAY: Final = 0.75
# Embedding weight decay. At equal numbers of characters it gained 0.5 nats on 20 kB in 75 epochs,
# 0.03 to 0.05 on 200 kB in 18 epochs, and 0.09 on poems with 6,000 different characters.
_EMBEDDING_DECAY_PER_PARAMETER: Final = 0.08
_MAX_EMBEDDING_DECAY: Final = 0.8
_DROPOUT_PER_EPOCH: Final = 0.015
_MAX_DROPOUT: Final = 0.6
_PARAMETERS_AT_HALF_DROPOUT: Final = 3.5  # of the maximum
_EPOCHS_WITHOUT_RECURRENT_DROPOUT: Final = 6.0
_RECURRENT_DROPOUT_PER_EPOCH: Final = 0.0125
_MAX_RECURRENT_DROPOUT: Final = 0.4
_OPERATIONS_PER_PARAMETER: Final = 6  # per character, forward and backward
# The softmax is limited by memory bandwidth; this is its time per logit, in operations.
_OPERATIONS_PER_LOGIT: Final = 400
# Estimate before any measurement: the rate of training on two cores with bfloat16, or of large
# models on a GPU, where small models take about as long as medium ones.
_OPERATIONS_PER_SECOND: Final = {"cpu": 2e11, "mps": 2e11, "cuda": 5e13}
# Maximum number of model sizes to benchmark.
_MAX_MEASURED: Final = 3
# Often enough to learn to start from BOS, rarely enough to cost nothing elsewhere.
_RESET_PROBABILITY: Final = 0.01
_MIN_EVALUATIONS: Final = 4
_MAX_EVALUATIONS: Final = 20
_EVALUATIONS_PER_MINUTE: Final = 1.5
_EVALUATIONS_PER_EPOCH: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Resolved device, precision and number of threads."""

    device: Device
    precision: Precision
    threads: int


@dataclass(frozen=True, kw_only=True)
class AutoConfig:
    """Result of auto-configuration.

    Args:
        num_chars: characters to read in training; an estimate for a budget in minutes.
        epochs: the same in epochs.
        extent: summary of `num_chars` and `epochs` for display.
        notices: messages about reduced settings.
    """

    model: ModelConfig
    train: TrainConfig
    num_chars: float
    epochs: float
    extent: str
    notices: tuple[str, ...]


ConfigPair = tuple[ModelConfig, TrainConfig]
# Returns the step time of each candidate in seconds; None if it doesn't fit in memory.
StepTimes = Callable[[Sequence[ConfigPair]], Sequence[float | None]]


def auto_configure(
    settings: TrainSettings,
    *,
    num_train_chars: int,
    num_characters: int,
    budget: Budget,
    machine: Machine,
    step_times: StepTimes | None = None,
    seconds_used: Callable[[], float] = lambda: 0.0,
) -> AutoConfig:
    """Choose the settings that the user left open.

    Args:
        settings: the user's settings, which are never changed except to fit a short text.
        num_characters: vocabulary size.
        step_times: benchmark of candidates, used only for a budget in minutes; None to estimate
            step times for typical hardware.
        seconds_used: returns the part of a budget in minutes spent on loading and benchmarking.

    Raises:
        ConfigError: if a setting is invalid.
        TrainingError: if not even the smallest model fits in memory.
    """
    speed = None
    if budget.minutes is not None:
        speed = _Speed(budget.minutes * 60, step_times, num_train_chars)
    # With a budget in steps, larger steps would take more time.
    may_grow = budget.steps is None and settings.batch_size is settings.seq_len is None
    choice = None
    for shape in _STEP_SHAPES if may_grow else _STEP_SHAPES[:1]:
        if choice is not None and not choice.has_time_for(shape, num_train_chars):
            break
        larger = _choose_for_step_shape(
            shape, settings, machine, budget, speed, num_train_chars, num_characters
        )
        if choice is not None and not larger.has_time_for(shape, num_train_chars):
            break
        choice = larger
    assert choice is not None
    model, train, num_chars = choice.model, choice.train, choice.num_chars
    if budget.minutes is not None:
        num_chars *= (1.0 - EVALUATION_FRACTION) * (1.0 - seconds_used() / (budget.minutes * 60))
        num_chars = max(num_chars, float(train.chars_per_step))  # at least one step
    epochs = num_chars / num_train_chars
    total_steps = budget.total_steps(num_chars=num_train_chars, chars_per_step=train.chars_per_step)
    about = "about " if total_steps is None else ""
    return AutoConfig(
        model=model,
        train=replace(
            _with_regularization(model, train, settings, num_train_chars),
            num_evaluations=_num_evaluations(budget, total_steps, epochs),
        ),
        num_chars=num_chars,
        epochs=epochs,
        extent=f"{about}{_rounded(num_chars)} characters, {_rounded(epochs)} epochs",
        notices=choice.notices,
    )


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """Configurations for one batch size and sequence length, without regularization."""

    model: ModelConfig
    train: TrainConfig
    num_chars: float
    notices: tuple[str, ...]

    def has_time_for(self, shape: tuple[int, int], num_train_chars: int) -> bool:
        """Return whether `_MIN_STEPS` steps of this shape fit the budget, in few enough epochs."""
        return (
            not self.notices
            and self.num_chars >= _MIN_STEPS * shape[0] * shape[1]
            and self.num_chars <= _MAX_EPOCHS_IN_LARGER_STEPS * num_train_chars
        )


def _choose_for_step_shape(
    shape: tuple[int, int],
    settings: TrainSettings,
    machine: Machine,
    budget: Budget,
    speed: "_Speed | None",
    num_train_chars: int,
    num_characters: int,
) -> _Choice:
    # TrainConfig validates the user's settings before they are reduced to fit the text.
    train, notices = _fit_to_text(
        TrainConfig(
            batch_size=chosen(settings.batch_size, shape[0]),
            seq_len=chosen(settings.seq_len, shape[1]),
            learning_rate=chosen(settings.learning_rate, _LEARNING_RATE),
            weight_decay=chosen(settings.weight_decay, _MIN_WEIGHT_DECAY),
            seed=chosen(settings.seed, 0),
            # Budgets in steps or epochs are used up by default.
            early_stop=chosen(settings.early_stop, budget.minutes is not None),
            device=machine.device,
            precision=machine.precision,
            threads=machine.threads,
            reset_probability=_RESET_PROBABILITY,
            num_evaluations=_MIN_EVALUATIONS,
        ),
        num_train_chars,
    )
    embedding_size = _CUDA_EMBEDDING_SIZE if machine.device == "cuda" else _EMBEDDING_SIZE
    model = ModelConfig(
        num_characters=num_characters,
        embedding_size=chosen(settings.embedding_size, embedding_size),
        hidden_size=chosen(settings.hidden_size, _HIDDEN_SIZE),
        num_layers=chosen(settings.num_layers, _NUM_LAYERS),
        cell=chosen(settings.cell, "lstm"),
    )
    if speed is not None:
        sizes = _CUDA_HIDDEN_SIZES if machine.device == "cuda" else _HIDDEN_SIZES
        models = [replace(model, hidden_size=size) for size in sizes]
        candidates = models if settings.hidden_size is None else [model]
        model, num_chars, too_large = speed.choose(candidates, train)
        notices += too_large
    else:
        steps = budget.total_steps(num_chars=num_train_chars, chars_per_step=train.chars_per_step)
        assert steps is not None
        num_chars = float(steps * train.chars_per_step)
    return _Choice(model=model, train=train, num_chars=num_chars, notices=notices)


def _fit_to_text(train: TrainConfig, num_train_chars: int) -> tuple[TrainConfig, tuple[str, ...]]:
    """Reduce the batches to what a short text can fill, with a notice if they get smaller."""
    seq_len = min(train.seq_len, max(1, num_train_chars // 2))
    batch_size = min(train.batch_size, max(1, num_train_chars // seq_len))
    if (batch_size, seq_len) == (train.batch_size, train.seq_len):
        return train, ()
    notice = (
        f"the text has only {num_train_chars:,} characters: training in batches of {batch_size} x "
        f"{seq_len} instead of {train.batch_size} x {train.seq_len}"
    )
    return replace(train, batch_size=batch_size, seq_len=seq_len), (notice,)


class _Speed:
    """Choice of the model size for a budget in minutes.

    Up to three sizes are benchmarked. The step times of the others are predicted from a line
    through the measured ones: an overhead per step plus a time per operation.

    Args:
        seconds: the budget.
    """

    def __init__(self, seconds: float, step_times: StepTimes | None, num_train_chars: int) -> None:
        self._seconds = seconds
        self._step_times = step_times
        self._num_train_chars = num_train_chars

    def choose(
        self, models: Sequence[ModelConfig], train: TrainConfig
    ) -> tuple[ModelConfig, float, tuple[str, ...]]:
        """Choose the largest model that can be trained in time.

        Args:
            models: candidates in ascending order of size.

        Returns:
            The model, the number of characters it will read, and notices.

        Raises:
            TrainingError: if not even the smallest fits in memory.
        """
        times: dict[ModelConfig, float] = {}
        notices: tuple[str, ...] = ()
        model = self._largest(models, train, times)
        while self._step_times is not None and model not in times:
            if len(times) == _MAX_MEASURED:
                model = self._largest(
                    sorted(times, key=lambda timed: timed.num_stack_parameters), train, times
                )
                break
            to_time = (*times, model)
            measured = self._step_times([(timed, train) for timed in to_time])
            pairs = zip(to_time, measured, strict=True)
            times |= {timed: seconds for timed, seconds in pairs if seconds is not None}
            if model not in times:
                models = models[: models.index(model)]
                notices = (f"{model} does not fit in memory: training a smaller model",)
                if not models:
                    raise TrainingError(f"{model} does not fit in memory")
            model = self._largest(models, train, times)
        return model, self._num_chars(model, train, times), notices

    def _largest(
        self, models: Sequence[ModelConfig], train: TrainConfig, times: Mapping[ModelConfig, float]
    ) -> ModelConfig:
        trainable = [
            model
            for model in models[1:]
            if self._num_chars(model, train, times)
            >= _CHARS_PER_PARAMETER * model.num_stack_parameters
            and model.num_stack_parameters <= _MAX_PARAMETERS_PER_CHAR * self._num_train_chars
        ]
        return trainable[-1] if trainable else models[0]

    def _num_chars(
        self, model: ModelConfig, train: TrainConfig, times: Mapping[ModelConfig, float]
    ) -> float:
        return self._seconds / _step_seconds(model, train, times) * train.chars_per_step


def _step_seconds(
    model: ModelConfig, train: TrainConfig, times: Mapping[ModelConfig, float]
) -> float:
    """Return a step's time in seconds, measured or predicted from the measured ones.

    The prediction is a line through the two nearest measurements, or proportional to a single one.
    """
    if model in times:
        return times[model]
    estimate = _estimate_seconds(model, train)
    measurements = sorted(
        ((_estimate_seconds(measured, train), seconds) for measured, seconds in times.items()),
        key=lambda pair: abs(pair[0] - estimate),
    )
    if not measurements:
        return estimate
    x, y = measurements[0]
    if len(measurements) == 1:
        return estimate * y / x
    other_x, other_y = measurements[1]
    # Slope and time are at least a twentieth of the nearest measurement's, and so positive.
    slope = max((other_y - y) / (other_x - x), y / x / 20)
    return max(y + slope * (estimate - x), y / 20)


def _estimate_seconds(model: ModelConfig, train: TrainConfig) -> float:
    """Estimate a step's time on typical hardware."""
    operations = _operations_per_char(model, train) * train.chars_per_step
    return operations / _OPERATIONS_PER_SECOND[train.device]


def _operations_per_char(model: ModelConfig, train: TrainConfig) -> float:
    """Estimate the operations of a step per character: forward, backward and optimizer."""
    # Four Newton-Schulz iterations for each [4H, H] matrix, nine H x H x H products each.
    num_matrices = 2 * model.num_layers - 1
    optimizer = num_matrices * 4 * 9 * 2 * model.hidden_size**3
    # Without the embedding, which is a lookup.
    active = model.num_parameters - model.num_inputs * model.embedding_size
    softmax = _OPERATIONS_PER_LOGIT * model.num_outputs
    return _OPERATIONS_PER_PARAMETER * active + softmax + optimizer / train.chars_per_step


def _with_regularization(
    model: ModelConfig, train: TrainConfig, settings: TrainSettings, num_train_chars: int
) -> TrainConfig:
    """Set dropouts and weight decay; only dropouts that the user set don't depend on the epochs."""
    parameters_per_char = model.num_parameters / num_train_chars
    # Dropouts depend on the epochs, which in turn depend on the speed of training. So only the
    # maximum is chosen here, and the number of epochs at which it is reached.
    if settings.dropout is not None:
        train = replace(train, dropout=settings.dropout)
    else:
        saturation = parameters_per_char / (_PARAMETERS_AT_HALF_DROPOUT + parameters_per_char)
        dropout = round(_MAX_DROPOUT * saturation, 2)
        ramp = (0.0, round(dropout / _DROPOUT_PER_EPOCH, 1))
        train = replace(train, dropout=dropout, dropout_epochs=ramp)
    if settings.recurrent_dropout is not None:
        train = replace(train, recurrent_dropout=settings.recurrent_dropout)
    else:
        low = _EPOCHS_WITHOUT_RECURRENT_DROPOUT
        high = round(low + _MAX_RECURRENT_DROPOUT / _RECURRENT_DROPOUT_PER_EPOCH, 1)
        train = replace(
            train,
            recurrent_dropout=_MAX_RECURRENT_DROPOUT,
            recurrent_dropout_epochs=(low, high),
        )
    if settings.weight_decay is None:
        weight_decay = _MIN_WEIGHT_DECAY + _WEIGHT_DECAY_PER_PARAMETER * parameters_per_char
        train = replace(train, weight_decay=round(min(_MAX_WEIGHT_DECAY, weight_decay), 2))
    embedding_decay = _EMBEDDING_DECAY_PER_PARAMETER * parameters_per_char
    if train.weight_decay == 0:  # the user switched weight decay off
        embedding_decay = 0.0
    return replace(train, vocabulary_decay=round(min(_MAX_EMBEDDING_DECAY, embedding_decay), 2))


def _rounded(number: float) -> str:
    """Format a number with three significant digits and without an exponent."""
    return f"{float(f'{number:.3g}'):,.7g}" if number < 1e6 else f"{float(f'{number:.3g}'):,.0f}"


def _num_evaluations(budget: Budget, total_steps: int | None, epochs: float) -> int:
    """Return the number of evaluations, which take a few percent of the run's time."""
    number = epochs * _EVALUATIONS_PER_EPOCH
    if budget.minutes is not None:
        number = budget.minutes * _EVALUATIONS_PER_MINUTE
    bounded = max(_MIN_EVALUATIONS, min(_MAX_EVALUATIONS, round(number)))
    return bounded if total_steps is None else min(bounded, total_steps)
