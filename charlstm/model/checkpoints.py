"""A checkpoint in one file: weights, vocabulary, settings, history. Never a pickle.

A checkpoint is a safetensors file whose metadata holds one JSON object under the key `charlstm`.
Its digest is SHA-256 over the whole file with the digest's own characters as zeros: safetensors
checks a file's structure, not its values.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from charlstm.config import (
    MAX_BITS,
    MAX_CHARACTERS,
    MAX_COUNT,
    MAX_SECONDS,
    Budget,
    CorpusConfig,
    ModelConfig,
    TrainConfig,
    from_plain,
    require_int,
    require_real,
)
from charlstm.errors import CharLSTMError, CheckpointError, ConfigError
from charlstm.text.alphabet import Alphabet
from charlstm.text.vocabulary import Vocabulary

FORMAT_VERSION: Final = 1

_NO_DIGEST: Final = "0" * 64
# Inside the outer JSON string the inner quotes are escaped once. A quote inside one of the inner
# strings would be escaped twice, so no name or vocabulary can imitate this.
_DIGEST: Final = re.compile(rb'\\"digest\\":\\"([0-9a-f]{64})\\"')
# A vocabulary of all code points takes 9 MB; parsed JSON can take 20 times its text.
_MAX_HEADER_BYTES: Final = 16_000_000
_LENGTH_BYTES: Final = 8

Arrays = dict[str, npt.NDArray[Any]]


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
    """

    model_config: ModelConfig
    train_config: TrainConfig
    budget: Budget
    corpus: CorpusConfig
    corpus_name: str
    fingerprint: str
    num_train_chars: int
    vocabulary: Vocabulary

    def __post_init__(self) -> None:
        require_int("the number of training characters", self.num_train_chars, 2, MAX_COUNT)
        if self.corpus.level == "byte" and self.vocabulary.codes[-1] > 0xFF:
            raise ConfigError("at the byte level there are 256 characters")
        if not isinstance(self.corpus_name, str) or not isinstance(self.fingerprint, str):
            raise ConfigError("the corpus's name and fingerprint must be strings")

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
            # Code points, as JSON would join two lone surrogates that happen to be neighbours.
            "vocabulary": self.vocabulary.codes.tolist(),
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
        )


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model at a step of its run.

    Args:
        weights: float32, by the names of `network.CharLSTM`.
        step: gradient steps made.
        history: the run's `Started` and `Evaluated` events so far, as they were logged.
        is_finished: the budget was used.
        saved_at: seconds since 1970, UTC.
        training: only in checkpoints that training can be resumed from.
    """

    spec: RunSpec
    weights: Arrays
    step: int
    history: tuple[dict[str, Any], ...]
    is_finished: bool
    saved_at: float
    training: TrainingState | None = None

    def __post_init__(self) -> None:
        require_int("the step", self.step, 0, MAX_COUNT)
        require_real("the save time", self.saved_at, 0.0, MAX_SECONDS)
        for record in self.history:
            bits = record.get("val_bits_per_char")
            if bits is not None:
                require_real("bits per character", bits, 0.0, MAX_BITS)

    @property
    def best_val_bits_per_char(self) -> float | None:
        return best_val_bits_per_char(self.history)

    @property
    def val_bits_per_char(self) -> float | None:
        """Of these very weights: known of a best model, not of one in the midst of training."""
        if self.training is not None or not self.history:
            return None
        latest = self.history[-1]
        bits: float | None = latest.get("val_bits_per_char")
        return bits if latest.get("step") == self.step else None

    def to_bytes(self) -> bytes:
        """The file's content."""
        training = self.training
        header = {
            "format_version": FORMAT_VERSION,
            "digest": _NO_DIGEST,
            **self.spec.to_plain(),
            "step": self.step,
            "history": self.history,
            "is_finished": self.is_finished,
            "saved_at": self.saved_at,
            "training": None if training is None else training.numbers,
        }
        arrays = {f"model.{name}": value for name, value in self.weights.items()}
        if training is not None:
            arrays |= {f"training.{name}": value for name, value in training.arrays.items()}
        text = json.dumps(header, sort_keys=True, allow_nan=False, separators=(",", ":"))
        data = safetensors.numpy.save(arrays, {"charlstm": text})
        place = _digest_place(data)
        digest = hashlib.sha256(data).hexdigest().encode("ascii")
        return data[: place.start] + digest + data[place.stop :]


def best_val_bits_per_char(history: Iterable[Mapping[str, Any]]) -> float | None:
    """The lowest validation figure of a history; None where nothing was validated."""
    bits = (record.get("val_bits_per_char") for record in history)
    return min((value for value in bits if value is not None), default=None)


