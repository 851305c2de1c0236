"""Auto-configuration: every setting that the user left open, from text, budget and machine.

Two rules, fitted on the runs in tests/benchmarks/LOG.md. Size: a model should read about six
characters for each parameter of its recurrent stack; a larger one is left half trained, a smaller
one has nothing more to learn. Regularization: it grows with the parameters per character of the
text and with the number of epochs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from charlstm.config import Budget, Device, Precision, TrainConfig
from charlstm.errors import TrainingError
from charlstm.model.config import ModelConfig
from charlstm.settings import TrainSettings, chosen
from charlstm.training.pacing import EVALUATION_SHARE

_CHARS_PER_PARAMETER: Final = 6.0
# Of the recurrent stack, for each character of the text: more were never seen to help.
_MAX_PARAMETERS_PER_CHAR: Final = 30.0
# Where the clock is no limit, and the sizes to choose from where it is one: steps of 64, which
# vector units divide evenly. The smallest are for texts of thousands of different characters, whose
# softmax takes most of the time. cuDNN keeps the weights of a layer on the chip, its fastest
# way with small steps, only for multiples of 128 up to 1024, of layer and input, in float16
# (`use_persist_common_heuristics` in PyTorch's aten/src/ATen/native/cudnn/RNN.cpp); larger layers
# fill a GPU without.
_HIDDEN_SIZE: Final = 256
_HIDDEN_SIZES: Final = (64, 96, *range(128, 1024 + 1, 64))
_CUDA_HIDDEN_SIZES: Final = tuple(range(128, 2048 + 1, 128))
_EMBEDDING_SIZE: Final = 64
_CUDA_EMBEDDING_SIZE: Final = 128
_NUM_LAYERS: Final = 2
# Streams and characters of a step. Larger steps read more in the same time, as they share the
# optimizer's work among more characters. Of 16 million characters of a text that is hardly repeated
# 4,000 steps learned the most, 2,000 lost 0.010 nats, 8,000 lost 0.005. Where a text is read often
# anyway, to read it still more often gains nothing.
_STEP_SHAPES: Final = ((32, 64), (64, 64), (128, 64), (128, 128))
_MIN_STEPS: Final = 3000
_MAX_EPOCHS_IN_LARGER_STEPS: Final = 20.0
_LEARNING_RATE: Final = 0.012
# Regularization by parameters per training character and by epochs, and its bounds.
_MIN_WEIGHT_DECAY: Final = 0.2
_WEIGHT_DECAY_PER_PARAMETER: Final = 0.1
_MAX_WEIGHT_DECAY: Final = 0.75
# Of embedding and head. After equal numbers of characters it gained 0.5 nats on 20 kB, read 75
# times, 0.03 to 0.05 on 200 kB, read 18 times, and 0.09 on poems with 6,000 different characters.
_VOCABULARY_DECAY_PER_PARAMETER: Final = 0.08
_MAX_VOCABULARY_DECAY: Final = 0.8
_DROPOUT_PER_EPOCH: Final = 0.015
_MAX_DROPOUT: Final = 0.6
_PARAMETERS_AT_HALF_DROPOUT: Final = 3.5  # of the maximum
_EPOCHS_WITHOUT_RECURRENT_DROPOUT: Final = 6.0
_RECURRENT_DROPOUT_PER_EPOCH: Final = 0.0125
_MAX_RECURRENT_DROPOUT: Final = 0.4
_OPERATIONS_PER_PARAMETER: Final = 6  # per character, forward and backward
# The softmax walks through the logits: as many products could be made meanwhile for each of them.
_OPERATIONS_PER_LOGIT: Final = 400
# The first guess before it is measured: what training reaches on two cores with bfloat16; on a GPU
# of large models, since small ones take hardly less time there than those of the middle.
_OPERATIONS_PER_SECOND: Final = {"cpu": 2e11, "mps": 2e11, "cuda": 5e13}
# Sizes whose steps are timed.
_MAX_MEASURED: Final = 3
# Often enough to learn how a text begins, too seldom to cost anything in its middle.
_RESET_PROBABILITY: Final = 0.01
_MIN_EVALUATIONS: Final = 4
_MAX_EVALUATIONS: Final = 20
_EVALUATIONS_PER_MINUTE: Final = 1.5
_EVALUATIONS_PER_EPOCH: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a training runs on, resolved."""

    device: Device
    precision: Precision
    threads: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Complete configurations, and the reasons.

    Args:
        num_chars: characters to be read in training; the expected number for a budget in minutes.
        epochs: the same in passes over the text.
        notices: requested settings that had to be reduced.
    """

    model: ModelConfig
    train: TrainConfig
    num_chars: float
    epochs: float
    reason: str
    notices: tuple[str, ...]


# Seconds of a step of each candidate; None where it doesn't fit in memory.
Candidate = tuple[ModelConfig, TrainConfig]
StepTimes = Callable[[Sequence[Candidate]], Sequence[float | None]]


def make_plan(
    settings: TrainSettings,
    *,
    num_train_chars: int,
    num_characters: int,
    budget: Budget,
    machine: Machine,
    step_times: StepTimes | None = None,
    seconds_used: Callable[[], float] = lambda: 0.0,
) -> Plan:
    """Choose every setting that the user left open.

    Args:
        settings: explicit values win.
        step_times: measures candidates for a budget in minutes, on which nothing else depends;
            None estimates them for typical hardware.
        seconds_used: of a budget in minutes, by loading and by measuring; no text is read then.

    Raises:
        ConfigError: when a requested setting is impossible.
        TrainingError: when not even the smallest model fits in memory.
    """
    speed = None
    if budget.minutes is not None:
        speed = _Speed(budget.minutes * 60, step_times, num_train_chars)
    # With a number of steps, larger ones would be more work.
    may_grow = budget.steps is None and settings.batch_size is settings.seq_len is None
    draft = None
    for shape in _STEP_SHAPES if may_grow else _STEP_SHAPES[:1]:
        if draft is not None and not draft.has_time_for(shape, num_train_chars):
            break
        larger = _draft(shape, settings, machine, budget, speed, num_train_chars, num_characters)
        if draft is not None and not larger.has_time_for(shape, num_train_chars):
            break
        draft = larger
    assert draft is not None
    model, train, num_chars = draft.model, draft.train, draft.num_chars
    if budget.minutes is not None:
        num_chars *= (1.0 - EVALUATION_SHARE) * (1.0 - seconds_used() / (budget.minutes * 60))
        num_chars = max(num_chars, float(train.chars_per_step))  # one step is always made
    epochs = num_chars / num_train_chars
    total_steps = budget.total_steps(num_chars=num_train_chars, chars_per_step=train.chars_per_step)
    about = "about " if total_steps is None else ""
    return Plan(
        model=model,
        train=replace(
            _regularized(model, train, settings, num_train_chars),
            num_evaluations=_num_evaluations(budget, total_steps, epochs),
        ),
        num_chars=num_chars,
        epochs=epochs,
        reason=f"{about}{_rounded(num_chars)} characters, {_rounded(epochs)} epochs",
        notices=draft.notices,
    )


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A plan with one shape of steps, before it is regularized."""

    model: ModelConfig
    train: TrainConfig
    num_chars: float
    notices: tuple[str, ...]

    def has_time_for(self, shape: tuple[int, int], num_train_chars: int) -> bool:
        """Return whether steps of this shape, larger than usual, are worth it."""
        return (
            not self.notices
            and self.num_chars >= _MIN_STEPS * shape[0] * shape[1]
            and self.num_chars <= _MAX_EPOCHS_IN_LARGER_STEPS * num_train_chars
        )


