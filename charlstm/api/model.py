"""A trained model, loaded: what commands, the Python API, the page and exports share."""

import codecs
import contextlib
import math
import os
import reprlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack, get_args, overload

import numpy as np

from charlstm.analysis.inspection import trace
from charlstm.analysis.unit import UnitStep, unit_steps
from charlstm.api.results import Activations, CharacterSurprise, Surprises
from charlstm.config import MAX_SAMPLES, NATS_PER_BIT, SampleConfig, SplitName
from charlstm.errors import ConfigError, ContainerError, CorpusError
from charlstm.evaluation.difference import Difference, compare, require_same_reading
from charlstm.evaluation.items import (
    ItemScore,
    Percentiles,
    batches_of,
    read_percentiles,
    score_items,
    validation_items,
    write_percentiles,
)
from charlstm.evaluation.scores import Evaluation, Prediction, Scores
from charlstm.evaluation.with_ngrams import count, mixed
from charlstm.export.javascript import export_module
from charlstm.export.rounding import measure_rounding
from charlstm.export.webpage import build_page, opening
from charlstm.inference.items import draw_items
from charlstm.inference.prediction import ContextPrediction, NextCharacters, ladder, predict_next
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import Filter, sample
from charlstm.model.checkpoints import Checkpoint
from charlstm.ngram.interpolation import Counts
from charlstm.ngram.storage import owner_of, read_counts, read_val_nats, write_counts
from charlstm.settings import MAX_SEED, require_int, require_path
from charlstm.system import layout, markup
from charlstm.system.files import open_output
from charlstm.system.interrupts import has_torch, import_torch
from charlstm.system.terminal import escape_line
from charlstm.text.alphabet import Alphabet
from charlstm.text.corpus import Corpus, encode_files
from charlstm.text.filelist import sources_of
from charlstm.text.split import Split
from charlstm.text.storage import load_corpus_of_run

if TYPE_CHECKING:
    from charlstm.model.module import TextModel
    from charlstm.model.network import CharLSTM


_REPR_CHARS: Final = 200
# Of a text that is scored before torch would be loaded.
_FEW_CHARS: Final = 20_000

Notify = Callable[[str], object]


def _warn(notice: str) -> None:
    """Warn the caller of a method that was given a text."""
    warnings.warn(escape_line(notice), stacklevel=4)


def ignored(_message: str) -> None:
    """Drop a notice."""


class SampleOptions(TypedDict, total=False):
    """The fields of `SampleConfig`, which has their meaning and defaults."""

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
    """Return the options of `sample`.

    Raises:
        TypeError: when there is no such option.
    """
    known = SampleOptions.__annotations__
    if unknown := sorted(options.keys() - known.keys()):
        raise TypeError(
            f"sample() got an unexpected keyword argument {unknown[0]!r}; "
            f"it takes num_samples, seed, with_counts, {', '.join(known)}"
        )
    return SampleConfig(**options)


