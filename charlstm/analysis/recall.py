"""A memory test: generated text in which a character must be recalled over a distance."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.analysis.comparison import CELLS, Watch, match_num_parameters, no_watch, trained_model
from charlstm.config import Budget, TrainConfig
from charlstm.evaluation.scoring import score
from charlstm.model.config import ModelConfig
from charlstm.model.lstm import CharLSTM
from charlstm.settings import Cell
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Ids, Vocabulary

RECALL_DISTANCES: Final = (5, 10, 20, 50, 100, 200)
# Minimum accuracy that counts as recalled; chance is 1/8.
RECALLED_ABOVE: Final = 0.9

_LETTERS: Final = "ABCDEFGH"
_CUE: Final = ">"
_VOCABULARY: Final = Vocabulary("".join(sorted(_LETTERS + _CUE + "\n")))
_MIN_DISTANCE: Final = 2
_NUM_DOCUMENTS: Final = 12_000
_NUM_TEST_DOCUMENTS: Final = 600
_SEQ_LEN: Final = 256
_BATCH_SIZE: Final = 16


@dataclass(frozen=True, kw_only=True)
class RecallResult:
    """Recall accuracy of one kind of cell.

    Args:
        accuracy: accuracy by distance in characters.
    """

    cell: Cell
    hidden_size: int
    num_parameters: int
    seed: int
    accuracy: dict[int, float]

    @property
    def longest_distance(self) -> int:
        """Longest distance up to which accuracy is at least 0.9; 0 for none."""
        longest = 0
        for distance, accuracy in sorted(self.accuracy.items()):
            if accuracy < RECALLED_ABOVE:
                break
            longest = distance
        return longest


def compare_recall(
    model: ModelConfig,
    train: TrainConfig,
    budget: Budget,
    *,
    seeds: Sequence[int],
    watch: Watch = no_watch,
) -> Iterator[RecallResult]:
    """Train each kind of cell to recall a character that it read some time ago.

    A document consists of a letter, further letters, a cue, and the first letter again. The cell
    must store the first letter and ignore the others. It is trained on short and long distances
    together, since the short ones are learned first, and tested on each distance with new
    documents.

    Args:
        model: configuration of the LSTM; the other cells get the same number of parameters.
        watch: receives the events of each training run.
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
    shortest, longest = math.log(_MIN_DISTANCE), math.log(max(RECALL_DISTANCES))
    for seed in seeds:
        generator = np.random.default_rng(seed)
        distances = (
            np.exp(generator.uniform(shortest, longest, _NUM_DOCUMENTS)).round().astype(np.int64)
        )
        train_text = recall_documents(distances, generator)
        no_text = train_text.part(0, 0)
        for cell in CELLS:
            config = match_num_parameters(model, cell)
            trained = trained_model(
                config, replace(train, seed=seed), budget, train_text, no_text, watch=watch
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


def recall_documents(
    distances: npt.NDArray[np.int64], generator: np.random.Generator
) -> EncodedText:
    """Return documents such as `CAFHB>C`, one for each distance between the equal letters."""
    letters, cue, line_end = (_VOCABULARY.encode(chars) for chars in (_LETTERS, _CUE, "\n"))
    documents: list[Ids] = []
    for distance in distances:
        # The cue counts towards the distance.
        prefix = generator.choice(letters, distance)
        documents += [prefix, cue, prefix[:1], line_end]
    lengths = distances + 3
    ids = np.concatenate(documents)
    return EncodedText(ids=ids, starts=np.cumsum(lengths) - lengths)


def _recall_accuracy(model: CharLSTM, distance: int, seed: int) -> float:
    """Return how often the letter after the cue is ranked first."""
    generator = np.random.default_rng([seed, distance])
    documents = recall_documents(np.full(_NUM_TEST_DOCUMENTS, distance), generator)
    scores = score(model, documents)
    # The position after the letters and the cue.
    position = documents.starts + distance + 1
    return float((scores.rank_N[position] == 0).mean())
