"""A checkpoint in one file: weights, vocabulary, settings, history. Never a pickle.

A safetensors file with a header and a digest, see `system.container`.
"""

import contextlib
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from charlstm.config import (
    MAX_BITS,
    MAX_CHARACTERS,
    MAX_SECONDS,
    Budget,
    CorpusConfig,
    Dropouts,
    TrainConfig,
    from_plain,
)
from charlstm.errors import CharLSTMError, CheckpointError, ConfigError, ContainerError
from charlstm.model.config import ModelConfig
from charlstm.settings import MAX_COUNT, ReadingSettings, TrainSettings, require_int, require_real
from charlstm.system.container import Container, Entry, open_container, to_bytes
from charlstm.text.alphabet import Alphabet
from charlstm.text.vocabulary import END, Vocabulary

FORMAT_VERSION: Final = 2
MAX_HISTORY: Final = 20_000

_MAX_BYTE: Final = 0xFF
_MODEL: Final = "model."
_TRAINING: Final = "training."
_MAX_REASON_CHARS: Final = 200
# The state of a Mersenne Twister for each of some thousand processes.
_MAX_GENERATOR_BYTES: Final = 16_000_000
_HISTORY_REALS: Final = {
    "epoch": float(MAX_COUNT),
    "train_bits_per_char": MAX_BITS,
    "val_bits_per_char": MAX_BITS,
    "dropout": 1.0,
    "recurrent_dropout": 1.0,
}

Arrays = dict[str, npt.NDArray[Any]]
# A `Started` or `Evaluated` event of a run as it was logged, plain JSON.
LogEntry = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What a trainer carries from step to step, beside the weights.

    Args:
        arrays: optimizer, carried state, random generators.
        numbers: counters, running means, rate factor.
    """

    arrays: Arrays
    numbers: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What stays constant over a run: the model, how it is trained, and on which text.

    Args:
        corpus: how the training text was read.
        corpus_name: the text's short name.
        fingerprint: of the training text, see `Corpus`.
        num_train_chars: the length of the training split.
        reading, settings: the user's choices when the run started.
        init_from: the run whose weights it started from.
    """

    model_config: ModelConfig
    train_config: TrainConfig
    budget: Budget
    corpus: CorpusConfig
    corpus_name: str
    fingerprint: str
    num_train_chars: int
    vocabulary: Vocabulary
    reading: ReadingSettings = ReadingSettings()
    settings: TrainSettings = TrainSettings()
    init_from: str | None = None

    def __post_init__(self) -> None:
        require_int("the number of training characters", self.num_train_chars, 2, MAX_COUNT)
        others = self.vocabulary.codes[self.vocabulary.codes > _MAX_BYTE]
        if self.corpus.level == "byte" and not set(others.tolist()) <= {ord(END)}:
            raise ConfigError("at the byte level there are 256 characters and an end")
        if not isinstance(self.corpus_name, str) or not isinstance(self.fingerprint, str):
            raise ConfigError("the corpus's name and fingerprint must be strings")
        if not isinstance(self.init_from, str | None):
            raise ConfigError("init_from must be a run's name")

    @cached_property
    def alphabet(self) -> Alphabet:
        return Alphabet.of(self.corpus, self.vocabulary, num_train_chars=self.num_train_chars)

    def to_plain(self) -> dict[str, Any]:
        """As it stands in a file's header."""
        return {
            "model_config": asdict(self.model_config),
            "train_config": asdict(self.train_config),
            "budget": asdict(self.budget),
            "corpus": asdict(self.corpus),
            "corpus_name": self.corpus_name,
            "fingerprint": self.fingerprint,
            "num_train_chars": self.num_train_chars,
            # Code points, as JSON would join two lone surrogates that happen to be neighbors.
            "vocabulary": self.vocabulary.codes.tolist(),
            "reading": asdict(self.reading),
            "settings": asdict(self.settings),
            "init_from": self.init_from,
        }

    @classmethod
    def from_plain(cls, header: Mapping[str, Any]) -> "RunSpec":
        """From a file's header.

        Raises:
            CharLSTMError, KeyError: when it makes no sense.
        """
        return cls(
            model_config=from_plain(ModelConfig, header["model_config"]),
            train_config=from_plain(TrainConfig, header["train_config"]),
            budget=from_plain(Budget, header["budget"]),
            corpus=from_plain(CorpusConfig, header["corpus"]),
            corpus_name=header["corpus_name"],
            fingerprint=header["fingerprint"],
            num_train_chars=header["num_train_chars"],
            vocabulary=_vocabulary(header["vocabulary"]),
            reading=from_plain(ReadingSettings, header["reading"]),
            settings=from_plain(TrainSettings, header["settings"]),
            init_from=header["init_from"],
        )


