"""What can be set: frozen, validated where they are made, plain enough to be stored as JSON.

Everything here is resolved: no "auto", no None that means "decide later"; `recipe` decides.
"""

import math
import re
import reprlib
import sys
import warnings
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_args

from charlstm.errors import ConfigError

Cell = Literal["lstm", "gru", "rnn"]
Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["float32", "bfloat16", "float16"]
Level = Literal["char", "byte"]
Normalize = Literal["none", "nfc"]
SplitBy = Literal["auto", "order", "random"]
SplitName = Literal["train", "val", "test"]

# A configuration can come from a file that somebody else wrote: the limits keep sizes, and so
# the memory that is taken, within reason before anything is allocated.
MAX_SIZE: Final = 1 << 16
MAX_LAYERS: Final = 64
MAX_CHARACTERS: Final = 0x110000
MAX_COUNT: Final = 1 << 48
MAX_SEED: Final = (1 << 63) - 1
MAX_BITS: Final = 1e9
MAX_SECONDS: Final = 250_000_000_000.0  # after 1970: the end of year 9891
DEFAULT_STORE: Final = Path("checkpoints")
# Instead of a path.
STDIN: Final = "-"
# What stands for the path of a text that a Python program gave.
IN_MEMORY: Final = "(in memory)"
MAX_MINUTES: Final = 60 * 24 * 365.0