class Stamp(NamedTuple):
    """Which run a checkpoint file is of, by its own account; see `Checkpoint`."""

    corpus_name: str
    saved_at: float


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check one checkpoint file.

    Raises:
        CheckpointError: when it is missing, damaged, of another version, or not a checkpoint.
    """
    with _named_errors(path), _opened(path) as (file, header):
        data = header + file.read()
        return _from_parts(_checked_header(data), _arrays(data))


def read_stamp(path: Path) -> Stamp:
    """Read the beginning of a checkpoint file alone, which proves nothing of the rest.

    Raises:
        CheckpointError: as `read_checkpoint` does, as far as the beginning shows it.
    """
    with _named_errors(path), _opened(path) as (_, data):
        header = _header(data)
        try:
            stamp = Stamp(str(header["corpus_name"]), header["saved_at"])
            require_real("the save time", stamp.saved_at, 0.0, MAX_SECONDS)
        except (ConfigError, KeyError) as error:
            raise CheckpointError(f"is damaged: its header makes no sense: {error}") from error
        return stamp


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: can't be read: {reason}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bytes]]:
    """A regular file whose beginning looks right, and that beginning; never waits."""
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError("is not a file")
        head = file.read(_LENGTH_BYTES + 1)
        header_length = int.from_bytes(head[:_LENGTH_BYTES], "little")
        if head[_LENGTH_BYTES:] != b"{" or header_length > min(
            status.st_size - _LENGTH_BYTES, _MAX_HEADER_BYTES
        ):
            raise CheckpointError("is not a checkpoint, or is cut short")
        header = head + file.read(header_length - 1)
        # The header says how long the file is: nothing of a wrong length is taken into memory.
        if status.st_size != len(header) + _data_length(header[_LENGTH_BYTES:]):
            raise CheckpointError(
                f"is damaged: it is {status.st_size:,} bytes long, not what its header says"
            )
        yield file, header


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a FIFO otherwise waits for somebody to write into it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _data_length(header: bytes) -> int:
    entries = _parse(header)
    try:
        ends = [
            entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"
        ]
        for end in ends:
            require_int("an offset", end, 0, MAX_COUNT)
    except (ConfigError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError("is damaged: its table of tensors makes no sense") from error
    return max(ends, default=0)


def _checked_header(data: bytes) -> dict[str, Any]:
    header = _header(data)
    place = _digest_place(data)
    zeroed = data[: place.start] + _NO_DIGEST.encode("ascii") + data[place.stop :]
    if hashlib.sha256(zeroed).hexdigest().encode("ascii") != data[place]:
        raise CheckpointError("is damaged: its digest doesn't match its content")
    return header


def _header(data: bytes) -> dict[str, Any]:
    """The part of a file's header that is of charlstm."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    outer = _parse(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    metadata = outer.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("charlstm"), str):
        raise CheckpointError("is a safetensors file, but not charlstm's")
    header = _parse(metadata["charlstm"].encode("utf-8", "surrogatepass"))
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"has format version {version!r}, this charlstm reads version {FORMAT_VERSION}; "
            "use the charlstm that wrote it"
        )
    return header


def _digest_place(data: bytes) -> slice:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    places = list(_DIGEST.finditer(data, 0, _LENGTH_BYTES + length))
    if len(places) != 1:
        raise CheckpointError("is damaged: it carries no digest")
    return slice(*places[0].span(1))


def _parse(text: bytes) -> dict[str, Any]:
    """Parse a JSON object, refusing what JSON leaves open: repeated names, NaN, deep nesting."""

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        # Lone surrogates can be characters of a vocabulary.
        value = json.loads(
            text.decode("utf-8", "surrogatepass"),
            object_pairs_hook=without_repeats,
            parse_constant=refuse,
        )
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"is damaged: its header is not valid: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError("is damaged: its header is no JSON object")
    return value


def _arrays(data: bytes) -> Arrays:
    try:
        return safetensors.numpy.load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"is damaged: {error}") from error


def _from_parts(header: Mapping[str, Any], arrays: Arrays) -> Checkpoint:
    try:
        spec = RunSpec.from_plain(header)
        weights = _with_prefix(arrays, "model.")
        _check_weights(weights, spec.model_config.weight_shapes())
        if len(spec.vocabulary) != spec.model_config.num_characters:
            raise CheckpointError("is damaged: vocabulary and model have different sizes")
        numbers = header["training"]
        return Checkpoint(
            spec=spec,
            weights=weights,
            step=header["step"],
            history=tuple(dict(record) for record in header["history"]),
            is_finished=bool(header["is_finished"]),
            saved_at=header["saved_at"],
            training=None
            if numbers is None
            else TrainingState(arrays=_with_prefix(arrays, "training."), numbers=dict(numbers)),
        )
    except CheckpointError:
        raise
    except (CharLSTMError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"is damaged: its header makes no sense: {error}") from error


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


def _check_weights(weights: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if unexpected := sorted(weights.keys() ^ shapes.keys()):
        what = "lacks" if unexpected[0] in shapes else "has a tensor that doesn't belong to it:"
        raise CheckpointError(f"is damaged: it {what} {unexpected[0]!r}")
    for name, weight in weights.items():
        if weight.shape != shapes[name] or weight.dtype != np.float32:
            raise CheckpointError(
                f"is damaged: {name} is {weight.dtype} {weight.shape}, not float32 {shapes[name]}"
            )
        if not np.isfinite(weight).all():
            raise CheckpointError(f"is damaged: {name} holds NaN or infinity")
