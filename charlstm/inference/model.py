"""A trained model, loaded: what commands, the Python API, the page and exports share."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from charlstm.config import SampleConfig
from charlstm.evaluation.scores import Evaluation
from charlstm.inference.prediction import ContextPrediction, NextCharacters, ladder, predict_next
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import sample
from charlstm.model.checkpoints import Checkpoint
from charlstm.text.alphabet import Alphabet
from charlstm.text.cache import CorpusCache, load_corpus_of_run
from charlstm.text.corpus import Corpus
from charlstm.text.filelist import sources_of

if TYPE_CHECKING:
    from charlstm.model.network import CharLSTM


class Model:
    """A trained model.

    Args:
        checkpoint: all that is stored of it: settings, vocabulary, weights, history.
        name: of its run, or its file.
        path: the file that it was read from.
        cache_folder: where the store keeps encoded texts; None for nowhere.
        notices: what was found wrong on the way to a checkpoint that loads.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        name: str,
        path: Path,
        cache_folder: Path | None = None,
        notices: tuple[str, ...] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self.name = name
        self.path = path
        self.notices = notices
        self._cache_folder = cache_folder

    @property
    def alphabet(self) -> Alphabet:
        return self.checkpoint.spec.alphabet

    @cached_property
    def predictor(self) -> Predictor:
        return Predictor(self.checkpoint)

    def network(self, device: str = "cpu") -> "CharLSTM":
        """The model in torch."""
        from charlstm.model.network import CharLSTM

        network = CharLSTM(
            self.checkpoint.spec.model_config,
            unknown_probability=self.alphabet.unknown_probability,
        )
        network.load_arrays(self.checkpoint.weights)
        return network.to(device)

    def sources(self) -> Iterator[str]:
        """The files that it comes from, as far as they are there: its own and its text's."""
        yield str(self.path)
        yield from sources_of(self.checkpoint.spec.corpus)

    def corpus(self) -> Corpus:
        """The corpus that it was trained on: the store's copy, or its text read again.

        Raises:
            CorpusError: when neither is possible, or the text has changed.
        """
        cache = None if self._cache_folder is None else CorpusCache(self._cache_folder)
        spec = self.checkpoint.spec
        return load_corpus_of_run(spec.corpus, spec.fingerprint, cache)

    def predict(self, prefix: str = "") -> NextCharacters:
        """The distribution of the character after a text, the most likely first.

        Raises:
            CorpusError: when the prefix holds characters outside the vocabulary.
        """
        return predict_next(self.predictor, self.alphabet.to_symbols(prefix))

    def ladder(self, prefix: str) -> list[ContextPrediction]:
        """The same prediction with 0, 1, 2, 4, 8 ... and finally all characters of the prefix.

        Raises:
            CorpusError: as `predict` does.
        """
        return ladder(self.predictor, self.alphabet.to_symbols(prefix))

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
        """Continue a text, to the end of its document at most; see `SampleConfig` for the options.

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
            until=until,
        )
        generator = np.random.default_rng(seed)
        symbols = self.alphabet.to_symbols(prime)
        drawn = "".join(sample(self.predictor, symbols, config, generator=generator))
        return self.alphabet.to_text(self.alphabet.without_end(drawn))

    def score(self, text: str) -> Evaluation:
        """Score a text by itself, its unknown characters included; of a list, line by line.

        Raises:
            CorpusError: when the text is empty.
        """
        alphabet = self.alphabet
        documents = alphabet.split(alphabet.documents(alphabet.to_symbols(text)))
        return Evaluation.of_scores(documents, self.predictor.score(documents))
