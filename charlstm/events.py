"""Events of a training run, in order: one Started, many Stepped and Evaluated, one Finished."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Started:
    """The run started or resumed."""

    step: int
    num_parameters: int
    world_size: int
    local_batch_size: int


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """A gradient step was made, or skipped because its gradient was not finite.

    On a GPU, losses are read back every few steps; the loss fields then cover all steps since the
    last read.

    Args:
        progress: fraction of the budget used, 0 to 1.
        elapsed_seconds: time since the command started, including earlier sessions of the run.
        seconds_left: time to the end of the budget.
        chars_per_second: average over this session's gradient steps.
        train_bits_per_char: running mean over the latest steps, in the training precision.
        dropout: fraction of the layers' outputs that is zeroed.
        recurrent_dropout: fraction of the recurrent weights that is zeroed.
        threads: CPU threads used, except during trials of other numbers.
        chose_threads: the number of threads has just changed.
        was_slowed: the step was skipped and the learning rate halved. A skipped float16 step may
            only need a smaller loss scale, which is adjusted automatically.
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
        val_bits_per_char: loss at `temperature`; None without a validation text.
        num_val_chars: number of characters scored.
        num_val_streams: number of parallel streams, each starting from an empty context.
        temperature: softmax temperature with the lowest validation loss.
        is_best: lowest loss of this run so far; always true without a validation text.
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
        best_epoch: epoch of the lowest validation loss.
        stopped_early: the validation loss had risen far above its minimum.
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
    """A save was requested between evaluations, and every process is ready."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint was written and synced to disk."""

    step: int
    path: str


@dataclass(frozen=True, kw_only=True)
class SavingFailed:
    """A checkpoint could not be written; the previous one is intact and training continues."""

    step: int
    reason: str


TrainerEvent = Started | Stepped | Evaluated | SaveDue | Finished
# Events passed on to users.
Event = Started | Stepped | Evaluated | Finished | Saved | SavingFailed
