"""charlstm in a Python program: load a trained model, predict, sample, score, without torch."""

import warnings
from pathlib import Path

import numpy as np

from charlstm.config import DEFAULT_STORE, SampleConfig
from charlstm.evaluation.scores import Evaluation
from charlstm.inference.prediction import (
    ContextPrediction,
    NextCharacters,
    ladder,
    predict_next,
    readable,
    readable_context,
)
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import sample
from charlstm.model.checkpoints import Checkpoint, read_checkpoint
from charlstm.store.runs import CheckpointStore
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN


class Model:
    """A trained model.

    Attributes:
        checkpoint: all that is stored of it: settings, vocabulary, weights, history.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._predictor = Predictor(checkpoint)

    def predict(self, prefix: str = "") -> NextCharacters:
        """The distribution of the character after a text, the most likely first.

        Raises:
            CorpusError: when the prefix holds characters outside the vocabulary.
        """
        found = predict_next(self._predictor, self._to_symbols(prefix))
        return readable(found, self.checkpoint.corpus.to_text)

    def ladder(self, prefix: str) -> list[ContextPrediction]:
        """The same prediction with 0, 1, 2, 4, 8 ... and finally all characters of the prefix.

        Raises:
            CorpusError: as `predict` does.
        """
        to_text = self.checkpoint.corpus.to_text
        rungs = ladder(self._predictor, self._to_symbols(prefix))
        return [readable_context(rung, to_text) for rung in rungs]

    def sample(
        self,
        prime: str = "",
        *,
        length: int = 500,
        seed: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        until: str | None = None,
    ) -> str:
        """Continue a text; see `SampleConfig` for the options.

        Args:
            seed: the same seed gives the same text; None for another one each time.

        Returns:
            What comes after the prime.

        Raises:
            CorpusError: when the prime holds characters outside the vocabulary.
            ConfigError: when an option is impossible.
        """
        config = SampleConfig(
            length=length,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            until=None if until is None else self._to_symbols(until),
        )
        generator = np.random.default_rng(seed)
        symbols = self._to_symbols(prime)
        return "".join(sample(self._predictor, symbols, config, generator=generator))

    def score(self, text: str) -> Evaluation:
        """Score a text as a document of its own, its unknown characters included.

        Raises:
            ValueError: when the text is empty.
        """
        symbols = self._to_symbols(text)
        if not symbols:
            raise ValueError("there are no characters to score")
        nats, num_correct = 0.0, 0
        document = Split.of(
            [symbols],
            self.checkpoint.vocabulary,
            num_bytes=self.checkpoint.corpus.num_bytes(symbols),
        )
        traced = self._predictor.trace(document)
        for number, (before, _) in zip(document.ids, traced, strict=True):
            nats -= float(before.log_p[0, number])
            num_correct += int(number != UNKNOWN and before.log_p[0].argmax() == number)
        return Evaluation.of(document, nats=nats, num_correct=num_correct)

    def _to_symbols(self, text: str) -> str:
        return self.checkpoint.corpus.to_symbols(text)


def load(
    run: str | None = None,
    *,
    checkpoints: str | Path = DEFAULT_STORE,
    checkpoint: str | Path | None = None,
) -> Model:
    """Load a trained model.

    Args:
        run: its name; None for the newest one.
        checkpoints: the folder that holds the runs.
        checkpoint: a checkpoint file, instead of a run.

    Raises:
        CheckpointError: when there is no such run, or it is damaged.
    """
    if checkpoint is not None:
        return Model(read_checkpoint(Path(checkpoint)))
    loaded = CheckpointStore(Path(checkpoints)).load_model(run)
    for notice in loaded.notices:
        warnings.warn(notice, stacklevel=2)
    return Model(loaded.checkpoint)