def _draft(
    shape: tuple[int, int],
    settings: TrainSettings,
    machine: Machine,
    budget: Budget,
    speed: "_Speed | None",
    num_train_chars: int,
    num_characters: int,
) -> _Draft:
    # Validated as requested, before it is reduced to fit the text.
    train, notices = _made_to_fit(
        TrainConfig(
            batch_size=chosen(settings.batch_size, shape[0]),
            seq_len=chosen(settings.seq_len, shape[1]),
            learning_rate=chosen(settings.learning_rate, _LEARNING_RATE),
            weight_decay=chosen(settings.weight_decay, _MIN_WEIGHT_DECAY),
            seed=chosen(settings.seed, 0),
            # With steps and epochs a run does what was asked for.
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
    return _Draft(model=model, train=train, num_chars=num_chars, notices=notices)


def _made_to_fit(train: TrainConfig, num_train_chars: int) -> tuple[TrainConfig, tuple[str, ...]]:
    """Batches that a short text can fill, and a notice where that makes them smaller."""
    seq_len = min(train.seq_len, max(1, num_train_chars // 2))
    batch_size = min(train.batch_size, max(1, num_train_chars // seq_len))
    if (batch_size, seq_len) == (train.batch_size, train.seq_len):
        return train, ()
    notice = (
        f"{num_train_chars:,} characters are few: batches of {batch_size} x "
        f"{seq_len} instead of {train.batch_size} x {train.seq_len}"
    )
    return replace(train, batch_size=batch_size, seq_len=seq_len), (notice,)


class _Speed:
    """How much each size reads in the time, and which size suits it.

    Up to three sizes are measured; what others take is estimated, corrected by a line through
    those: overhead that every step has, and time for each operation.

    Args:
        seconds: of the budget.
    """

    def __init__(self, seconds: float, step_times: StepTimes | None, num_train_chars: int) -> None:
        self._seconds = seconds
        self._step_times = step_times
        self._num_train_chars = num_train_chars

    def choose(
        self, models: Sequence[ModelConfig], train: TrainConfig
    ) -> tuple[ModelConfig, float, tuple[str, ...]]:
        """Choose the largest of some models, in ascending order, that can be trained in the time.

        Returns:
            The model, how many characters it will read, and notices.

        Raises:
            TrainingError: when not even the smallest fits in memory.
        """
        times: dict[ModelConfig, float] = {}
        notices: tuple[str, ...] = ()
        model = self._largest(models, train, times)
        while self._step_times is not None and model not in times:
            if len(times) == _MAX_MEASURED:
                model = self._largest(
                    sorted(times, key=lambda one: one.num_stack_parameters), train, times
                )
                break
            timed = (*times, model)
            found = self._step_times([(one, train) for one in timed])
            pairs = zip(timed, found, strict=True)
            times |= {one: time for one, time in pairs if time is not None}
            if model not in times:
                models = models[: models.index(model)]
                notices = (f"{model} does not fit in memory: a smaller model",)
                if not models:
                    raise TrainingError(f"{model} does not fit in memory")
            model = self._largest(models, train, times)
        return model, self._num_chars(model, train, times), notices

    def _largest(
        self, models: Sequence[ModelConfig], train: TrainConfig, times: Mapping[ModelConfig, float]
    ) -> ModelConfig:
        suited = [
            model
            for model in models[1:]
            if self._num_chars(model, train, times)
            >= _CHARS_PER_PARAMETER * model.num_stack_parameters
            and model.num_stack_parameters <= _MAX_PARAMETERS_PER_CHAR * self._num_train_chars
        ]
        return suited[-1] if suited else models[0]

    def _num_chars(
        self, model: ModelConfig, train: TrainConfig, times: Mapping[ModelConfig, float]
    ) -> float:
        return self._seconds / _step_seconds(model, train, times) * train.chars_per_step


def _step_seconds(
    model: ModelConfig, train: TrainConfig, times: Mapping[ModelConfig, float]
) -> float:
    """As measured; else on the line through the nearest two that were, or through the only one."""
    if model in times:
        return times[model]
    wanted = _estimated_seconds(model, train)
    known = sorted(
        ((_estimated_seconds(one, train), time) for one, time in times.items()),
        key=lambda pair: abs(pair[0] - wanted),
    )
    if not known:
        return wanted
    x, y = known[0]
    if len(known) == 1:
        return wanted * y / x
    other_x, other_y = known[1]
    # Never less than nothing, and never faster per operation than a twentieth of the nearest.
    slope = max((other_y - y) / (other_x - x), y / x / 20)
    return max(y + slope * (wanted - x), y / 20)


def _estimated_seconds(model: ModelConfig, train: TrainConfig) -> float:
    """Estimate a step's time on typical hardware."""
    operations = _operations_per_char(model, train) * train.chars_per_step
    return operations / _OPERATIONS_PER_SECOND[train.device]


def _operations_per_char(model: ModelConfig, train: TrainConfig) -> float:
    """Forward, backward, and the optimizer's share: its work is the same for any batch."""
    # Four Newton-Schulz steps for each [4H, H] matrix, nine products of H x H x H each.
    num_matrices = 2 * model.num_layers - 1
    optimizer = num_matrices * 4 * 9 * 2 * model.hidden_size**3
    # Those that every character is multiplied with: of the embedding it only takes a row.
    active = model.num_parameters - model.num_inputs * model.embedding_size
    softmax = _OPERATIONS_PER_LOGIT * model.num_outputs
    return _OPERATIONS_PER_PARAMETER * active + softmax + optimizer / train.chars_per_step


def _regularized(
    model: ModelConfig, train: TrainConfig, settings: TrainSettings, num_train_chars: int
) -> TrainConfig:
    """Set dropout, recurrent dropout and weight decay; explicit dropouts apply from the start."""
    parameters = model.num_parameters / num_train_chars
    # The maximum of each, and the epochs at which it is reached: the number of epochs follows from
    # the speed.
    if settings.dropout is not None:
        train = replace(train, dropout=settings.dropout)
    else:
        dropout = round(_MAX_DROPOUT * parameters / (_PARAMETERS_AT_HALF_DROPOUT + parameters), 2)
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
        decay = _MIN_WEIGHT_DECAY + _WEIGHT_DECAY_PER_PARAMETER * parameters
        train = replace(train, weight_decay=round(min(_MAX_WEIGHT_DECAY, decay), 2))
    vocabulary_decay = min(_MAX_VOCABULARY_DECAY, _VOCABULARY_DECAY_PER_PARAMETER * parameters)
    if train.weight_decay == 0:  # as requested: then nothing decays
        vocabulary_decay = 0.0
    return replace(train, vocabulary_decay=round(vocabulary_decay, 2))


def _rounded(number: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{float(f'{number:.3g}'):,.7g}" if number < 1e6 else f"{float(f'{number:.3g}'):,.0f}"


def _num_evaluations(budget: Budget, total_steps: int | None, epochs: float) -> int:
    """Enough to see the run's course and to keep its best model, at a few percent of its time."""
    wanted = epochs * _EVALUATIONS_PER_EPOCH
    if budget.minutes is not None:
        wanted = budget.minutes * _EVALUATIONS_PER_MINUTE
    number = max(_MIN_EVALUATIONS, min(_MAX_EVALUATIONS, round(wanted)))
    return number if total_steps is None else min(number, total_steps)