class Model:
    """A trained model.

    Args:
        checkpoint: all that is stored of it: settings, vocabulary, weights, history.
        name: of its run, or its file.
        path: the file that it was read from.
        text_folder: the folder of its run, which keeps its encoded text; None for none.
        derived_folder: where counts and percentiles are kept; None for nowhere.
        notices: what was found wrong on the way to a checkpoint that loads.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        name: str,
        path: Path,
        text_folder: Path | None = None,
        derived_folder: Path | None = None,
        notices: tuple[str, ...] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self.name = name
        self.path = path
        self.notices = notices
        self._with_counts: Predictor | None = None
        self._text_folder = text_folder
        self._derived_folder = derived_folder

    @property
    def title(self) -> str:
        """The name without folders."""
        return Path(self.name).name.removesuffix(layout.SUFFIX)

    @property
    def alphabet(self) -> Alphabet:
        return self.checkpoint.spec.alphabet

    @cached_property
    def predictor(self) -> Predictor:
        return Predictor(self.checkpoint)

    def network(self, device: str = "cpu") -> "CharLSTM":
        """The model in torch."""
        import_torch()
        from charlstm.model.network import CharLSTM

        network = CharLSTM(
            self.checkpoint.spec.model_config,
            unknown_probability=self.alphabet.unknown_probability,
        )
        network.load_arrays(self.checkpoint.weights)
        return network.to(device)

    def counts(
        self,
        notify: Notify = ignored,
        *,
        predict: Callable[[Split], Iterable[Prediction]] | None = None,
    ) -> Counts:
        """The counts of its training text: as they were kept, or made now, in seconds a megabyte.

        Args:
            notify: is told what is done.
            predict: by the network, in torch; None without torch.

        Raises:
            CorpusError: when they weren't kept and the text isn't there any more.
        """
        path = self._derived(layout.COUNTS)
        if path is not None:
            try:
                return read_counts(path, self.alphabet, owner=self._owner)
            except FileNotFoundError:
                pass
            except ContainerError as error:
                notify(f"{path}: {error}; the text is counted again")
            except OSError as error:
                notify(f"{path}: {error.strerror}; the text is counted again")
        corpus = self.corpus()
        predict = predict or self.predictor.predictions
        counts = count(predict, self.alphabet, corpus.train, corpus.val)
        notify(
            f"counted {corpus.train.num_chars:,} characters: {counts.ngrams.num_ngrams:,} n-grams "
            f"with up to {counts.ngrams.order} characters of context"
        )
        if (only := counts.mixture.only) is not None:
            notify(f"mixing showed no gain on validation: the {only} alone will be used")
        if path is not None:
            # A full disk or a read-only folder does no harm.
            with contextlib.suppress(OSError):
                write_counts(path, counts, owner=self._owner, mode=self._mode_of(corpus))
        return counts

    def counts_val_bits(self, *, may_count: bool = False) -> float | None:
        """Return the n-gram counts' own loss on the validation text, in bits per character.

        Args:
            may_count: whether the text may be counted for it where no counts are kept.

        Returns:
            None where there are no counts, or there was no validation text.
        """
        path = self._derived(layout.COUNTS)
        try:
            if may_count:
                nats = self.counts().val_nats_per_char
            elif path is None:
                return None
            else:
                nats = read_val_nats(path, owner=self._owner)
        except (CorpusError, ContainerError, OSError):
            return None
        return None if nats is None else nats / NATS_PER_BIT

    def with_counts(self, notify: Notify = ignored) -> Predictor:
        """The predictor of network and counts together.

        Raises:
            CorpusError: as `counts` does.
        """
        if self._with_counts is None:
            self._with_counts = Predictor(self.checkpoint, counts=self.counts(notify))
        return self._with_counts

    def percentiles(
        self, *, with_counts: bool = False, notify: Notify = ignored
    ) -> Percentiles | None:
        """The costs of its validation items, as they were kept, or found now.

        Args:
            with_counts: as of `predict`.
            notify: is told what is done.

        Returns:
            None where there is no validation text any more.
        """
        path = self._derived(layout.PERCENTILES_WITH_COUNTS if with_counts else layout.PERCENTILES)
        if path is not None and (kept := read_percentiles(path, owner=self._owner)) is not None:
            return kept
        try:
            corpus = self.corpus()
        except CorpusError:
            return None
        items = validation_items(corpus.val, self.alphabet)
        if not items.num_chars:
            return None
        notify(f"scoring {len(items.starts):,} validation items, to compare others with")
        predict = self.predictions(with_counts=with_counts)
        found = Percentiles.of(Scores.of(predict(items), items), items)
        if path is not None:
            with contextlib.suppress(OSError):
                write_percentiles(path, found, owner=self._owner, mode=self._mode_of(corpus))
        return found

    @cached_property
    def _owner(self) -> str:
        return owner_of(self.checkpoint.weights, self.checkpoint.spec.fingerprint)

    def _derived(self, name: str) -> Path | None:
        return None if self._derived_folder is None else self._derived_folder / name

    def _mode_of(self, corpus: Corpus) -> int:
        """Return the mode of a file derived from both the text and the model."""
        return corpus.mode & self.path.stat().st_mode

    def predictions(
        self,
        *,
        with_counts: bool = False,
        device: str = "auto",
        threads: int | None = None,
        notify: Notify = ignored,
    ) -> Callable[[Split], Iterable[Prediction]]:
        """Return a function that predicts every character: with torch for long texts, else numpy.

        Args:
            with_counts: as of `predict`.
            device, threads: of torch.
            notify: is told where the training text is counted.
        """
        predictor = self.with_counts(notify) if with_counts else self.predictor
        network: list[CharLSTM] = []

        def predict(text: Split) -> Iterable[Prediction]:
            if text.num_chars < _FEW_CHARS or not has_torch():
                return predictor.predictions(text)
            from charlstm.evaluation import scoring
            from charlstm.training.hardware import resolve_device, set_threads

            if not network:
                set_threads(threads)
                network.append(self.network(resolve_device(device)))
            found = scoring.predictions(network[0], text)
            return found if predictor.counts is None else mixed(found, text, predictor.counts)

        return predict

    def score_lines(
        self, lines: Iterable[str], *, with_counts: bool = False
    ) -> Iterator[ItemScore]:
        r"""Score lines, each by itself, as they come.

        >>> usual, odd = model.score_lines(["the quick", "zzzzzzzzz"])
        >>> usual.bits_per_char < odd.bits_per_char
        True

        Args:
            lines: with or without their line ends; those of a list are scored side by side.
            with_counts: as of `predict`.
        """
        predict = self.predictions(with_counts=with_counts)
        percentiles = self.percentiles(with_counts=with_counts)
        for number, texts in batches_of(lines):
            yield from score_items(texts, self.alphabet, predict, percentiles, first_number=number)

    def sources(self) -> Iterator[str]:
        """The files that it comes from, as far as they are there: its own and its text's."""
        yield str(self.path)
        yield from sources_of(self.checkpoint.spec.corpus)

    def corpus(self) -> Corpus:
        """The corpus that it was trained on: the run's copy, or its text read again.

        Raises:
            CorpusError: when neither is possible, or the text has changed.
        """
        if self.name == layout.EXAMPLE:
            raise CorpusError(
                "the example comes without its text: name another text, or train a model of your "
                "own, which keeps it"
            )
        spec = self.checkpoint.spec
        return load_corpus_of_run(spec.corpus, spec.fingerprint, spec.vocabulary, self._text_folder)

    def predict(self, prefix: str = "", *, with_counts: bool = False) -> NextCharacters:
        """The distribution of the character after a text, the most likely first.

        >>> char, probability = model.predict("qu").next[0]

        Args:
            with_counts: of the network and the counts of its training text together.

        Raises:
            CorpusError: when the prefix holds characters outside the vocabulary, or there is no
                text to count.
        """
        symbols = self.alphabet.to_symbols(prefix, _warn)
        return predict_next(self._chosen(with_counts=with_counts), symbols)

    def ladder(self, prefix: str, *, with_counts: bool = False) -> list[ContextPrediction]:
        """The same prediction with 0, 1, 2, 4, 8 ... and finally all characters of the prefix.

        Raises:
            CorpusError: as `predict` does.
        """
        return ladder(
            self._chosen(with_counts=with_counts), self.alphabet.to_symbols(prefix, _warn)
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
        """Continue a text, to the end of its document at most.

        >>> text = model.sample("qu", length=300, temperature=0.7, seed=1)
        >>> three = model.sample("qu", length=20, num_samples=3)
        >>> def without_e(log_p):
        ...     log_p[..., model.alphabet.encode("e")] = -math.inf
        ...     return log_p
        >>> "e" in model.sample("qu", length=200, filters=(without_e,))
        False

        Args:
            num_samples: of so many continuations at once; None for a single one.
            seed: the same seed gives the same text; None for another one each time.
            with_counts: as of `predict`.
            options: of `SampleConfig`, with its defaults: length, temperature, top_k, top_p,
                min_p, until, max_lines, forbid, and filters, functions from log-probabilities
                [B, V] of the ids to log-probabilities, with minus infinity for what must not come.

        Returns:
            What comes after the prime; a list, where `num_samples` is given.

        Raises:
            CorpusError: when the prime holds characters outside the vocabulary.
            ConfigError: when an option is impossible.
        """
        if num_samples is not None:
            require_int("num_samples", num_samples, 1, MAX_SAMPLES)
        if seed is not None:
            require_int("seed", seed, 0, MAX_SEED)
        items = draw_items(
            self._chosen(with_counts=with_counts),
            self.alphabet.to_symbols(prime, _warn),
            _sample_config(options),
            num_items=1 if num_samples is None else num_samples,
            generator=np.random.default_rng(seed),
        )
        texts = [
            self.alphabet.to_text(self.alphabet.without_end(one.text)) for one in items.samples
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
        """As `sample`, character by character as they are drawn; joined they are its result.

        >>> characters = list(model.stream("qu", length=20, seed=1))
        >>> "".join(characters) == model.sample("qu", length=20, seed=1)
        True

        Raises:
            CorpusError, ConfigError: as of `sample`, with the first character.
        """
        drawn = sample(
            self._chosen(with_counts=with_counts),
            self.alphabet.to_symbols(prime, _warn),
            _sample_config(options),
            generator=np.random.default_rng(seed),
        )
        symbols = (symbol for symbol in drawn if symbol != self.alphabet.end)
        if not self.alphabet.is_byte:
            yield from symbols
            return
        # A character may take several bytes.
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        for symbol in symbols:
            if text := decoder.decode(symbol.encode("latin-1")):
                yield text
        yield decoder.decode(b"", final=True)

    def surprise(self, text: str) -> Surprises:
        """What each character of a text costs, and what was expected instead.

        >>> [one.char for one in model.surprise("quick")]
        ['q', 'u', 'i', 'c', 'k']

        Raises:
            ConfigError: when the text is empty.
        """
        found = trace(self.predictor, self._documents(text)).characters
        return Surprises(
            tuple(
                CharacterSurprise(
                    char=one.char,
                    bits=one.nats / NATS_PER_BIT,
                    probability=math.exp(-one.nats),
                    candidates=one.candidates,
                )
                for one in found
            )
        )

    def trace(self, text: str) -> Activations:
        """Gates, cell and hidden states while a text is read, arrays [layers, characters, units].

        >>> forget = model.trace("quick")["forget"]  # [layers, characters, units]
        >>> forget[0, :, 7].shape  # of the first layer's unit 7
        (5,)

        Raises:
            ConfigError: when the text is empty.
        """
        return Activations.of(trace(self.predictor, self._documents(text)))

    def unit_steps(self, text: str, *, layer: int, unit: int) -> list[UnitStep]:
        """What one unit did at each character of a text, as sums that can be followed by hand.

        >>> step = model.unit_steps("quick", layer=0, unit=7)[-1]
        >>> gate = step.gate("forget")
        >>> abs(gate.input + gate.hidden + gate.bias - gate.pre_activation) < 1e-9
        True

        Args:
            layer, unit: from 0 on, as in `trace`.

        Raises:
            ConfigError: when the text is empty, or there is no such layer or unit.
        """
        config = self.checkpoint.spec.model_config
        require_int("layer", layer, 0, config.num_layers - 1)
        require_int("unit", unit, 0, config.hidden_size - 1)
        return unit_steps(self.checkpoint, self._documents(text), layer=layer, unit=unit)

    def evaluate(self, split: SplitName = "test", *, with_counts: bool = False) -> Evaluation:
        """Score a split of the model's own text; documents of a list that were learned count, too.

        Args:
            with_counts: as of `predict`; how both are mixed was chosen on the validation text.

        Raises:
            ConfigError: when there is no such split.
            CorpusError: when the text is gone, or that split is empty.
        """
        if split not in get_args(SplitName):
            raise ConfigError(f"no split {split!r}: train, val or test")
        corpus = self.corpus()
        text: Split = getattr(corpus, split)
        return Evaluation.of_scores(text, self._chosen(with_counts=with_counts).score(text))

    @property
    def history(self) -> list[dict[str, Any]]:
        """Each evaluation during training, as `charlstm runs show --json` has it."""
        return [dict(entry) for entry in self.checkpoint.history]

    def page(self, path: str | Path, *, text: str | None = None) -> Path:
        """Write a web page that runs the model, as `charlstm inspect --html` does.

        Args:
            text: what stands in it when it is opened; None for a little held-out text.

        Raises:
            CorpusError: when the model's text is gone.
            CharLSTMError: when the file can't be written, or is what the model comes from.
        """
        path = Path(require_path("path", path))
        held_out = self.corpus().held_out()
        if text is None:
            shown = opening(self.alphabet, held_out)
        else:
            shown = self.alphabet.to_symbols(text, _warn)
            self.alphabet.require_known(shown)
        page = build_page(
            self.checkpoint,
            name=self.title,
            text=shown,
            held_out=held_out,
            cost=measure_rounding(self.checkpoint, held_out),
        )
        with open_output(path, inputs=self.sources()) as file:
            file.write(page.encode("utf-8", "backslashreplace"))
        return path

    def export_js(self, path: str | Path) -> Path:
        """Write a JavaScript module that runs the model, as `charlstm export --format js` does.

        Args:
            path: a .js or .mjs file, or a folder, which also gets types and an example page.

        Raises:
            CharLSTMError: if it can't be written, or holds anything but an export of this model.
        """
        path = Path(require_path("path", path))
        export_module(self.checkpoint, path, name=self.title, inputs=self.sources())
        return path

    def to_torch(self) -> "TextModel":
        """The model as a `torch.nn.Module` with `encode` and `decode`; see `TextModel`.

        >>> module = model.to_torch()
        >>> logits_TBV, state = module(module.encode("quick")[:, None])
        >>> logits_TBV.shape[:2]
        torch.Size([6, 1])
        """
        import_torch()
        from charlstm.model.module import TextModel

        return TextModel(self.checkpoint)

    def __repr__(self) -> str:
        config, bits = self.checkpoint.spec.model_config, self.checkpoint.best_val_bits_per_char
        score = "" if bits is None else f", {bits:.3f} bits per character on validation"
        return (
            f"<charlstm.Model {self.name!r}: {config}, {config.num_parameters:,} parameters{score}>"
        )

    def _repr_html_(self) -> str:
        """Size, score, the curve of training, and a sample, for a notebook."""
        bits = [one["val_bits_per_char"] for one in self.history]
        drawn = self.sample(length=_REPR_CHARS, temperature=0.8, seed=0)
        body = markup.curve([one for one in bits if one is not None])
        return markup.titled(repr(self).strip("<>"), body + markup.quoted(drawn))

    def _chosen(self, *, with_counts: bool) -> Predictor:
        return self.with_counts() if with_counts else self.predictor

    def score(self, text: str | Path, *, with_counts: bool = False) -> Evaluation:
        """Score a text by itself, its unknown characters included; of a list, line by line.

        >>> model.score("the quick brown fox").num_chars
        19

        Args:
            text: a text; a `pathlib.Path` is a file, read as the model's own text was.
            with_counts: as of `predict`.

        Raises:
            CorpusError: when the text is empty or can't be read, or there is none to count.
        """
        documents = self._documents(text)
        predictor = self._chosen(with_counts=with_counts)
        return Evaluation.of_scores(documents, predictor.score(documents))

    def difference(self, other: "Model", text: str | Path) -> Difference:
        """By how much two models' costs of a text differ.

        As `charlstm eval --against`, with an interval of 95 % from 20,000 characters or 20
        documents on: below 0 where this model is the better one. Another seed of
        the same training is another matter, and whether a model learned from the text isn't
        checked.

        >>> model.difference(model, "the quick brown fox " * 20).difference_bits_per_char
        0.0

        Args:
            text: as of `score`.

        Raises:
            CorpusError: when the two read texts in different ways, or the text is empty.
        """
        if not isinstance(other, Model):
            raise ConfigError(f"other must be a model, as load gives it, not {reprlib.repr(other)}")
        specs = (self.checkpoint.spec, other.checkpoint.spec)
        require_same_reading(*specs, names=("the model", "the other"))
        own, others = (self._documents(text, model.alphabet) for model in (self, other))
        return compare(
            self.predictor.score(own),
            other.predictor.score(others),
            own,
            others,
            self.alphabet,
            other.alphabet,
        )

    def _documents(self, text: str | Path, alphabet: Alphabet | None = None) -> Split:
        """Return a text, read as the model's own was, in ids of an alphabet, by default its own."""
        alphabet = alphabet or self.alphabet
        if isinstance(text, Path):
            config = self.checkpoint.spec.corpus
            other = encode_files([str(text)], config, alphabet)
            for notice in other.notices:
                _warn(notice)
            return other.split
        if isinstance(text, str) and os.path.isfile(text):
            _warn(f"{text} is scored as a text; for the file give a pathlib.Path")
        return alphabet.split(self.alphabet.documents(self.alphabet.to_symbols(text, _warn)))
