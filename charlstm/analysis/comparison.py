"""Comparison of LSTM, GRU and plain RNN with the same text, size, budget and settings.

Shapes: N characters of the scored text.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from charlstm.analysis.reach import reach, require_reach
from charlstm.config import NATS_PER_BIT, Budget, TrainConfig
from charlstm.evaluation.scoring import score
from charlstm.events import Finished, Stepped, TrainerEvent
from charlstm.model.config import ModelConfig
from charlstm.model.lstm import CharLSTM
from charlstm.settings import Cell
from charlstm.text.corpus import Corpus
from charlstm.text.encoded_text import EncodedText
from charlstm.text.features import distances_to_opening
from charlstm.training.hardware import set_threads
from charlstm.training.trainer import Trainer

CELLS: Final[tuple[Cell, ...]] = get_args(Cell)

MAX_SCORED_CHARS: Final = 100_000
# Upper bounds of the classes of distance.
_DISTANCES: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200)

# Pass on the events of a training run with this name.
Watch = Callable[[Iterator[TrainerEvent], str], Iterator[TrainerEvent]]
# Save a trained model, given its trainer and events; return the name of the run.
Keep = Callable[[Trainer, Sequence[TrainerEvent]], str]


def no_watch(events: Iterator[TrainerEvent], _name: str) -> Iterator[TrainerEvent]:
    """Pass on events unchanged."""
    return events


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """One model of a comparison.

    Args:
        bits_by_distance: loss of closing brackets and quotes, by distance in characters from the
            opening one; only distances that occur.
        half_distance: number of characters that carry half of a prediction's gradient.
        kept_as: name of the saved run; None if not saved.
    """

    seed: int
    nats_per_char: float
    chars_per_second: float
    bits_by_distance: dict[int, float]
    half_distance: int
    kept_as: str | None = None

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / NATS_PER_BIT


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """The results of one kind of cell with several seeds."""

    cell: Cell
    hidden_size: int
    num_parameters: int
    runs: tuple[TrainedRun, ...]

    @property
    def bits_per_char(self) -> float:
        return float(np.mean([run.bits_per_char for run in self.runs]))

    @property
    def spread(self) -> float:
        """Half the difference between the worst and the best seed, in bits per character."""
        bits = [run.bits_per_char for run in self.runs]
        return (max(bits) - min(bits)) / 2

    @property
    def chars_per_second(self) -> float:
        return float(np.mean([run.chars_per_second for run in self.runs]))


def match_num_parameters(model: ModelConfig, cell: Cell) -> ModelConfig:
    """Return the model with another cell and the hidden size closest in number of parameters."""
    target = model.num_parameters
    sizes = range(1, 4 * model.hidden_size + 1)
    candidates = (replace(model, cell=cell, hidden_size=size) for size in sizes)
    return min(candidates, key=lambda config: abs(config.num_parameters - target))


def compare(
    model: ModelConfig,
    train: TrainConfig,
    budget: Budget,
    *,
    corpus: Corpus,
    scored_text: EncodedText,
    seeds: Sequence[int],
    watch: Watch = no_watch,
    keep: Keep | None = None,
) -> Iterator[CellResult]:
    """Train and evaluate each kind of cell in turn.

    Args:
        model: configuration of the LSTM; the other cells get the same number of parameters.
        watch: receives the events of each training run.
        keep: saves each model.

    Raises:
        ConfigError: when the scored text is too short to measure the context length.
    """
    require_reach(scored_text)
    for cell in CELLS:
        config = match_num_parameters(model, cell)
        runs = []
        for seed in seeds:
            trained = trained_model(
                config,
                replace(train, seed=seed),
                budget,
                corpus.train,
                corpus.val,
                watch=watch,
                keep=keep,
            )
            scores = score(trained.model, scored_text)
            distance_N = distances_to_opening(corpus.tokenizer.decode(scored_text.ids))
            generator = np.random.default_rng(0)
            runs.append(
                TrainedRun(
                    seed=seed,
                    nats_per_char=float(scores.nats_N.mean(dtype=np.float64)),
                    chars_per_second=trained.chars_per_second,
                    bits_by_distance=_by_distance(scores.nats_N, distance_N),
                    half_distance=reach(
                        trained.model, scored_text, generator=generator
                    ).half_distance,
                    kept_as=trained.kept_as,
                )
            )
        yield CellResult(
            cell=cell,
            hidden_size=config.hidden_size,
            num_parameters=config.num_parameters,
            runs=tuple(runs),
        )


class TrainedModel(NamedTuple):
    """A trained model with calibrated temperature."""

    model: CharLSTM
    chars_per_second: float
    kept_as: str | None


def trained_model(
    model: ModelConfig,
    train: TrainConfig,
    budget: Budget,
    text: EncodedText,
    val: EncodedText,
    *,
    watch: Watch = no_watch,
    keep: Keep | None = None,
) -> TrainedModel:
    """Train a model until its budget is used up.

    Args:
        watch: receives the events.
        keep: saves the model.
    """
    set_threads(train.threads)
    trainer = Trainer(
        model,
        train,
        budget,
        train=text,
        val=val,
        started_at=time.monotonic(),
    )
    speed = 0.0
    events: list[TrainerEvent] = []
    for event in watch(trainer.run(), f"{model.cell}, seed {train.seed}"):
        if isinstance(event, Finished):
            speed = event.chars_per_second
        elif not isinstance(event, Stepped):
            events.append(event)
    kept_as = None if keep is None else keep(trainer, events)
    trainer.model.load_arrays(trainer.calibrated(trainer.weights()))
    return TrainedModel(trainer.model, speed, kept_as)


def _by_distance(
    nats_N: npt.NDArray[np.float32], distance_N: npt.NDArray[np.int64]
) -> dict[int, float]:
    """Return the mean loss in bits by class of distance, keyed by the class's maximum."""
    bits = {}
    for after, last in zip((0, *_DISTANCES), _DISTANCES, strict=False):
        is_in_class_N = (distance_N > after) & (distance_N <= last)
        if is_in_class_N.any():
            bits[last] = float(nats_N[is_in_class_N].mean()) / NATS_PER_BIT
    return bits
