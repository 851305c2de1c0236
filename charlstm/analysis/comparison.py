"""LSTM, GRU and plain RNN side by side: the same text, parameters, budget and recipe.

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
from charlstm.model.network import CharLSTM
from charlstm.settings import Cell
from charlstm.text.corpus import Corpus
from charlstm.text.features import distances_to_opening
from charlstm.text.split import Split
from charlstm.training.hardware import set_threads
from charlstm.training.trainer import Trainer

CELLS: Final[tuple[Cell, ...]] = get_args(Cell)

MAX_SCORED_CHARS: Final = 100_000
_NEAR: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200)

Watch = Callable[[Iterator[TrainerEvent], str], Iterator[TrainerEvent]]


# Keeps a model that was trained, by its trainer and the events; gives the name it has from then on.
Keep = Callable[[Trainer, Sequence[TrainerEvent]], str]


def unwatched(events: Iterator[TrainerEvent], _name: str) -> Iterator[TrainerEvent]:
    return events


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One model of a comparison.

    Args:
        bits_by_distance: of a closing bracket or quote, by characters since it was opened; only
            distances that occur.
        half_distance: the characters that carry half of the gradient of a prediction.
        kept_as: the run that it is from now on; None where it isn't kept.
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
    """One kind of cell, trained from several seeds."""

    cell: Cell
    hidden_size: int
    num_parameters: int
    runs: tuple[Trained, ...]

    @property
    def bits_per_char(self) -> float:
        return float(np.mean([run.bits_per_char for run in self.runs]))

    @property
    def spread(self) -> float:
        """Half the distance between the best and the worst seed, bits per character."""
        bits = [run.bits_per_char for run in self.runs]
        return (max(bits) - min(bits)) / 2

    @property
    def chars_per_second(self) -> float:
        return float(np.mean([run.chars_per_second for run in self.runs]))


def matched(model: ModelConfig, cell: Cell) -> ModelConfig:
    """The same model with another cell, and the hidden size that gives it as many parameters."""
    wanted = model.num_parameters
    sizes = range(1, 4 * model.hidden_size + 1)
    candidates = (replace(model, cell=cell, hidden_size=size) for size in sizes)
    return min(candidates, key=lambda one: abs(one.num_parameters - wanted))


def compare(
    model: ModelConfig,
    train: TrainConfig,
    budget: Budget,
    *,
    corpus: Corpus,
    scored_text: Split,
    seeds: Sequence[int],
    watch: Watch = unwatched,
    keep: Keep | None = None,
) -> Iterator[CellResult]:
    """Train and measure one kind of cell after the other.

    Args:
        model: of the LSTM; the others get its number of parameters.
        watch: passes on the events of each training, with its name.
        keep: is given every model.

    Raises:
        ConfigError: when the scored text is too short to measure the context length.
    """
    require_reach(scored_text)
    for cell in CELLS:
        config = matched(model, cell)
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
            distance_N = distances_to_opening(corpus.alphabet.decode(scored_text.ids))
            generator = np.random.default_rng(0)
            runs.append(
                Trained(
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
    """A model at the end of its budget, calibrated."""

    model: CharLSTM
    chars_per_second: float
    kept_as: str | None


def trained_model(
    model: ModelConfig,
    train: TrainConfig,
    budget: Budget,
    text: Split,
    val: Split,
    *,
    watch: Watch = unwatched,
    keep: Keep | None = None,
) -> TrainedModel:
    """Train a model to the end of the budget.

    Args:
        watch: passes on the events of the training, with its name.
        keep: is given the model.
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
    told: list[TrainerEvent] = []
    for event in watch(trainer.run(), f"{model.cell}, seed {train.seed}"):
        if isinstance(event, Finished):
            speed = event.chars_per_second
        elif not isinstance(event, Stepped):
            told.append(event)
    kept_as = None if keep is None else keep(trainer, told)
    trainer.model.load_arrays(trainer.calibrated(trainer.weights()))
    return TrainedModel(trainer.model, speed, kept_as)


def _by_distance(
    nats_N: npt.NDArray[np.float32], distance_N: npt.NDArray[np.int64]
) -> dict[int, float]:
    """Bits of what closes, in classes of distance, each named by its longest."""
    found = {}
    for least, most in zip((0, *_NEAR), _NEAR, strict=False):
        chosen = (distance_N > least) & (distance_N <= most)
        if chosen.any():
            found[most] = float(nats_N[chosen].mean()) / NATS_PER_BIT
    return found
