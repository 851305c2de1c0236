"""LSTM, GRU and plain RNN side by side: the same text, parameters, budget and recipe.

And a test of memory alone: a generated corpus where a symbol must be remembered over a distance.

Shapes: N characters of the scored text.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

import numpy as np
import numpy.typing as npt
import torch

from charlstm.config import Budget, Cell, ModelConfig, TrainConfig
from charlstm.evaluation import score
from charlstm.events import Finished
from charlstm.model import CharLSTM
from charlstm.reach import reach, require_reach
from charlstm.split import Split
from charlstm.training import Trainer
from charlstm.vocabulary import Ids, Vocabulary

CELLS: Final[tuple[Cell, ...]] = get_args(Cell)
RECALL_DISTANCES: Final = (5, 10, 20, 50, 100, 200)

MAX_SCORED_CHARS: Final = 100_000
_NEAR: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200)
_OPENING: Final = '([{"\u201c\u00ab'
_CLOSING: Final = ')]}"\u201d\u00bb'
_RECALLED: Final = "ABCDEFGH"
_CUE: Final = ">"
_RECALL_VOCABULARY: Final = Vocabulary("".join(sorted(_RECALLED + _CUE + "\n")))
_SHORTEST_RECALL: Final = 2
_RECALL_DOCUMENTS: Final = 12_000
_RECALL_TEST_DOCUMENTS: Final = 600
_RECALL_SEQ_LEN: Final = 256
_RECALL_BATCH_SIZE: Final = 16
# Remembered: well above one in eight, which is chance.
RECALLED_ABOVE: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One model of a comparison.

    Args:
        bits_by_distance: of a closing bracket or quote, by characters since it was opened; only
            distances that occur.
        half_distance: the characters that carry half of the gradient of a prediction.
    """

    seed: int
    nats_per_char: float
    chars_per_second: float
    bits_by_distance: dict[int, float]
    half_distance: int

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / math.log(2)


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


@dataclass(frozen=True, kw_only=True)
class RecallResult:
    """How well one kind of cell recalls a symbol.

    Args:
        accuracy: by distance in characters.
        reach: the longest distance up to which nine of ten symbols are recalled; 0 for none.
    """

    cell: Cell
    hidden_size: int
    num_parameters: int
    seed: int
    accuracy: dict[int, float]

    @property
    def reach(self) -> int:
        reached = 0
        for distance, accuracy in sorted(self.accuracy.items()):
            if accuracy < RECALLED_ABOVE:
                break
            reached = distance
        return reached


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
    vocabulary: Vocabulary,
    train_text: Split,
    val_text: Split,
    scored_text: Split,
    unknown_probability: float,
    seeds: Sequence[int],
) -> Iterator[CellResult]:
    """Train and measure one kind of cell after the other.

    Args:
        model: of the LSTM; the others get its number of parameters.

    Raises:
        ConfigError: when the scored text is too short to look back in.
    """
    require_reach(scored_text)
    for cell in CELLS:
        config = matched(model, cell)
        runs = []
        for seed in seeds:
            trained, speed = _train(
                config, replace(train, seed=seed), budget, train_text, val_text, unknown_probability
            )
            scores = score(trained, scored_text, unknown_probability=unknown_probability)
            distance_N = distances_to_opening(vocabulary.decode(scored_text.ids))
            generator = np.random.default_rng(0)
            runs.append(
                Trained(
                    seed=seed,
                    nats_per_char=float(scores.nats_N.mean(dtype=np.float64)),
                    chars_per_second=speed,
                    bits_by_distance=_by_distance(scores.nats_N, distance_N),
                    half_distance=reach(trained, scored_text, generator=generator).half_distance,
                )
            )
        yield CellResult(
            cell=cell,
            hidden_size=config.hidden_size,
            num_parameters=config.num_parameters,
            runs=tuple(runs),
        )


