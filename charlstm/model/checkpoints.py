"""Checkpoints: weights, vocabulary, settings and history in one safetensors file, no pickle.

For the header and the digest, see `system.tensor_file`.
"""

import contextlib
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from charlstm.config import (
    MAX_BITS,
    MAX_CHARACTERS,
    MAX_SECONDS,
    Budget,
    Dropouts,
    ReadingConfig,
    TrainConfig,
    from_plain,
)
from charlstm.errors import CharLSTMError, CheckpointError, ConfigError, TensorFileError
from charlstm.model.config import ModelConfig
from charlstm.reading.documents import EOS
from charlstm.settings import MAX_COUNT, ReadingSettings, TrainSettings, require_int, require_real
from charlstm.system.tensor_file import Entry, TensorFile, open_tensor_file, to_bytes
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import Vocabulary

FORMAT_VERSION: Final = 2
MAX_HISTORY: Final = 20_000

_MAX_BYTE: Final = 0xFF
_MODEL: Final = "model."
_TRAINING: Final = "training."
_MAX_REASON_CHARS: Final = 200
# One Mersenne Twister state per process, for a few thousand processes.
_MAX_GENERATOR_BYTES: Final = 16_000_000
_HISTORY_REALS: Final = {
    "epoch": float(MAX_COUNT),
    "train_bits_per_char": MAX_BITS,
    "val_bits_per_char": MAX_BITS,
    "dropout": 1.0,
    "recurrent_dropout": 1.0,
}

# The configurations in a header, which are objects of their own there.
_CONFIGS: Final[dict[str, type[Any]]] = {
    "model_config": ModelConfig,
    "train_config": TrainConfig,
    "budget": Budget,
    "corpus": ReadingConfig,
    "reading": ReadingSettings,
    "settings": TrainSettings,
}

