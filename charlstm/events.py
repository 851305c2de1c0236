"""What a training run reports, in order: started, stepped and evaluated many times, finished."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Started:
    """The run starts or resumes."""

    step: int
    num_parameters: int
    world_size: int
    local_batch_size: int


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """A gradient step was made, or skipped because its gradient was not finite.

    A GPU's losses are read every few steps: what is said of them is true of all since the last
    reading.

    Args:
        progress: the part of the budget that is used, 0 to 1.
        elapsed_seconds: since the command began, earlier sessions of the run included.
        seconds_left: to the end of the budget.
        chars_per_second: over this session's gradient steps.
        train_bits_per_char: running mean over the latest steps, in the steps' own precision.
        dropout: fraction of the layers' outputs that is hidden from the head.
        recurrent_dropout: share of the recurrent weights that is zero.
        threads: CPU threads that the next steps use, but for a trial of other numbers.
        chose_threads: their number has just been changed.
        was_slowed: the step was skipped and the learning rate halved; float16 may also only have
            scaled its loss too far, which mends itself.
    """

    step: int
    epoch: float
    progress: float
    elapsed_seconds: float
    seconds_left: float
    chars_per_second: float
    train_bits_per_char: float
    learning_rate: float
    dropout: float
    recurrent_dropout: float
    threads: int
    chose_threads: bool
    was_skipped: bool
    was_slowed: bool


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The validation text was scored, in float32 and in parallel streams.

    Args:
        val_bits_per_char: None when the corpus has no validation text.
        num_val_chars: how many characters were scored.
        num_val_streams: each began from an empty context.
        temperature: the softmax temperature with the lowest validation cost, used for the figure.
        is_best: lower than ever before in this run; always, where nothing is validated.
    """

    step: int
    epoch: float
    elapsed_seconds: float
    chars_per_second: float
    train_bits_per_char: float
    learning_rate: float
    dropout: float
    recurrent_dropout: float
    threads: int
    val_bits_per_char: float | None
    num_val_chars: int
    num_val_streams: int
    temperature: float
    is_best: bool


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The budget is used, the run was asked to stop, or it stopped early.

    Args:
        best_epoch: when validation was best.
        stopped_early: validation had become far worse than at its best.
    """

    step: int
    epoch: float
    elapsed_seconds: float
    chars_per_second: float
    best_val_bits_per_char: float | None
    was_interrupted: bool
    best_epoch: float = 0.0
    stopped_early: bool = False


@dataclass(frozen=True, kw_only=True)
class SaveDue:
    """It was asked to save between evaluations, and all processes are ready to."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint is safe on the disk."""

    step: int
    path: str


@dataclass(frozen=True, kw_only=True)
class SavingFailed:
    """A checkpoint could not be written; the one before it is intact and training continues."""

    step: int
    reason: str


TrainerEvent = Started | Stepped | Evaluated | SaveDue | Finished
# What users are told.
Event = Started | Stepped | Evaluated | Finished | Saved | SavingFailed
