"""The trained model behind the commands, the Python API, the page and the exports."""

import codecs
import contextlib
import os
import reprlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack, get_args, overload

import numpy as np

from charlstm.analysis.inspection import Trace, trace
from charlstm.analysis.unit import UnitStep, unit_steps
from charlstm.api.results import Surprisals
from charlstm.config import MAX_SAMPLES, NATS_PER_BIT, SampleConfig, SplitName
from charlstm.errors import ConfigError, CorpusError, TensorFileError
from charlstm.evaluation.difference import Difference, compare, require_same_reading
from charlstm.evaluation.items import (
    ItemScore,
    Percentiles,
    line_batches,
    read_percentiles,
    score_items,
    validation_items,
    write_percentiles,
)
from charlstm.evaluation.scores import CharLosses, Evaluation, Prediction
from charlstm.evaluation.with_ngrams import fit_interpolated_ngrams, interpolated
from charlstm.export.javascript import export_module
from charlstm.export.webpage import build_page
from charlstm.inference.items import draw_items
from charlstm.inference.prediction import ContextPrediction, NextCharacters, ladder, predict_next
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import Filter, sample
from charlstm.model.checkpoints import Checkpoint
from charlstm.ngram.interpolation import InterpolatedNgrams
from charlstm.ngram.storage import file_owner, read_ngrams, read_val_nats, write_ngrams
from charlstm.reading.filelist import sources_of
from charlstm.settings import MAX_SEED, require_int, require_path
from charlstm.system import notebook_html, run_files
from charlstm.system.files import open_output
from charlstm.system.interrupts import has_torch, import_torch
from charlstm.system.terminal import escape_line
from charlstm.text.corpus import Corpus, encode_files
from charlstm.text.encoded_text import EncodedText
from charlstm.text.storage import load_corpus_of_run
from charlstm.text.tokenizer import CharTokenizer

if TYPE_CHECKING:
    from charlstm.model.lstm import CharLSTM
    from charlstm.model.text_model import TextModel


_REPR_CHARS: Final = 200
# Shorter texts are scored with numpy: loading torch would take longer.
_FEW_CHARS: Final = 20_000

Notify = Callable[[str], object]


def _warn(notice: str) -> None:
    """Warn the caller of the public method."""
    warnings.warn(escape_line(notice), stacklevel=4)


def ignore_notice(_message: str) -> None:
    """Drop a notice."""


class SampleOptions(TypedDict, total=False):
    """The fields of `SampleConfig`, which declares their meaning and defaults."""

    length: int | None
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    until: str | tuple[str, ...] | None
    max_lines: int | None
    forbid: str
    filters: tuple[Filter, ...]


def _sample_config(options: SampleOptions) -> SampleConfig:
    """Build the configuration from keyword arguments of `sample`.

    Raises:
        TypeError: for an unknown option.
    """
    names = SampleOptions.__annotations__
    if unknown := sorted(options.keys() - names.keys()):
        raise TypeError(
            f"sample() got an unexpected keyword argument {unknown[0]!r}; "
            f"it takes num_samples, seed, with_counts, {', '.join(names)}"
        )
    values: dict[str, Any] = {**options}
    if isinstance(until := values.get("until"), str):
        values["until"] = (until,)
    return SampleConfig(**values)