def compare_recall(
    model: ModelConfig, train: TrainConfig, budget: Budget, *, seeds: Sequence[int]
) -> Iterator[RecallResult]:
    """Let each kind of cell learn to say again what it read some time ago.

    A document is a symbol, others of its kind, a cue, and the first symbol again: it has to be
    let in, and all that follow kept out. Short and long distances are learned together, so that
    the short ones show the way; each is tested by itself on documents that were not seen.

    Args:
        model: of the LSTM; the others get its number of parameters.
    """
    model = replace(
        model,
        num_characters=len(_RECALL_VOCABULARY),
        num_layers=1,
        dropout=0.0,
        recurrent_dropout=0.0,
    )
    train = replace(
        train, batch_size=_RECALL_BATCH_SIZE, seq_len=_RECALL_SEQ_LEN, precision="float32"
    )
    shortest, longest = math.log(_SHORTEST_RECALL), math.log(max(RECALL_DISTANCES))
    for seed in seeds:
        generator = np.random.default_rng(seed)
        distances = (
            np.exp(generator.uniform(shortest, longest, _RECALL_DOCUMENTS)).round().astype(np.int64)
        )
        learned = recall_documents(distances, generator)
        for cell in CELLS:
            config = matched(model, cell)
            nothing = learned.part(0, 0)
            trained, _ = _train(
                config, replace(train, seed=seed), budget, learned, nothing, 1 / learned.num_chars
            )
            yield RecallResult(
                cell=cell,
                hidden_size=config.hidden_size,
                num_parameters=config.num_parameters,
                seed=seed,
                accuracy={
                    distance: _recall_accuracy(trained, distance, seed)
                    for distance in RECALL_DISTANCES
                },
            )


def recall_documents(distances: npt.NDArray[np.int64], generator: np.random.Generator) -> Split:
    """Documents such as `CAFHB>C`, one for each distance between a symbol and its return."""
    symbols, cue, end = (_RECALL_VOCABULARY.encode(chars) for chars in (_RECALLED, _CUE, "\n"))
    documents: list[Ids] = []
    for distance in distances:
        # The cue stands between them, too.
        read = generator.choice(symbols, distance)
        documents += [read, cue, read[:1], end]
    lengths = distances + 3
    ids = np.concatenate(documents)
    return Split(ids=ids, starts=np.cumsum(lengths) - lengths, num_bytes=len(ids))


def distances_to_opening(text: str) -> npt.NDArray[np.int64]:
    """For each closing bracket or quote the characters since its opening one, else 0, [N]."""
    opened: list[tuple[str, int]] = []
    found = np.zeros(len(text), np.int64)
    for place, char in enumerate(text):
        kind = _CLOSING.find(char)
        if kind >= 0 and opened and opened[-1][0] == _OPENING[kind]:
            found[place] = place - opened.pop()[1]
        elif char in _OPENING:
            opened.append((char, place))
    return found


def _train(
    model: ModelConfig,
    train: TrainConfig,
    budget: Budget,
    text: Split,
    val: Split,
    unknown_probability: float,
) -> tuple[CharLSTM, float]:
    """The model at the end of the budget, calibrated, and characters per second."""
    torch.set_num_threads(train.threads)
    trainer = Trainer(
        model,
        train,
        budget,
        train=text,
        val=val,
        unknown_probability=unknown_probability,
        started_at=time.monotonic(),
    )
    speed = 0.0
    for event in trainer.run():
        if isinstance(event, Finished):
            speed = event.chars_per_second
    trainer.model.load_arrays(trainer.calibrated_weights())
    return trainer.model, speed


def _by_distance(
    nats_N: npt.NDArray[np.float32], distance_N: npt.NDArray[np.int64]
) -> dict[int, float]:
    """Bits of what closes, in classes of distance, each named by its longest."""
    found = {}
    for least, most in zip((0, *_NEAR), _NEAR, strict=False):
        chosen = (distance_N > least) & (distance_N <= most)
        if chosen.any():
            found[most] = float(nats_N[chosen].mean()) / math.log(2)
    return found


def _recall_accuracy(model: CharLSTM, distance: int, seed: int) -> float:
    """How often the symbol behind the cue is the likeliest."""
    generator = np.random.default_rng([seed, distance])
    documents = recall_documents(np.full(_RECALL_TEST_DOCUMENTS, distance), generator)
    scores = score(model, documents, unknown_probability=1e-9)
    # The symbol, the others, the cue, the symbol again.
    place = documents.starts + distance + 1
    return float((scores.rank_N[place] == 0).mean())