@dataclass(frozen=True, kw_only=True)
class Header:
    """Everything in a checkpoint but its tensors.

    Args:
        step: gradient steps made.
        history: the run's `Started` and `Evaluated` events so far, as they were logged.
        is_finished: the budget was used.
        saved_at: seconds since 1970, UTC.
    """

    spec: RunSpec
    step: int
    history: tuple[LogEntry, ...]
    is_finished: bool
    saved_at: float

    def __post_init__(self) -> None:
        require_int("the step", self.step, 0, MAX_COUNT)
        require_real("the save time", self.saved_at, 0.0, MAX_SECONDS)
        require_int("the length of the history", len(self.history), 0, MAX_HISTORY)

    @property
    def best_val_bits_per_char(self) -> float | None:
        return best_val_bits_per_char(self.history)

    @property
    def dropouts(self) -> Dropouts:
        """Where dropout stood at the latest evaluation."""
        most = self.spec.train_config.dropouts(math.inf)
        if not self.history:
            return most
        latest = self.history[-1]
        known = {name: latest[name] for name in most._fields if latest.get(name) is not None}
        return most._replace(**known)


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Header):
    """A model at a step of its run.

    Args:
        weights: float32, by the names of `network.CharLSTM`.
        training: only in checkpoints that training can be resumed from.
    """

    weights: Arrays
    training: TrainingState | None = None

    @property
    def val_bits_per_char(self) -> float | None:
        """Of these very weights: known of a best model, not of one in the midst of training."""
        if self.training is not None or not self.history:
            return None
        latest = self.history[-1]
        return latest.get("val_bits_per_char") if latest.get("step", 0) == self.step else None

    def to_bytes(self) -> bytes:
        """The file's content."""
        training = self.training
        header = {
            "format_version": FORMAT_VERSION,
            **self.spec.to_plain(),
            "step": self.step,
            "history": list(self.history),
            "is_finished": self.is_finished,
            "saved_at": self.saved_at,
            "training": None if training is None else training.numbers,
        }
        arrays = {f"{_MODEL}{name}": value for name, value in self.weights.items()}
        if training is not None:
            arrays |= {f"{_TRAINING}{name}": value for name, value in training.arrays.items()}
        try:
            return to_bytes(arrays, header)
        except ContainerError as error:
            raise CheckpointError(f"can't be saved: {error}") from error


