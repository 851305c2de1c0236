"""A test of memory alone: a generated text where a symbol must be remembered over a distance."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.analysis.comparison import CELLS, Watch, matched, trained_model, unwatched
from charlstm.config import Budget, TrainConfig
from charlstm.evaluation.scoring import score
from charlstm.model.config import ModelConfig
from charlstm.model.network import CharLSTM
from charlstm.settings import Cell
from charlstm.text.split import Split
from charlstm.text.vocabulary import Ids, Vocabulary

RECALL_DISTANCES: Final = (5, 10, 20, 50, 100, 200)
# Remembered: well above one in eight, which is chance.
RECALLED_ABOVE: Final = 0.9

_RECALLED: Final = "ABCDEFGH"
_CUE: Final = ">"
_VOCABULARY: Final = Vocabulary("".join(sorted(_RECALLED + _CUE + "\n")))
_SHORTEST: Final = 2
_NUM_DOCUMENTS: Final = 12_000
_NUM_TEST_DOCUMENTS: Final = 600
_SEQ_LEN: Final = 256
_BATCH_SIZE: Final = 16


@dataclass(frozen=True, kw_only=True)
class RecallResult:
    """How well one kind of cell recalls a symbol.

    Args:
        accuracy: by distance in characters.
    """

    cell: Cell
    hidden_size: int
    num_parameters: int
    seed: int
    accuracy: dict[int, float]

    @property
    def longest_distance(self) -> int:
        """Up to which nine of ten symbols are recalled; 0 for none."""
        reached = 0
        for distance, accuracy in sorted(self.accuracy.items()):
            if accuracy < RECALLED_ABOVE:
                break
            reached = distance
        return reached


def compare_recall(
    model: ModelConfig,
    train: TrainConfig,
    budget: Budget,
    *,
    seeds: Sequence[int],
    watch: Watch = unwatched,
) -> Iterator[RecallResult]:
    """Let each kind of cell learn to say again what it read some time ago.

    A document is a symbol, others of its kind, a cue, and the first symbol again: it has to be
    let in, and all that follow kept out. Short and long distances are learned together, so that
    the short ones show the way; each is tested by itself on documents that were not seen.

    Args:
        model: of the LSTM; the others get its number of parameters.
        watch: passes on the events of each training, with its name.
    """
    model = replace(model, num_characters=len(_VOCABULARY), num_layers=1)
    train = replace(
        train,
        batch_size=_BATCH_SIZE,
        seq_len=_SEQ_LEN,
        precision="float32",
        dropout=0.0,
        recurrent_dropout=0.0,
    )
    shortest, longest = math.log(_SHORTEST), math.log(max(RECALL_DISTANCES))
    for seed in seeds:
        generator = np.random.default_rng(seed)
        distances = (
            np.exp(generator.uniform(shortest, longest, _NUM_DOCUMENTS)).round().astype(np.int64)
        )
        learned = recall_documents(distances, generator)
        no_text = learned.part(0, 0)
        for cell in CELLS:
            config = matched(model, cell)
            trained = trained_model(
                config, replace(train, seed=seed), budget, learned, no_text, watch=watch
            )
            yield RecallResult(
                cell=cell,
                hidden_size=config.hidden_size,
                num_parameters=config.num_parameters,
                seed=seed,
                accuracy={
                    distance: _recall_accuracy(trained.model, distance, seed)
                    for distance in RECALL_DISTANCES
                },
            )


def recall_documents(distances: npt.NDArray[np.int64], generator: np.random.Generator) -> Split:
    """Documents such as `CAFHB>C`, one for each distance between a symbol and its return."""
    symbols, cue, end = (_VOCABULARY.encode(chars) for chars in (_RECALLED, _CUE, "\n"))
    documents: list[Ids] = []
    for distance in distances:
        # The cue stands between them, too.
        read = generator.choice(symbols, distance)
        documents += [read, cue, read[:1], end]
    lengths = distances + 3
    ids = np.concatenate(documents)
    return Split(ids=ids, starts=np.cumsum(lengths) - lengths)


def _recall_accuracy(model: CharLSTM, distance: int, seed: int) -> float:
    """How often the symbol after the cue is the most likely one."""
    generator = np.random.default_rng([seed, distance])
    documents = recall_documents(np.full(_NUM_TEST_DOCUMENTS, distance), generator)
    scores = score(model, documents)
    # The symbol, the others, the cue, the symbol again.
    place = documents.starts + distance + 1
    return float((scores.rank_N[place] == 0).mean())