Arrays = dict[str, npt.NDArray[Any]]
# A `Started` or `Evaluated` event as logged, plain JSON.
LogEntry = dict[str, Any]
_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Training state other than the weights.

    Args:
        arrays: optimizer state, recurrent state, random generators.
        numbers: counters, running means, learning-rate factor.
    """

    arrays: Arrays
    numbers: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Constants of a run: model, training and text.

    Args:
        corpus: how the training text was read.
        corpus_name: short name of the text.
        fingerprint: fingerprint of the training text, see `Corpus`.
        num_train_chars: length of the training split.
        reading, settings: the user's settings when the run started.
        init_from: name of the run that provided the initial weights.
    """

    model_config: ModelConfig
    train_config: TrainConfig
    budget: Budget
    corpus: ReadingConfig
    corpus_name: str
    fingerprint: str
    num_train_chars: int
    vocabulary: Vocabulary
    reading: ReadingSettings = ReadingSettings()
    settings: TrainSettings = TrainSettings()
    init_from: str | None = None

    def __post_init__(self) -> None:
        require_int("the number of training characters", self.num_train_chars, 2, MAX_COUNT)
        not_bytes = self.vocabulary.codes[self.vocabulary.codes > _MAX_BYTE]
        if self.corpus.level == "byte" and not set(not_bytes.tolist()) <= {ord(EOS)}:
            raise ConfigError("a byte-level vocabulary must consist of the 256 bytes and EOS only")
        if not isinstance(self.corpus_name, str) or not isinstance(self.fingerprint, str):
            raise ConfigError("the corpus's name and fingerprint must be strings")
        if not isinstance(self.init_from, str | None):
            raise ConfigError("init_from must be a run's name")

    @cached_property
    def tokenizer(self) -> CharTokenizer:
        return CharTokenizer(
            config=self.corpus, vocabulary=self.vocabulary, num_train_chars=self.num_train_chars
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the content of a checkpoint's header, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        parts = {name: asdict(values[name]) for name in _CONFIGS}
        # As code points: JSON would merge two adjacent lone surrogates.
        return {**values, **parts, "vocabulary": self.vocabulary.codes.tolist()}

    @classmethod
    def from_plain(cls, header: Mapping[str, Any]) -> "RunSpec":
        """Build from a checkpoint's header.

        Raises:
            CharLSTMError, KeyError: if the header is invalid.
        """
        values = {field.name: header[field.name] for field in fields(cls)}
        parts = {name: from_plain(kind, values[name]) for name, kind in _CONFIGS.items()}
        return cls(**{**values, **parts, "vocabulary": _vocabulary(values["vocabulary"])})


@dataclass(frozen=True, kw_only=True)
class Header:
    """A checkpoint without its tensors.

    Args:
        step: gradient steps made.
        history: the run's `Started` and `Evaluated` events so far, as logged.
        is_finished: whether the budget was used.
        saved_at: Unix time, in seconds.
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
        """The dropout rates at the latest evaluation."""
        maximum = self.spec.train_config.dropouts(math.inf)
        if not self.history:
            return maximum
        latest = self.history[-1]
        logged = {name: latest[name] for name in maximum._fields if latest.get(name) is not None}
        return maximum._replace(**logged)


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Header):
    """A model at one step of its run.

    Args:
        weights: float32, with the names of `lstm.CharLSTM`.
        training: state for resuming; None if the checkpoint is for inference only.
    """

    weights: Arrays
    training: TrainingState | None = None

    @property
    def val_bits_per_char(self) -> float | None:
        """Validation loss of exactly these weights, or None for a mid-training checkpoint."""
        if self.training is not None or not self.history:
            return None
        latest = self.history[-1]
        return latest.get("val_bits_per_char") if latest.get("step", 0) == self.step else None

    def to_bytes(self) -> bytes:
        """Return the file's content."""
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
        except TensorFileError as error:
            raise CheckpointError(f"can't be saved: {error}") from error


def best_val_bits_per_char(history: Iterable[LogEntry]) -> float | None:
    """Return the lowest validation loss of a history, or None if there is none."""
    bits = (entry.get("val_bits_per_char") for entry in history)
    return min((value for value in bits if value is not None), default=None)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and validate a checkpoint file.

    Raises:
        CheckpointError: if it is missing, damaged, of another version or not a checkpoint.
    """
    with _errors_with_path(path), open_tensor_file(path) as container:
        header = _header(container)
        # Before reading any data.
        _check_entries(container.entries, header.spec)
        arrays = container.read()
        weights = without_prefix(_MODEL, arrays)
        for name, weight in weights.items():
            if not np.isfinite(weight).all():
                raise CheckpointError(f"is damaged: {name} contains NaN or infinity")
        with _invalid_header_errors():
            numbers = container.header["training"]
            training = None
            if numbers is not None:
                training = TrainingState(
                    arrays=without_prefix(_TRAINING, arrays), numbers=dict(numbers)
                )
        return Checkpoint(**vars(header), weights=weights, training=training)


def read_header(path: Path) -> Header:
    """Read a checkpoint file's header, without validating the tensors.

    Raises:
        CheckpointError: if the file is missing, of another version or not a checkpoint, or its
            header is invalid.
    """
    with _errors_with_path(path), open_tensor_file(path) as container:
        return _header(container)


@contextlib.contextmanager
def _errors_with_path(path: Path) -> Iterator[None]:
    try:
        yield
    except (CheckpointError, TensorFileError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error or "out of memory"
        raise CheckpointError(f"{path}: can't be read: {reason}") from error


@contextlib.contextmanager
def _invalid_header_errors() -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except (CharLSTMError, AttributeError, KeyError, TypeError, ValueError) as error:
        # The message may quote megabytes of the file.
        reason = str(error)[:_MAX_REASON_CHARS]
        raise CheckpointError(f"is damaged: its header is invalid: {reason}") from error


def _header(container: TensorFile) -> Header:
    plain = container.header
    version = plain.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"has format version {reprlib.repr(version)}, "
            f"this charlstm reads version {FORMAT_VERSION}; use the charlstm that wrote it"
        )
    with _invalid_header_errors():
        spec = RunSpec.from_plain(plain)
        if len(spec.vocabulary) != spec.model_config.num_characters:
            raise CheckpointError("is damaged: vocabulary and model have different sizes")
        log_entries = plain["history"]
        if not isinstance(log_entries, list) or len(log_entries) > MAX_HISTORY:
            raise CheckpointError(
                f"is damaged: its history must be a list of at most {MAX_HISTORY:,} entries"
            )
        return Header(
            spec=spec,
            step=plain["step"],
            history=tuple(map(_validated, log_entries)),
            is_finished=bool(plain["is_finished"]),
            saved_at=plain["saved_at"],
        )


def _validated(entry: object) -> LogEntry:
    if not isinstance(entry, dict):
        raise ConfigError("each entry of the history must be an object")
    require_int("a step", entry.get("step", 0), 0, MAX_COUNT)
    for name, highest in _HISTORY_REALS.items():
        if entry.get(name) is not None:
            require_real(name, entry[name], 0.0, highest)
    if not isinstance(entry.get("sample", ""), str):
        raise ConfigError("a sample must be a string")
    fractions = [mean for layer in entry.get("gates", ()) for mean in layer.values()]
    for layer in entry.get("gate_shares", ()):
        for closed, is_open in layer.values():
            fractions += (closed, is_open)
    for fraction in fractions:
        require_real("a gate statistic", fraction, 0.0, 1.0)
    return entry


def _vocabulary(codes: object) -> Vocabulary:
    if not isinstance(codes, list) or len(codes) > MAX_CHARACTERS:
        raise CheckpointError("is damaged: its vocabulary is not a list of code points")
    for code in codes:
        require_int("a code point", code, 0, MAX_CHARACTERS - 1)
    return Vocabulary.from_codes(np.array(codes, np.uint32))


def without_prefix(prefix: str, values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return the values whose names have a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }


def _check_entries(entries: Mapping[str, Entry], spec: RunSpec) -> None:
    """Raise CheckpointError unless the tensor table fits the model's configuration."""
    shapes = spec.model_config.weight_shapes()
    model = without_prefix(_MODEL, entries)
    num_training_bytes = sum(
        entry.num_bytes for name, entry in entries.items() if not name.startswith(_MODEL)
    )
    if mismatches := sorted(model.keys() ^ shapes.keys()):
        kind = "missing" if mismatches[0] in shapes else "unexpected"
        raise CheckpointError(f"is damaged: {kind} tensor {mismatches[0]!r}")
    for name, entry in model.items():
        if entry.shape != shapes[name] or entry.dtype != np.float32:
            raise CheckpointError(
                f"is damaged: {name} is {entry.dtype} {entry.shape}, not float32 {shapes[name]}"
            )
    if num_training_bytes > _max_training_bytes(spec):
        raise CheckpointError(
            f"is damaged: its training state is too large ({num_training_bytes:,} bytes)"
        )


def _max_training_bytes(spec: RunSpec) -> int:
    """Return the size of two moments per parameter, a state per stream and the generators."""
    model = spec.model_config
    state = 2 * model.num_layers * model.hidden_size * spec.train_config.batch_size
    return 4 * (2 * model.num_parameters + state) + _MAX_GENERATOR_BYTES