def best_val_bits_per_char(history: Iterable[LogEntry]) -> float | None:
    """The lowest validation figure of a history; None where nothing was validated."""
    bits = (entry.get("val_bits_per_char") for entry in history)
    return min((value for value in bits if value is not None), default=None)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check one checkpoint file.

    Raises:
        CheckpointError: when it is missing, damaged, of another version, or not a checkpoint.
    """
    with _named_errors(path), open_container(path) as container:
        header = _header(container)
        # Before any data is read.
        _check_entries(container.entries, header.spec)
        arrays = container.read()
        weights = _with_prefix(arrays, _MODEL)
        for name, weight in weights.items():
            if not np.isfinite(weight).all():
                raise CheckpointError(f"is damaged: {name} holds NaN or infinity")
        with _senseless_headers_explained():
            numbers = container.header["training"]
            training = None
            if numbers is not None:
                training = TrainingState(
                    arrays=_with_prefix(arrays, _TRAINING), numbers=dict(numbers)
                )
        return Checkpoint(**vars(header), weights=weights, training=training)


def read_header(path: Path) -> Header:
    """Read a checkpoint file's header, which proves nothing of its tensors.

    Raises:
        CheckpointError: as `read_checkpoint` does, as far as the header shows it.
    """
    with _named_errors(path), open_container(path) as container:
        return _header(container)


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (CheckpointError, ContainerError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error or "too little memory"
        raise CheckpointError(f"{path}: can't be read: {reason}") from error


@contextlib.contextmanager
def _senseless_headers_explained() -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except (CharLSTMError, AttributeError, KeyError, TypeError, ValueError) as error:
        # What it says may be megabytes of somebody else's text.
        reason = str(error)[:_MAX_REASON_CHARS]
        raise CheckpointError(f"is damaged: its header makes no sense: {reason}") from error


def _header(container: Container) -> Header:
    plain = container.header
    version = plain.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"has format version {reprlib.repr(version)}, "
            f"this charlstm reads version {FORMAT_VERSION}; use the charlstm that wrote it"
        )
    with _senseless_headers_explained():
        spec = RunSpec.from_plain(plain)
        if len(spec.vocabulary) != spec.model_config.num_characters:
            raise CheckpointError("is damaged: vocabulary and model have different sizes")
        records = plain["history"]
        if not isinstance(records, list) or len(records) > MAX_HISTORY:
            raise CheckpointError(f"is damaged: its history is no list of up to {MAX_HISTORY:,}")
        return Header(
            spec=spec,
            step=plain["step"],
            history=tuple(map(_checked_entry, records)),
            is_finished=bool(plain["is_finished"]),
            saved_at=plain["saved_at"],
        )


def _checked_entry(entry: object) -> LogEntry:
    if not isinstance(entry, dict):
        raise ConfigError("a history is made of objects")
    require_int("a step", entry.get("step", 0), 0, MAX_COUNT)
    for name, highest in _HISTORY_REALS.items():
        if entry.get(name) is not None:
            require_real(name, entry[name], 0.0, highest)
    if not isinstance(entry.get("sample", ""), str):
        raise ConfigError("a sample must be a string")
    shares = [mean for layer in entry.get("gates", ()) for mean in layer.values()]
    for layer in entry.get("gate_shares", ()):
        for closed, is_open in layer.values():
            shares += (closed, is_open)
    for share in shares:
        require_real("a share of a gate", share, 0.0, 1.0)
    return entry


def _vocabulary(codes: object) -> Vocabulary:
    if not isinstance(codes, list) or len(codes) > MAX_CHARACTERS:
        raise CheckpointError("is damaged: its vocabulary is no list of code points")
    for code in codes:
        require_int("a code point", code, 0, MAX_CHARACTERS - 1)
    return Vocabulary.of_codes(np.array(codes, np.uint32))


def _with_prefix(arrays: Arrays, prefix: str) -> Arrays:
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def _check_entries(entries: Mapping[str, Entry], spec: RunSpec) -> None:
    """Refuse a table of arrays that a model of this shape doesn't have."""
    shapes = spec.model_config.weight_shapes()
    model = {n.removeprefix(_MODEL): e for n, e in entries.items() if n.startswith(_MODEL)}
    others = sum(entry.num_bytes for name, entry in entries.items() if not name.startswith(_MODEL))
    if unexpected := sorted(model.keys() ^ shapes.keys()):
        what = "lacks" if unexpected[0] in shapes else "has a tensor that doesn't belong to it:"
        raise CheckpointError(f"is damaged: it {what} {unexpected[0]!r}")
    for name, entry in model.items():
        if entry.shape != shapes[name] or entry.dtype != np.float32:
            raise CheckpointError(
                f"is damaged: {name} is {entry.dtype} {entry.shape}, not float32 {shapes[name]}"
            )
    if others > _max_training_bytes(spec):
        raise CheckpointError(f"is damaged: {others:,} bytes are too many to resume from")


def _max_training_bytes(spec: RunSpec) -> int:
    """Two moments for each parameter, a state for each stream, generators of many processes."""
    model = spec.model_config
    state = 2 * model.num_layers * model.hidden_size * spec.train_config.batch_size
    return 4 * (2 * model.num_parameters + state) + _MAX_GENERATOR_BYTES
