"""The training loop: a generator of events, which neither prints nor saves anything."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charlstm.config import MAX_BITS, MAX_SECONDS, Budget, Dropouts, TrainConfig, from_plain
from charlstm.errors import CheckpointError, ConfigError
from charlstm.evaluation.scoring import fit_temperature
from charlstm.events import Evaluated, Finished, SaveDue, Started, Stepped, TrainerEvent
from charlstm.model.checkpoints import Arrays, TrainingState
from charlstm.model.config import ModelConfig
from charlstm.model.lstm import CharLSTM
from charlstm.settings import MAX_COUNT, require_int, require_real
from charlstm.system.distributed import SINGLE_PROCESS, World
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import least_unknown_probability
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.bucketing import batches_of
from charlstm.training.budgets import Clock, Forecast, Stopwatch, training_budget_for
from charlstm.training.hardware import explain_memory_errors
from charlstm.training.loss_meter import LossMeter, LossStatistics
from charlstm.training.optimization import entry, learning_rate_scale
from charlstm.training.step_benchmark import ThreadTuner

# Validation during training: enough characters to compare two evaluations of a run, in streams long
# enough that starting from an empty context hardly matters.
_MAX_VAL_CHARS: Final = 1 << 17
_MAX_VAL_STREAMS: Final = 32
_MIN_VAL_STREAM_LENGTH: Final = 4096
_MIN_VAL_CHARS: Final = 4096
# Early stopping: the validation loss exceeds its minimum by this factor, after this many times the
# steps to the minimum. It then doesn't recover even as the learning rate decays; on 500 characters
# the loss doubled within a minute.
_OVERFIT_LOSS_RATIO: Final = 1.2
_OVERFIT_STEP_RATIO: Final = 4
# A step that takes this many times the average, and more than a second, was interrupted by a pause
# of the process. It doesn't count for the speed.
_PAUSE_RATIO: Final = 50
_PAUSE_SECONDS: Final = 1.0


@dataclass(kw_only=True)
class _Counters:
    """Counters of a run, stored for resuming."""

    step: int = 0
    num_evaluations: int = 0
    num_early_evaluations: int = 0
    best_step: int = 0
    best_val_bits_per_char: float | None = None
    elapsed_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("step", "num_evaluations", "num_early_evaluations", "best_step"):
            require_int(name, getattr(self, name), 0, MAX_COUNT)
        require_real("elapsed_seconds", self.elapsed_seconds, 0.0, MAX_SECONDS)
        if self.best_val_bits_per_char is not None:
            require_real("bits per character", self.best_val_bits_per_char, 0.0, MAX_BITS)


@dataclass(frozen=True, kw_only=True)
class FromWeights:
    """Start a new run from the weights of another model."""

    weights: Arrays


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Resume an earlier session exactly."""

    weights: Arrays
    state: TrainingState


# None starts from random weights.
Start = FromWeights | Resume | None