class Model:
    """A trained model.

    Args:
        checkpoint: settings, vocabulary, weights and history.
        name: name of the run or file.
        path: the checkpoint file, in a run's folder next to its encoded text.
        has_cache: whether n-gram counts and percentiles are cached in that folder.
        notices: warnings about damaged checkpoints that were skipped.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        name: str,
        path: Path,
        has_cache: bool = False,
        notices: tuple[str, ...] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self.name = name
        self.path = path
        self.notices = notices
        self._with_counts: Predictor | None = None
        self._has_cache = has_cache

    @property
    def title(self) -> str:
        """Name without folders and suffix."""
        return Path(self.name).name.removesuffix(run_files.SUFFIX)

    @property
    def tokenizer(self) -> CharTokenizer:
        return self.checkpoint.spec.tokenizer

    @cached_property
    def predictor(self) -> Predictor:
        return Predictor(self.checkpoint)

    def network(self, device: str = "cpu") -> "CharLSTM":
        """Return the model as a torch module."""
        import_torch()
        from charlstm.model.lstm import CharLSTM

        network = CharLSTM(
            self.checkpoint.spec.model_config,
            unknown_probability=self.tokenizer.unknown_probability,
        )
        network.load_arrays(self.checkpoint.weights)
        return network.to(device)

    def counts(
        self,
        notify: Notify = ignore_notice,
        *,
        predict: Callable[[EncodedText], Iterable[Prediction]] | None = None,
    ) -> InterpolatedNgrams:
        """Return the n-gram model of the training text, from the cache or fitted now.

        Fitting takes seconds per megabyte.

        Args:
            notify: called with progress messages.
            predict: prediction function of the LSTM, to tune the interpolation; None uses numpy.

        Raises:
            CorpusError: if it isn't cached and the training text is unavailable.
        """
        path = self._derived(run_files.COUNTS)
        if path is not None:
            try:
                return read_ngrams(path, self.tokenizer, owner=self._owner)
            except FileNotFoundError:
                pass
            except TensorFileError as error:
                notify(f"{path}: {error}; counting n-grams again")
            except OSError as error:
                notify(f"{path}: {error.strerror}; counting n-grams again")
        corpus = self.corpus()
        predict = predict or self.predictor.predictions
        counts = fit_interpolated_ngrams(predict, self.tokenizer, corpus.train, corpus.val)
        notify(
            f"counted {corpus.train.num_chars:,} characters: {counts.ngrams.num_ngrams:,} n-grams "
            f"with up to {counts.ngrams.order} characters of context"
        )
        if (only := counts.mixture.only) is not None:
            cell = self.checkpoint.spec.model_config.cell.upper()
            part = "n-grams" if only == "counts" else cell
            notify(f"interpolation showed no gain on validation: only the {part} will be used")
        if path is not None:
            # The cache is optional: the disk may be full or the folder read-only.
            with contextlib.suppress(OSError):
                write_ngrams(path, counts, owner=self._owner, mode=self._mode_of(corpus))
        return counts

    def counts_val_bits(self, *, may_count: bool = False) -> float | None:
        """Return the n-gram model's validation loss in bits per character; None if unknown.

        Args:
            may_count: whether to fit the n-gram model if it isn't cached.
        """
        path = self._derived(run_files.COUNTS)
        try:
            if may_count:
                nats = self.counts().val_nats_per_char
            elif path is None:
                return None
            else:
                nats = read_val_nats(path, owner=self._owner)
        except (CorpusError, TensorFileError, OSError):
            return None
        return None if nats is None else nats / NATS_PER_BIT

    def predictor_for(self, *, with_counts: bool, notify: Notify = ignore_notice) -> Predictor:
        """Return the LSTM's predictor, or the one that interpolates LSTM and n-grams.

        Raises:
            CorpusError: see `counts`.
        """
        if not with_counts:
            return self.predictor
        if self._with_counts is None:
            self._with_counts = Predictor(self.checkpoint, counts=self.counts(notify))
        return self._with_counts

    def percentiles(
        self,
        *,
        with_counts: bool = False,
        notify: Notify = ignore_notice,
        predict: Callable[[EncodedText], Iterable[Prediction]] | None = None,
    ) -> Percentiles | None:
        """Return the surprisals of validation items, cached or computed now, for percentiles.

        Args:
            with_counts: see `predict`.
            notify: called with progress messages.
            predict: result of `predictions`, to compute them with the same device and threads.

        Returns:
            None if there is no validation text.
        """
        path = self._derived(
            run_files.PERCENTILES_WITH_COUNTS if with_counts else run_files.PERCENTILES
        )
        if path is not None and (cached := read_percentiles(path, owner=self._owner)) is not None:
            return cached
        try:
            corpus = self.corpus()
        except CorpusError:
            return None
        items = validation_items(corpus.val, self.tokenizer)
        if not items.num_chars:
            return None
        notify(f"scoring {len(items.starts):,} validation items for percentiles")
        predict = predict or self.predictions(with_counts=with_counts)
        percentiles = Percentiles.of(CharLosses.of(predict(items), items), items)
        if path is not None:
            with contextlib.suppress(OSError):
                write_percentiles(path, percentiles, owner=self._owner, mode=self._mode_of(corpus))
        return percentiles

    @cached_property
    def _owner(self) -> str:
        return file_owner(self.checkpoint.weights, self.checkpoint.spec.fingerprint)

    def _derived(self, name: str) -> Path | None:
        return self.path.parent / name if self._has_cache else None

    def _mode_of(self, corpus: Corpus) -> int:
        """Return the file mode for data derived from both text and model."""
        return corpus.mode & self.path.stat().st_mode

    def predictions(
        self,
        *,
        with_counts: bool = False,
        device: str = "auto",
        threads: int | None = None,
        notify: Notify = ignore_notice,
    ) -> Callable[[EncodedText], Iterable[Prediction]]:
        """Return a function that predicts every character, using torch for long texts.

        Args:
            with_counts: see `predict`.
            device, threads: for torch.
            notify: called with progress messages.
        """
        predictor = self.predictor_for(with_counts=with_counts, notify=notify)
        network: list[CharLSTM] = []

        def predict(text: EncodedText) -> Iterable[Prediction]:
            if text.num_chars < _FEW_CHARS or not has_torch():
                return predictor.predictions(text)
            from charlstm.evaluation import scoring
            from charlstm.training.hardware import resolve_device, set_threads

            if not network:
                set_threads(threads)
                network.append(self.network(resolve_device(device)))
            predictions = scoring.predictions(network[0], text)
            if predictor.counts is None:
                return predictions
            return interpolated(predictions, text, predictor.counts)

        return predict

    def score_lines(
        self, lines: Iterable[str], *, with_counts: bool = False
    ) -> Iterator[ItemScore]:
        r"""Score each line by itself, as lines arrive.

        >>> usual, odd = model.score_lines(["the quick", "zzzzzzzzz"])
        >>> usual.bits_per_char < odd.bits_per_char
        True

        Args:
            lines: with or without line ends; a list is scored in batches.
            with_counts: see `predict`.
        """
        predict = self.predictions(with_counts=with_counts)
        percentiles = self.percentiles(with_counts=with_counts, predict=predict)
        for number, texts in line_batches(lines):
            yield from score_items(texts, self.tokenizer, predict, percentiles, first_number=number)

    def sources(self) -> Iterator[str]:
        """Yield the checkpoint file and the existing files of its corpus."""
        yield str(self.path)
        yield from sources_of(self.checkpoint.spec.corpus)

    def corpus(self) -> Corpus:
        """Load the training corpus from the run's copy or the original files.

        Raises:
            CorpusError: if neither is available, or the text has changed.
        """
        if self.name == run_files.EXAMPLE:
            raise CorpusError(
                "the example comes without its text; models that you train have theirs"
            )
        spec = self.checkpoint.spec
        return load_corpus_of_run(spec.corpus, spec.fingerprint, spec.vocabulary, self.path.parent)

    def predict(self, prefix: str = "", *, with_counts: bool = False) -> NextCharacters:
        """Return the distribution of the next character, most likely first.

        >>> char, probability = model.predict("qu").next[0]

        Args:
            with_counts: interpolate the LSTM with an n-gram model of its training text.

        Raises:
            CorpusError: if the prefix contains characters outside the vocabulary, or a training
                text is needed but unavailable.
        """
        symbols = self.tokenizer.to_chars(prefix, _warn)
        return predict_next(self.predictor_for(with_counts=with_counts), symbols)

    def ladder(self, prefix: str, *, with_counts: bool = False) -> list[ContextPrediction]:
        """Predict from the last 0, 1, 2, 4, 8 ... and from all characters of the prefix.

        Raises:
            CorpusError: see `predict`.
        """
        return ladder(
            self.predictor_for(with_counts=with_counts), self.tokenizer.to_chars(prefix, _warn)
        )

    @overload
    def sample(
        self,
        prime: str = "",
        *,
        num_samples: None = None,
        seed: int | None = None,
        with_counts: bool = False,
        **options: Unpack[SampleOptions],
    ) -> str: ...
    @overload
    def sample(
        self,
        prime: str = "",
        *,
        num_samples: int,
        seed: int | None = None,
        with_counts: bool = False,
        **options: Unpack[SampleOptions],
    ) -> list[str]: ...
    def sample(
        self,
        prime: str = "",
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        with_counts: bool = False,
        **options: Unpack[SampleOptions],
    ) -> str | list[str]:
        """Continue a text, at most to the end of the document.

        >>> text = model.sample("qu", length=300, temperature=0.7, seed=1)
        >>> three = model.sample("qu", length=20, num_samples=3)
        >>> def without_e(log_p):
        ...     log_p[..., model.tokenizer.encode("e")] = float("-inf")
        ...     return log_p
        >>> "e" in model.sample("qu", length=200, filters=(without_e,))
        False

        Args:
            num_samples: number of continuations, drawn in parallel; None for a single one.
            seed: the same seed gives the same text; None for a random one.
            with_counts: see `predict`.
            options: fields of `SampleConfig`, with its defaults: length, temperature, top_k,
                top_p, min_p, until, max_lines, forbid, and filters: functions that map
                log-probabilities [B, V] to log-probabilities, with -inf for forbidden ids.

        Returns:
            The text after the prime; a list of texts if `num_samples` is given.

        Raises:
            CorpusError: if the prime contains characters outside the vocabulary.
            ConfigError: if an option is invalid.
        """
        if num_samples is not None:
            require_int("num_samples", num_samples, 1, MAX_SAMPLES)
        if seed is not None:
            require_int("seed", seed, 0, MAX_SEED)
        items = draw_items(
            self.predictor_for(with_counts=with_counts),
            self.tokenizer.to_chars(prime, _warn),
            _sample_config(options),
            num_items=1 if num_samples is None else num_samples,
            generator=np.random.default_rng(seed),
        )
        texts = [
            self.tokenizer.to_text(self.tokenizer.without_end(drawn.text))
            for drawn in items.samples
        ]
        return texts[0] if num_samples is None else texts

    def stream(
        self,
        prime: str = "",
        *,
        seed: int | None = None,
        with_counts: bool = False,
        **options: Unpack[SampleOptions],
    ) -> Iterator[str]:
        """Yield the characters of a single sample as they are drawn; see `sample`.

        >>> characters = list(model.stream("qu", length=20, seed=1))
        >>> "".join(characters) == model.sample("qu", length=20, seed=1)
        True

        Raises:
            CorpusError, ConfigError: see `sample`; raised when the first character is drawn.
        """
        drawn = sample(
            self.predictor_for(with_counts=with_counts),
            self.tokenizer.to_chars(prime, _warn),
            _sample_config(options),
            generator=np.random.default_rng(seed),
        )
        symbols = (symbol for symbol in drawn if symbol != self.tokenizer.eos)
        if not self.tokenizer.is_byte:
            yield from symbols
            return
        # A character may take several bytes.
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        for symbol in symbols:
            if text := decoder.decode(symbol.encode("latin-1")):
                yield text
        yield decoder.decode(b"", final=True)

    def surprise(self, text: str) -> Surprisals:
        """Return each character's surprisal and the most likely alternatives.

        >>> [character.char for character in model.surprise("quick")]
        ['q', 'u', 'i', 'c', 'k']

        Raises:
            ConfigError: if the text is empty.
        """
        return Surprisals(trace(self.predictor, self._documents(text)).characters)

    def trace(self, text: str) -> Trace:
        """Return gates, cell and hidden states while reading a text, [layers, characters, units].

        >>> forget = model.trace("quick")["forget"]  # [layers, characters, units]
        >>> forget[0, :, 7].shape  # unit 7 of the first layer
        (5,)

        Raises:
            ConfigError: if the text is empty.
        """
        return trace(self.predictor, self._documents(text))

    def unit_steps(self, text: str, *, layer: int, unit: int) -> list[UnitStep]:
        """Return one unit's gates and states at each character, with the terms of their sums.

        >>> step = model.unit_steps("quick", layer=0, unit=7)[-1]
        >>> gate = step.gate("forget")
        >>> abs(gate.input + gate.hidden + gate.bias - gate.pre_activation) < 1e-9
        True

        Args:
            layer, unit: counted from 0, as in `trace`.

        Raises:
            ConfigError: if the text is empty, or there is no such layer or unit.
        """
        config = self.checkpoint.spec.model_config
        require_int("layer", layer, 0, config.num_layers - 1)
        require_int("unit", unit, 0, config.hidden_size - 1)
        return unit_steps(self.checkpoint, self._documents(text), layer=layer, unit=unit)

    def evaluate(self, split: SplitName = "test", *, with_counts: bool = False) -> Evaluation:
        """Score a split of the model's corpus, including items that occur in the training text.

        Args:
            with_counts: see `predict`; the interpolation was tuned on the validation text.

        Raises:
            ConfigError: if there is no such split.
            CorpusError: if the text is unavailable, or the split is empty.
        """
        if split not in get_args(SplitName):
            raise ConfigError(f"split {split!r}: must be train, val or test")
        corpus = self.corpus()
        text: EncodedText = getattr(corpus, split)
        return Evaluation.of_scores(text, self.predictor_for(with_counts=with_counts).score(text))

    @property
    def history(self) -> list[dict[str, Any]]:
        """Log entries of the untrained model and of the evaluations, as in `runs show --json`."""
        return [dict(entry) for entry in self.checkpoint.history]

    def page(self, path: str | Path, *, text: str | None = None) -> Path:
        """Write a web page that runs the model, like `charlstm inspect --html`.

        Args:
            text: the text that the page opens with; None for some held-out text.

        Raises:
            CorpusError: if the model's corpus is unavailable.
            CharLSTMError: if the file can't be written, or is one of the model's sources.
        """
        path = Path(require_path("path", path))
        held_out = self.corpus().held_out()
        if text is not None:
            text = self.tokenizer.to_chars(text, _warn)
            self.tokenizer.require_known(text)
        page = build_page(self.checkpoint, name=self.title, text=text, held_out=held_out)
        with open_output(path, inputs=self.sources()) as file:
            file.write(page.data)
        return path

    def export_js(self, path: str | Path) -> Path:
        """Write a JavaScript module that runs the model, like `charlstm export --format js`.

        Args:
            path: a .js or .mjs file, or a folder, which also gets types and an example page.

        Raises:
            CharLSTMError: if it can't be written, or contains anything but an export of this model.
        """
        path = Path(require_path("path", path))
        export_module(self.checkpoint, path, name=self.title, inputs=self.sources())
        return path

    def to_torch(self) -> "TextModel":
        """Return the model as a `torch.nn.Module` with `encode` and `decode`; see `TextModel`.

        >>> module = model.to_torch()
        >>> logits_TBV, state = module(module.encode("quick")[:, None])
        >>> logits_TBV.shape[:2]
        torch.Size([6, 1])
        """
        import_torch()
        from charlstm.model.text_model import TextModel

        return TextModel(self.checkpoint)

    def __repr__(self) -> str:
        config, bits = self.checkpoint.spec.model_config, self.checkpoint.best_val_bits_per_char
        score = "" if bits is None else f", {bits:.3f} bits per character on validation"
        return (
            f"<charlstm.Model {self.name!r}: {config}, {config.num_parameters:,} parameters{score}>"
        )

    def _repr_html_(self) -> str:
        """Render size, score, training curve and a sample in a notebook."""
        bits = [entry["val_bits_per_char"] for entry in self.history]
        drawn = self.sample(length=_REPR_CHARS, temperature=0.8, seed=0)
        body = notebook_html.curve([value for value in bits if value is not None])
        return notebook_html.titled(repr(self).strip("<>"), body + notebook_html.quoted(drawn))

    def score(self, text: str | Path, *, with_counts: bool = False) -> Evaluation:
        """Score a text, including unknown characters; for a model of a list, line by line.

        >>> model.score("the quick brown fox").num_chars
        19

        Args:
            text: a text, or a `pathlib.Path` of a file, read with the model's settings.
            with_counts: see `predict`.

        Raises:
            CorpusError: if the text is empty or can't be read, or a training text is needed but
                unavailable.
        """
        documents = self._documents(text)
        predictor = self.predictor_for(with_counts=with_counts)
        return Evaluation.of_scores(documents, predictor.score(documents))

    def difference(self, other: "Model", text: str | Path) -> Difference:
        """Compare two models on the same text, like `charlstm eval --against`.

        Negative differences mean that this model is better. About 20 blocks of 1,000 characters,
        or 20 documents of similar length, give a 95 % confidence interval for the choice of text;
        it doesn't cover the variance between training seeds. Overlap with the training texts isn't
        checked.

        >>> model.difference(model, "the quick brown fox " * 20).difference_bits_per_char
        0.0

        Args:
            text: see `score`.

        Raises:
            CorpusError: if the models read texts differently, or the text is empty.
        """
        if not isinstance(other, Model):
            raise ConfigError(f"other: must be a charlstm.Model, not {reprlib.repr(other)}")
        specs = (self.checkpoint.spec, other.checkpoint.spec)
        require_same_reading(*specs, names=("the model", "the other"))
        own, others = (self._documents(text, model.tokenizer) for model in (self, other))
        return compare(
            self.predictor.score(own),
            other.predictor.score(others),
            own,
            others,
            self.tokenizer,
            other.tokenizer,
        )

    def _documents(self, text: str | Path, tokenizer: CharTokenizer | None = None) -> EncodedText:
        """Read a text with the model's settings and encode it, by default with its tokenizer."""
        tokenizer = tokenizer or self.tokenizer
        if isinstance(text, Path):
            config = self.checkpoint.spec.corpus
            other = encode_files([str(text)], config, tokenizer)
            for notice in other.notices:
                _warn(notice)
            return other.split
        if isinstance(text, str) and os.path.isfile(text):
            _warn(f"{text}: this text is scored, not the file; for the file give a pathlib.Path")
        return tokenizer.encode_documents(
            self.tokenizer.documents(self.tokenizer.to_chars(text, _warn))
        )