_Config = TypeVar("_Config")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of a model.

    `num_characters` is the vocabulary without its two reserved symbols. The unknown symbol can be
    read and predicted, the boundary only read: it begins a document and never follows anything.

    Args:
        dropout: share of the last layer's output that training hides from the head, at most.
        recurrent_dropout: share of the recurrent weights that training sets to zero, at most.
    """

    num_characters: int
    embedding_size: int
    hidden_size: int
    num_layers: int
    dropout: float
    cell: Cell
    recurrent_dropout: float = 0.0

    def __post_init__(self) -> None:
        require_int("the number of characters", self.num_characters, 1, MAX_CHARACTERS)
        require_int("--embedding-size", self.embedding_size, 1, MAX_SIZE)
        require_int("--hidden-size", self.hidden_size, 1, MAX_SIZE)
        require_int("--num-layers", self.num_layers, 1, MAX_LAYERS)
        require_real("--dropout", self.dropout, 0.0, 0.95)
        require_real("--recurrent-dropout", self.recurrent_dropout, 0.0, 0.95)
        _require_choice("--cell", self.cell, get_args(Cell))

    @property
    def num_inputs(self) -> int:
        """Symbols that can be read: unknown, the characters, boundary."""
        return self.num_characters + 2

    @property
    def num_outputs(self) -> int:
        """Symbols that can be predicted: unknown and the characters."""
        return self.num_characters + 1

    @property
    def boundary(self) -> int:
        """The symbol that begins a document, the last one that can be read."""
        return self.num_inputs - 1

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight by its name; nothing is allocated."""
        num_gates = {"lstm": 4, "gru": 3, "rnn": 1}[self.cell]
        num_rows = num_gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "embedding.weight": (self.num_inputs, self.embedding_size),
            "head.weight": (self.num_outputs, self.hidden_size),
            "head.bias": (self.num_outputs,),
        }
        for number in range(self.num_layers):
            shapes |= {
                f"layers.{number}.weight_ih_l0": (
                    num_rows,
                    self.hidden_size if number else self.embedding_size,
                ),
                f"layers.{number}.weight_hh_l0": (num_rows, self.hidden_size),
                f"layers.{number}.bias_ih_l0": (num_rows,),
                f"layers.{number}.bias_hh_l0": (num_rows,),
            }
        return shapes

    @property
    def num_parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(math.prod(shape) for shape in self.weight_shapes().values())


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train: exactly one of wall-clock minutes, passes over the text, or steps."""

    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("minutes", "epochs", "steps") if getattr(self, name) is not None]
        if len(given) != 1:
            named = " and ".join(f"--{name}" for name in given) or "none"
            raise ConfigError(f"give one of --minutes, --epochs, --steps, not {named}")
        if self.minutes is not None:
            _require_positive("--minutes", self.minutes, MAX_MINUTES)
        if self.epochs is not None:
            _require_positive("--epochs", self.epochs, float(MAX_COUNT))
        if self.steps is not None:
            require_int("--steps", self.steps, 1, MAX_COUNT)

    def total_steps(self, *, num_chars: int, chars_per_step: int) -> int | None:
        """The number of steps over a training text of `num_chars`; None for minutes."""
        if self.epochs is not None:
            return max(1, math.ceil(self.epochs * num_chars / chars_per_step))
        return self.steps

    @property
    def unit(self) -> str:
        """What is counted: minutes, epochs or steps."""
        return next(one.name for one in fields(self) if getattr(self, one.name) is not None)

    def __str__(self) -> str:
        value = getattr(self, self.unit)
        return f"{value:,.10g} {self.unit if value != 1 else self.unit[:-1]}"


class Dropouts(NamedTuple):
    """Where dropout stands at a moment.

    Args:
        before_head: share of the last layer's output that is hidden from the head.
        recurrent: share of the recurrent weights that is zero.
    """

    before_head: float = 0.0
    recurrent: float = 0.0

    def __str__(self) -> str:
        return f"dropout {self.before_head:.2g}, recurrent dropout {self.recurrent:.2g}"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained.

    Args:
        batch_size: streams that are read side by side, those of all processes together.
        seq_len: characters of each stream in a gradient step.
        learning_rate: Muon's at its highest; AdamW's is three times that.
        weight_decay: of Muon's matrices, times the learning rate.
        vocabulary_decay: of embedding and head, times AdamW's.
        reset_probability: for each stream and window, to restart from a zero state.
        num_evaluations: over the whole run, evenly spaced; before the first of them also after 2,
            4, 8 ... epochs.
        stops_early: end the run when validation says that it only overfits.
        dropout_epochs: a run that reads the text so many times has a dropout between zero, at the
            first number, and the model's setting, from the second one on.
        recurrent_dropout_epochs: likewise for the recurrent dropout.
        adapts_threads: `threads` is the most; how many of them are used follows from timed steps.
    """

    batch_size: int
    seq_len: int
    learning_rate: float
    weight_decay: float
    reset_probability: float
    num_evaluations: int
    seed: int
    threads: int
    device: Device
    precision: Precision
    stops_early: bool = False
    dropout_epochs: tuple[float, float] = (0.0, 0.0)
    recurrent_dropout_epochs: tuple[float, float] = (0.0, 0.0)
    adapts_threads: bool = False
    vocabulary_decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("stops_early", "adapts_threads"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be a flag, not {getattr(self, name)!r}")
        _require_range("dropout_epochs", self.dropout_epochs)
        _require_range("recurrent_dropout_epochs", self.recurrent_dropout_epochs)
        require_int("--batch-size", self.batch_size, 1, MAX_SIZE)
        require_int("--seq-len", self.seq_len, 1, MAX_SIZE)
        require_real("--learning-rate", self.learning_rate, 0.0, 10.0)
        require_real("--weight-decay", self.weight_decay, 0.0, 10.0)
        require_real("the vocabulary's weight decay", self.vocabulary_decay, 0.0, 10.0)
        require_real("the reset probability", self.reset_probability, 0.0, 1.0)
        require_int("the number of evaluations", self.num_evaluations, 1, 10_000)
        require_int("--seed", self.seed, 0, MAX_SEED)
        require_int("--threads", self.threads, 1, 4096)
        _require_choice("--device", self.device, get_args(Device))
        _require_choice("--precision", self.precision, get_args(Precision))

    @property
    def chars_per_step(self) -> int:
        return self.batch_size * self.seq_len

    @property
    def decays(self) -> str:
        """What decays and how much, in words."""
        of_vocabulary = f", {self.vocabulary_decay:g} of embedding and head"
        return f"weight decay {self.weight_decay:g}" + of_vocabulary * bool(self.vocabulary_decay)

    def dropouts(self, model: ModelConfig, epochs: float) -> Dropouts:
        """Of a run that will have read the text so many times."""
        return Dropouts(
            before_head=model.dropout * _share(epochs, self.dropout_epochs),
            recurrent=model.recurrent_dropout * _share(epochs, self.recurrent_dropout_epochs),
        )


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Where the text is and how it is read; no path at all means Python's own documentation.

    Args:
        val: validation file, instead of a fraction of the text.
        test: test file, instead of a fraction of the text.
        encoding: a byte order mark overrules the default, nothing else does.
        keep_line_ends: leave CR and CRLF as they are.
        level: `byte` takes any file as it is: each byte becomes the character of its number.
        min_count: characters that training shows less often become unknown.
        include: of a folder, the files whose names match one of these patterns; none means all that
            hold text.
        split_documents: where documents begin inside a file, see `documents.split_documents`.
        normalize: Unicode normal form that texts are brought to.
        marks_ends: documents that aren't lines get a character that ends them.
        split_by: whether documents are assigned to the splits in their order, at random, or, with
            `auto`, at random where there are at least a hundred of them.
        split_seed: of that choice.
    """

    paths: tuple[str, ...] = ()
    val_fraction: float = 0.05
    test_fraction: float = 0.05
    val: str | None = None
    test: str | None = None
    encoding: str = "utf-8"
    keep_line_ends: bool = False
    level: Level = "char"
    min_count: int = 1
    include: tuple[str, ...] = ()
    split_documents: str | None = None
    normalize: Normalize = "none"
    marks_ends: bool = False
    split_by: SplitBy = "order"
    split_seed: int = 0

    def __post_init__(self) -> None:
        _require_fraction("--val-fraction", self.val_fraction)
        _require_fraction("--test-fraction", self.test_fraction)
        if self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                f"--val-fraction {self.val_fraction:g} and --test-fraction {self.test_fraction:g} "
                "leave nothing to train on"
            )
        named = [path for path in (self.val, self.test) if path is not None]
        flags = isinstance(self.keep_line_ends, bool) and isinstance(self.marks_ends, bool)
        is_plain = isinstance(self.paths, tuple) and flags
        if not is_plain or not all(isinstance(path, str) for path in (*self.paths, *named)):
            raise ConfigError("the corpus's paths must be strings and --keep-line-ends a flag")
        _require_choice("--split-by", self.split_by, get_args(SplitBy))
        require_int("the seed of the splits", self.split_seed, 0, MAX_SEED)
        _require_choice("--level", self.level, get_args(Level))
        require_int("--min-count", self.min_count, 1, MAX_COUNT)
        try:
            "".encode(self.encoding)  # unlike codecs.lookup, it refuses what encodes no text
        except (LookupError, TypeError, ValueError) as error:
            raise ConfigError(f"--encoding {self.encoding!r} is not known to Python") from error
        self._check_documents()
        if [*self.paths, *named].count(STDIN) > 1:
            raise ConfigError("stdin (-) can be read only once")
        is_plain = self.encoding == "utf-8" and self.normalize == "none" and not self.keep_line_ends
        if self.level == "byte" and not is_plain:
            raise ConfigError(
                "--level byte reads any bytes: it takes no --encoding, --normalize or line ends"
            )

    @classmethod
    def of_new_run(cls, **reading: Any) -> "CorpusConfig":
        """What a new run reads: documents have ends, and many of them are split at random."""
        defaults: dict[str, Any] = {"marks_ends": True, "split_by": "auto"}
        return cls(**defaults | reading)

    def _check_documents(self) -> None:
        if not isinstance(self.include, tuple) or not all(isinstance(p, str) for p in self.include):
            raise ConfigError("--include must be patterns of file names")
        _require_choice("--normalize", self.normalize, get_args(Normalize))
        if self.split_documents is None:
            return
        if not isinstance(self.split_documents, str) or not self.split_documents:
            raise ConfigError(
                "--split-documents must be lines, blank-lines or a regular expression"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what may mean something else some day
                re.compile(self.split_documents)
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(
                f"--split-documents {self.split_documents!r} is no regular expression: {error}"
            ) from error

    def split_sizes(self, num_chars: int) -> tuple[int, int, int]:
        """Characters for training, validation and test, of a text of `num_chars`."""
        # A file of its own takes nothing of the text.
        num_val = math.ceil(num_chars * self.val_fraction) if self.val is None else 0
        num_test = math.ceil(num_chars * self.test_fraction) if self.test is None else 0
        return max(0, num_chars - num_val - num_test), num_val, num_test

    @property
    def keeps_line_ends(self) -> bool:
        return self.keep_line_ends or self.level == "byte"


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How characters are drawn from the model's distribution.

    Args:
        temperature: divides the log-probabilities; 0 is greedy: the most likely character.
        top_k: keep the k most likely characters.
        top_p: keep the fewest characters whose probabilities reach p (Holtzman et al. 2020,
            "The Curious Case of Neural Text Degeneration").
        min_p: keep the characters at least p times as probable as the most likely one
            (Nguyen et al. 2025, "Turning up the heat").
        until: stop after this text, if it comes before `length` characters are written.
    """

    length: int = 500
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    until: str | None = None

    def __post_init__(self) -> None:
        require_int("--length", self.length, 0, MAX_COUNT)
        require_real("--temperature", self.temperature, 0.0, sys.float_info.max)
        if self.top_k is not None:
            require_int("--top-k", self.top_k, 1, MAX_CHARACTERS)
        if self.top_p is not None:
            _require_positive("--top-p", self.top_p, 1.0)
        if self.min_p is not None:
            _require_positive("--min-p", self.min_p, 1.0)
        if self.until == "":
            raise ConfigError("--until must not be empty: give the text to stop after")


def from_plain(kind: type[_Config], values: object) -> _Config:
    """Make a configuration from what `dataclasses.asdict` gave and JSON carried.

    A setting that is younger than the file has its default.

    Raises:
        ConfigError: on unknown or missing keys and on impossible values.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{kind.__name__} must be an object, not {type(values).__name__}")
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    needed = {f.name for f in fields(kind) if f.default is MISSING}  # type: ignore[arg-type]
    if odd := sorted(map(str, (values.keys() - names) | (needed - values.keys()))):
        raise ConfigError(f"{kind.__name__} has a missing or unknown setting: {odd[0]!r}")
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return kind(**plain)


def require_int(name: str, value: object, low: int, high: int) -> None:
    """Refuse what is no whole number from low to high; True and 2.0 are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(
            f"{name} must be a whole number from {low} to {high}, not {reprlib.repr(value)}"
        )


def require_real(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is no number from low to high; NaN fails both comparisons."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(
            f"{name} must be a number from {low:g} to {high:g}, not {reprlib.repr(value)}"
        )


def _share(epochs: float, between: tuple[float, float]) -> float:
    first, last = between
    return 1.0 if epochs >= last else max(0.0, epochs - first) / (last - first)


def _require_range(name: str, value: object) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise ConfigError(f"{name} must be two numbers, not {reprlib.repr(value)}")
    first, last = value
    require_real(name, first, 0.0, MAX_COUNT)
    require_real(name, last, first, MAX_COUNT)


def _require_positive(name: str, value: object, high: float) -> None:
    require_real(name, value, 0.0, high)
    if not value:
        raise ConfigError(f"{name} must be more than 0")


def _require_fraction(name: str, value: object) -> None:
    require_real(name, value, 0.0, 1.0)
    if value == 1:
        raise ConfigError(f"{name} must be less than 1")


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {reprlib.repr(value)}")