class Trainer:
    """Training of a model over a budget.

    With a budget in steps or epochs, the result depends only on the settings. With a budget in
    minutes, the number of steps depends on the clock.

    Args:
        start: random weights, another model's weights, or an earlier session to resume.
        started_at: `clock` reading when the command started, from which a new run's minutes count.
        clock: returns seconds; replaced in tests.
        world: the processes of the run. Every process must consume the same events and call
            `state_dict` at the same ones; only the main process's clock is used.

    Raises:
        CheckpointError: if the state to resume from is incomplete or doesn't fit the model.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        config: TrainConfig,
        budget: Budget,
        *,
        train: EncodedText,
        val: EncodedText,
        start: Start = None,
        started_at: float | None = None,
        clock: Clock = time.monotonic,
        world: World = SINGLE_PROCESS,
    ) -> None:
        self._world = world
        self.config = config
        self._clock = clock
        self._num_train_chars = train.num_chars
        self._generator = torch.Generator().manual_seed(config.seed)
        self.model = CharLSTM(
            model_config,
            generator=self._generator,
            unknown_probability=least_unknown_probability(train.num_chars),
        ).to(config.device)
        self._bptt = TruncatedBPTT(self.model, config, world=world)
        self._threads: ThreadTuner | None = None
        if config.adapts_threads and config.device == "cpu" and world.size == 1:
            self._threads = ThreadTuner(config.threads, torch.set_num_threads)
        self._counters = _Counters()
        self._forecast = Forecast()
        self._batches = batches_of(train, config, bos_id=model_config.bos_id, world=world)
        self._losses = LossMeter(device=config.device, learning_rate=config.learning_rate)
        self._must_stop = False
        self._must_save = False
        self._num_val_chars: int | None = None
        match start:
            case FromWeights(weights=weights):
                self.model.load_arrays(weights)
            case Resume(weights=weights, state=state):
                self.model.load_arrays(weights)
                self._load_state_dict(state)
                # The time to load a resumed run doesn't count.
                started_at = None
        self._stopwatch = Stopwatch(
            used_seconds=self._counters.elapsed_seconds, started_at=started_at, clock=clock
        )
        self._training_budget = training_budget_for(
            budget,
            num_chars=train.num_chars,
            chars_per_step=config.chars_per_step,
            stopwatch=self._stopwatch,
        )
        num_streams = max(1, min(_MAX_VAL_STREAMS, val.num_chars // _MIN_VAL_STREAM_LENGTH))
        if self._num_val_chars is None:
            self._num_val_chars = self._choose_num_val_chars(val, num_streams)
        self._val = val.in_parallel(num_streams, max_chars=self._num_val_chars)
        # A longer budget reduces the progress; no evaluation would be due until it has caught up.
        num_evaluations = int(self._agree()[0] * config.num_evaluations)
        self._counters.num_evaluations = min(self._counters.num_evaluations, num_evaluations)
        self._session_steps = 0
        self._session_seconds = 0.0
        self._temperature = 1.0

    def stop(self) -> None:
        """Make `run` end after the current step, in every process."""
        self._must_stop = True

    def request_save(self) -> None:
        """Make `run` yield a `SaveDue` before one of the next steps, in every process."""
        self._must_save = True

    def run(self) -> Iterator[TrainerEvent]:
        """Train until the budget is used or `stop` is called.

        `weights` may be called after any event, `state_dict` after any except `Stepped`; with a
        single process on a CPU, also after `Stepped`.

        Raises:
            TrainingError: if training diverges (see `LossMeter`) or memory runs out.
        """
        counters = self._counters
        stopped_early = False
        started_at = self._clock()
        yield Started(
            step=counters.step,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            world_size=self._world.size,
            local_batch_size=self.config.batch_size // self._world.size,
        )
        self._training_budget.add_evaluation(self._clock() - started_at)
        while True:
            progress, must_stop, must_save, may_evaluate = self._agree()
            # Stops and saves wait for the next regular read of losses: an additional one could
            # change the step at which the learning rate is halved.
            if must_stop and self._losses.is_read:
                break
            if must_save and self._losses.is_read:
                self._must_save = False
                yield SaveDue()
            if (may_evaluate or progress >= 1.0) and self._is_evaluation_due(progress):
                evaluation_started_at = self._clock()
                self._losses.read(counters.step)
                evaluated = self._evaluate(progress)
                yield evaluated
                self._training_budget.add_evaluation(self._clock() - evaluation_started_at)
                stopped_early = self._only_overfits(evaluated)
            if progress >= 1.0 or stopped_early:
                break
            yield self._step(progress)
        self._losses.read(counters.step)
        yield Finished(
            step=counters.step,
            epoch=self._epoch,
            elapsed_seconds=self._stopwatch.elapsed(),
            chars_per_second=self._chars_per_second,
            best_val_bits_per_char=counters.best_val_bits_per_char,
            was_interrupted=must_stop,
            best_epoch=self.best_epoch,
            stopped_early=stopped_early,
        )

    @property
    def step(self) -> int:
        """The number of gradient steps so far, including skipped ones."""
        return self._counters.step

    @property
    def best_epoch(self) -> float:
        """The epoch of the lowest validation loss so far."""
        return self._epoch_of(self._counters.best_step)

    def weights(self) -> Arrays:
        """Return copies of the model's weights by name, float32."""
        return {name: _to_array(value) for name, value in self.model.state_dict().items()}

    def calibrated(self, weights: Arrays) -> Arrays:
        """Return the weights with the head divided by the latest evaluation's temperature."""
        head = ("head.weight", "head.bias")
        return weights | {name: weights[name] / np.float32(self._temperature) for name in head}

    def state_dict(self) -> TrainingState:
        """Return everything needed to resume exactly, except the weights.

        This is a collective operation: every process must call it.
        """
        assert self._losses.is_read, "not after Stepped"
        self._counters.elapsed_seconds = self._stopwatch.elapsed()
        tensors = {**self._bptt.state_dict(), "generator.batches": self._generator.get_state()}
        return TrainingState(
            arrays={name: _to_array(value) for name, value in tensors.items()},
            numbers={
                "counters": asdict(self._counters),
                "loss_meter": asdict(self._losses.statistics),
                "forecast": asdict(self._forecast),
                "batches": {"cursor": self._batches.cursor},
                "num_val_chars": self._num_val_chars,
            },
        )

    def _load_state_dict(self, state: TrainingState) -> None:
        tensors = {name: torch.tensor(value) for name, value in state.arrays.items()}
        try:
            self._bptt.load_state_dict(tensors)
            self._generator.set_state(entry(tensors, "generator.batches"))
            self._counters = from_plain(_Counters, entry(state.numbers, "counters"))
            self._losses.statistics = from_plain(LossStatistics, entry(state.numbers, "loss_meter"))
            self._forecast = from_plain(Forecast, entry(state.numbers, "forecast"))
            cursor = entry(entry(state.numbers, "batches"), "cursor")
            require_int("cursor", cursor, 0, MAX_COUNT)
            self._batches.cursor = cursor
            self._num_val_chars = state.numbers.get("num_val_chars", _MAX_VAL_CHARS)
            require_int("num_val_chars", self._num_val_chars, 1, MAX_COUNT)
        except (CheckpointError, ConfigError, RuntimeError, TypeError) as error:
            raise CheckpointError(f"the checkpoint can't be resumed: {error}") from error

    def _agree(self) -> tuple[float, bool, bool, bool]:
        """Return the progress and whether to stop, save and evaluate, the same in all processes.

        The main process decides on progress and evaluation; any process may request a stop or save.
        """
        is_main_process = self._world.is_main_process
        progress, must_stop, must_save, may_evaluate = self._world.all_reduce(
            [
                self._progress if is_main_process else 0.0,
                self._must_stop,
                self._must_save,
                is_main_process and self._training_budget.may_evaluate(),
            ]
        )
        return progress, bool(must_stop), bool(must_save), bool(may_evaluate)

    def _choose_num_val_chars(self, val: EncodedText, num_streams: int) -> int:
        """Return the number of validation characters, for a budget in minutes from a benchmark."""
        seconds = self._training_budget.evaluation_seconds / self.config.num_evaluations
        if val.num_chars <= _MIN_VAL_CHARS or math.isinf(seconds):
            return _MAX_VAL_CHARS
        sample = val.in_parallel(num_streams, max_chars=_MIN_VAL_CHARS)
        started_at = self._clock()
        fit_temperature(self.model, sample, world=self._world)
        num_affordable = seconds / (self._clock() - started_at) * sample.num_chars
        (num_chars,) = self._world.all_reduce(
            [num_affordable if self._world.is_main_process else 0.0]
        )
        return int(min(_MAX_VAL_CHARS, max(_MIN_VAL_CHARS, num_chars)))

    def _step(self, progress: float) -> Stepped:
        started_at = self._clock()
        counters = self._counters
        learning_rate = self._learning_rate(progress)
        self._forecast.add(progress=progress, epoch=self._epoch)
        with explain_memory_errors():
            batch = self._batches.next(self._generator)
            outcome = self._bptt.step(batch, learning_rate, self._dropouts)
            counters.step += 1
            self._losses.add(outcome, counters.step)
        flags = self._losses.take_flags()
        seconds = self._clock() - started_at
        chose_threads = False
        if not self._was_paused(seconds):
            self._session_steps += 1
            self._session_seconds += seconds
            chose_threads = self._threads is not None and self._threads.add(seconds)
        return Stepped(
            **self._common_fields(learning_rate),
            progress=self._progress,
            seconds_left=self._seconds_left,
            chose_threads=chose_threads,
            was_skipped=flags.any_skipped,
            was_slowed=flags.any_slowed,
        )

    def _learning_rate(self, progress: float) -> float:
        scale = learning_rate_scale(progress)
        return self.config.learning_rate * scale * self._losses.statistics.rate_factor

    def _is_evaluation_due(self, progress: float) -> bool:
        """Return whether to evaluate now.

        Evaluations are evenly spaced; before the first of them, the model is also evaluated each
        time the number of epochs has doubled, since it may overfit a small text soon.
        """
        counters = self._counters
        if int(progress * self.config.num_evaluations) > counters.num_evaluations:
            return True
        return counters.num_evaluations == 0 and self._doublings > counters.num_early_evaluations

    @property
    def _doublings(self) -> int:
        """The number of times the epochs have doubled since the first."""
        return int(math.log2(max(1.0, self._epoch)))

    def _only_overfits(self, evaluated: Evaluated) -> bool:
        """Return whether the validation loss has long been far above its minimum."""
        best, bits = self._counters.best_val_bits_per_char, evaluated.val_bits_per_char
        if not self.config.early_stop or best is None or bits is None:
            return False
        is_long_past = self._counters.step >= _OVERFIT_STEP_RATIO * self._counters.best_step
        return is_long_past and bits > _OVERFIT_LOSS_RATIO * best

    def _evaluate(self, progress: float) -> Evaluated:
        counters = self._counters
        bits: float | None = None
        if self._val.num_chars:
            with explain_memory_errors():
                self._temperature, evaluation = fit_temperature(
                    self.model, self._val, world=self._world
                )
            bits = evaluation.bits_per_char
        best = counters.best_val_bits_per_char
        is_best = bits is None or best is None or bits < best
        if is_best:
            counters.best_val_bits_per_char = bits
            counters.best_step = counters.step
        counters.num_evaluations = int(progress * self.config.num_evaluations)
        counters.num_early_evaluations = self._doublings
        return Evaluated(
            **self._common_fields(self._learning_rate(progress)),
            val_bits_per_char=bits,
            num_val_chars=self._val.num_chars,
            num_val_streams=len(self._val.starts),
            temperature=self._temperature,
            is_best=is_best,
        )

    def _common_fields(self, learning_rate: float) -> dict[str, Any]:
        """Return the fields common to Stepped and Evaluated."""
        return {
            "step": self._counters.step,
            "epoch": self._epoch,
            "elapsed_seconds": self._stopwatch.elapsed(),
            "chars_per_second": self._chars_per_second,
            "train_bits_per_char": self._losses.bits_per_char,
            "learning_rate": learning_rate,
            **self._dropouts._asdict(),
            "threads": self.config.threads if self._threads is None else self._threads.chosen,
        }

    @property
    def _progress(self) -> float:
        # A run makes at least one step.
        return self._training_budget.progress(self._counters.step) if self._counters.step else 0.0

    @property
    def _dropouts(self) -> Dropouts:
        return self.config.dropouts(self._forecast.epochs)

    @property
    def _seconds_left(self) -> float:
        seconds_per_step = self._session_seconds / max(1, self._session_steps)
        return self._training_budget.seconds_left(self._counters.step, seconds_per_step)

    @property
    def _epoch(self) -> float:
        return self._epoch_of(self._counters.step)

    def _epoch_of(self, step: int) -> float:
        return step * self.config.chars_per_step / self._num_train_chars

    def _was_paused(self, seconds: float) -> bool:
        """Return whether a step took so long that the process was probably suspended."""
        average = self._session_seconds / max(1, self._session_steps)
        return 0 < average * _PAUSE_RATIO < seconds > _PAUSE_SECONDS

    @property
    def _chars_per_second(self) -> float:
        chars = self._session_steps * self.config.chars_per_step
        return chars / self._session_seconds if self._session_seconds else 0.0


def _to_array(tensor: Tensor) -> npt.NDArray[np.generic]:
    return tensor.detach().to("cpu", copy=True).numpy()
