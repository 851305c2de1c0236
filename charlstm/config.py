"""Resolved configurations: complete, frozen, validated and serializable as JSON.

The user's settings, with types and bounds, are declared in `settings`; `training.auto_config` and
`ReadingConfig.of` resolve them. `SampleConfig` declares the options of sampling, which need no
resolving.
"""

import math
import re
import reprlib
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_args

from charlstm.errors import ConfigError
from charlstm.settings import (
    MAX_COUNT,
    MAX_SEED,
    Level,
    Normalize,
    ReadingSettings,
    SplitBy,
    TableFormat,
    TrainSettings,
    check_resolved,
    given,
    require_int,
    require_real,
    setting,
)

Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["float32", "bfloat16", "float16"]
SplitName = Literal["train", "val", "test"]

NATS_PER_BIT: Final = math.log(2)
MAX_CHARACTERS: Final = 0x110000
MAX_BITS: Final = 1e9
MAX_SAMPLES: Final = 10_000_000
MAX_SECONDS: Final = 250_000_000_000.0  # since 1970: until the year 9892
DEFAULT_STORE: Final = Path("checkpoints")
# Path that means standard input.
STDIN: Final = "-"
# Path recorded for a text passed from Python.
IN_MEMORY: Final = "(in memory)"

# Keywords; anything else is a regular expression.
DOCUMENT_WORDS: Final = ("lines", "blank-lines")
_PATTERN_MARK: Final = "re:"
_MAX_REPETITIONS: Final = 1_000_000

_Config = TypeVar("_Config")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Training budget: exactly one of wall-clock minutes, epochs, or gradient steps."""

    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        names = [name for name in ("minutes", "epochs", "steps") if getattr(self, name) is not None]
        if len(names) != 1:
            given = " and ".join(f"--{name}" for name in names) or "none"
            raise ConfigError(f"give one of --minutes, --epochs, --steps, not {given}")
        check_resolved(self, TrainSettings)

    @classmethod
    def of(cls, settings: TrainSettings) -> "Budget | None":
        """Return the budget set by the user, or None."""
        minutes, epochs, steps = settings.minutes, settings.epochs, settings.steps
        if minutes is epochs is steps is None:
            return None
        return cls(minutes=minutes, epochs=epochs, steps=steps)

    def total_steps(self, *, num_chars: int, chars_per_step: int) -> int | None:
        """Return the number of steps on a training text of `num_chars`; None for minutes."""
        if self.epochs is not None:
            return max(1, math.ceil(self.epochs * num_chars / chars_per_step))
        return self.steps

    @property
    def unit(self) -> str:
        """The unit: minutes, epochs or steps."""
        return next(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def __str__(self) -> str:
        value = getattr(self, self.unit)
        return f"{value:,.10g} {self.unit if value != 1 else self.unit[:-1]}"


class Dropouts(NamedTuple):
    """Dropout rates at one point of training.

    Args:
        dropout: fraction of the layers' outputs that is zeroed.
        recurrent_dropout: fraction of the recurrent weights that is zeroed.
    """

    dropout: float = 0.0
    recurrent_dropout: float = 0.0

    def __str__(self) -> str:
        return f"dropout {self.dropout:.2g}, recurrent dropout {self.recurrent_dropout:.2g}"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Training hyperparameters; `TrainSettings` describes those that have an option.

    Args:
        batch_size: parallel streams, over all processes.
        vocabulary_decay: decoupled weight decay of the embedding and the head.
        dropout: maximum dropout on the layers' outputs.
        dropout_epochs: (low, high): dropout rises linearly from 0 at `low` epochs to its full
            value at `high` epochs.
        recurrent_dropout, recurrent_dropout_epochs: likewise for the recurrent weights.
        reset_probability: probability, per stream and window, of restarting from a zero state.
        num_evaluations: evaluations over the run, evenly spaced; before the first of them, the
            model is also evaluated after 2, 4, 8 ... epochs.
        adapts_threads: use at most `threads` CPU threads; the number is tuned by timing steps.
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
    early_stop: bool = False
    dropout: float = 0.0
    dropout_epochs: tuple[float, float] = (0.0, 0.0)
    recurrent_dropout: float = 0.0
    recurrent_dropout_epochs: tuple[float, float] = (0.0, 0.0)
    adapts_threads: bool = False
    vocabulary_decay: float = 0.0

    def __post_init__(self) -> None:
        check_resolved(self, TrainSettings)
        if not isinstance(self.adapts_threads, bool):
            raise ConfigError(f"adapts_threads must be a flag, not {self.adapts_threads!r}")
        _require_range("dropout_epochs", self.dropout_epochs)
        _require_range("recurrent_dropout_epochs", self.recurrent_dropout_epochs)
        require_real("the embedding weight decay", self.vocabulary_decay, 0.0, 10.0)
        require_real("the reset probability", self.reset_probability, 0.0, 1.0)
        require_int("the number of evaluations", self.num_evaluations, 1, 10_000)
        _require_choice("--device", self.device, get_args(Device))
        _require_choice("--precision", self.precision, get_args(Precision))

    @property
    def chars_per_step(self) -> int:
        return self.batch_size * self.seq_len

    @property
    def decays(self) -> str:
        """The weight decays as a phrase for display."""
        embedding_decay = f", {self.vocabulary_decay:g} of embedding and head"
        return f"weight decay {self.weight_decay:g}" + embedding_decay * bool(self.vocabulary_decay)

    def dropouts(self, epochs: float) -> Dropouts:
        """Return the dropout rates for a run of this many epochs."""
        return Dropouts(
            dropout=self.dropout * _ramp(epochs, self.dropout_epochs),
            recurrent_dropout=self.recurrent_dropout * _ramp(epochs, self.recurrent_dropout_epochs),
        )


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """Location of the text and how to read it; the defaults are those of a new run.

    `ReadingSettings` describes the fields that have an option.

    Args:
        paths: files and folders; empty for Python's own documentation.
        encoding: a byte order mark overrides the default, but no other value.
        level: with `byte`, each byte becomes the character with its code point.
        include: empty for all text files.
        format: None to infer it from the file extension.
        split_seed: seed of the random assignment of documents.
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
    split_by: SplitBy = "auto"
    column: str | None = None
    format: TableFormat | None = None
    normalize: Normalize = "none"
    split_seed: int = 0

    def __post_init__(self) -> None:
        check_resolved(self, ReadingSettings)
        if self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                f"--val-fraction {self.val_fraction:g} and --test-fraction {self.test_fraction:g} "
                "leave nothing to train on"
            )
        if not isinstance(self.paths, tuple) or not all(isinstance(p, str) for p in self.paths):
            raise ConfigError("the corpus's paths must be strings")
        require_int("the seed of the splits", self.split_seed, 0, MAX_SEED)
        try:
            "".encode(
                self.encoding
            )  # unlike codecs.lookup, this rejects codecs that aren't for text
        except (LookupError, TypeError, ValueError) as error:
            raise ConfigError(f"--encoding {self.encoding!r} is not known to Python") from error
        if [*self.paths, self.val, self.test].count(STDIN) > 1:
            raise ConfigError("stdin (-) can be read only once")
        is_plain = self.encoding == "utf-8" and self.normalize == "none" and not self.keep_line_ends
        if self.level == "byte" and not is_plain:
            raise ConfigError(
                "--level byte can't be combined with --encoding, --normalize or --keep-line-ends"
            )
        if self.split_documents is not None:
            _check_document_rule(self.split_documents)
        self._check_column()

    def _check_column(self) -> None:
        if self.column == "":
            raise ConfigError("--column must be the name of a column")
        if self.column is None and self.format is not None:
            raise ConfigError("--format needs --column: it applies to tables only")
        if self.column is not None and self.split_documents is not None:
            raise ConfigError("give --column or --split-documents, not both")
        if self.column is not None and self.level == "byte":
            raise ConfigError("--column can't be combined with --level byte")

    @classmethod
    def of(cls, reading: ReadingSettings, paths: Sequence[str] = ()) -> "ReadingConfig":
        """Return the user's settings, completed with the defaults of a new run."""
        return cls(paths=tuple(paths), **given(reading))

    def split_sizes(self, num_chars: int) -> tuple[int, int, int]:
        """Return the sizes of train, validation and test for a text of `num_chars`."""
        num_val = math.ceil(num_chars * self.val_fraction) if self.val is None else 0
        num_test = math.ceil(num_chars * self.test_fraction) if self.test is None else 0
        return max(0, num_chars - num_val - num_test), num_val, num_test

    @property
    def keeps_line_ends(self) -> bool:
        return self.keep_line_ends or self.level == "byte"


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Sampling parameters, declared as the options of `charlstm sample`.

    Args:
        top_p: nucleus sampling (Holtzman et al. 2020, "The Curious Case of Neural Text
            Degeneration").
        min_p: Nguyen et al. 2025, "Turning up the heat".
        filters: user functions from log-probabilities [..., V] to log-probabilities, where minus
            infinity excludes a character; applied in order, before the temperature.
    """

    length: int | None = setting(
        "Maximum number of characters.",
        default="500; for an item of a list 10,000", metavar="N", parse="parse_count",
    )  # fmt: skip
    max_lines: int | None = setting("Stop after N lines.", low=1, metavar="N", parse="parse_count")
    until: tuple[str, ...] | None = setting(
        "Stop after this text; may be repeated.", metavar="TEXT", parse="unescape_text"
    )
    forbid: str = setting(
        "Never generate these characters.", value="", metavar="CHARS", parse="unescape_text"
    )
    temperature: float = setting(
        "Below 1 sharpens the distribution, above 1 flattens it; 0 is greedy.",
        value=1.0, high=sys.float_info.max, default="1.0",
    )  # fmt: skip
    top_k: int | None = setting(
        "Sample from the K most likely characters.", low=1, high=MAX_CHARACTERS
    )
    top_p: float | None = setting(
        "Sample from the most likely characters with total probability P.", high=1, above=True
    )
    min_p: float | None = setting(
        "Sample from characters at least P times as likely as the top one.", high=1, above=True
    )
    filters: tuple[Callable[[Any], Any], ...] = ()

    def __post_init__(self) -> None:
        check_resolved(self, SampleConfig)
        if "" in (self.until or ()):
            raise ConfigError("--until must be a text to stop after, and must not be empty")
        if not isinstance(self.filters, tuple) or not all(map(callable, self.filters)):
            raise ConfigError("filters must be a tuple of functions")


def document_pattern(rule: str) -> str:
    """Return the regular expression of a document rule that is not a keyword."""
    return rule.removeprefix(_PATTERN_MARK)


def from_plain(kind: type[_Config], values: object) -> _Config:
    """Build a configuration from the output of `dataclasses.asdict`, read back from JSON.

    Settings with a default of None may be missing, because they were added after the file was
    written.

    Raises:
        ConfigError: if a key is unknown or missing, or a value is invalid.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{kind.__name__} must be an object, not {type(values).__name__}")
    defaults = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    missing = {name for name in defaults.keys() - values.keys() if defaults[name] is not None}
    if odd := sorted(map(str, missing | (values.keys() - defaults.keys()))):
        raise ConfigError(f"{kind.__name__} has a missing or unknown setting: {odd[0]!r}")
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return kind(**plain)


def _check_document_rule(rule: str) -> None:
    """Raise ConfigError for an invalid pattern or a plain word, which is more likely a typo."""
    if not rule:
        raise ConfigError("--split-documents must be lines, blank-lines or a regular expression")
    if rule in DOCUMENT_WORDS:
        return
    if re.fullmatch(r"[\w-]+", rule):
        raise ConfigError(
            f"--split-documents {rule!r} is neither lines nor blank-lines; "
            f"to use the word as a pattern, write {_PATTERN_MARK}{rule}"
        )
    require_pattern("--split-documents", document_pattern(rule), shown=rule)


def require_pattern(option: str, pattern: str, *, shown: str | None = None) -> None:
    """Raise ConfigError for an invalid regular expression or one with too large repetition counts.

    Args:
        shown: the option's value as the user typed it; None for the pattern itself.
    """
    import regex  # not needed for --help

    label = f"{option} {(pattern if shown is None else shown)!r}"
    # `regex` unrolls counted repetitions.
    counts = (max(1, int(number)) for number in re.findall(r"\{(\d{1,9})", pattern))
    if math.prod(counts) > _MAX_REPETITIONS:
        raise ConfigError(f"{label} repeats something more than {_MAX_REPETITIONS:,} times")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about syntax whose meaning may change
            re.compile(pattern)  # rejects extensions of `regex`, such as recursion
            regex.compile(pattern)
    except (re.error, regex.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"{label} is not a valid regular expression: {error}") from error


def _ramp(epochs: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return 1.0 if epochs >= high else max(0.0, epochs - low) / (high - low)


def _require_range(name: str, value: object) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise ConfigError(f"{name} must be two numbers, not {reprlib.repr(value)}")
    low, high = value
    require_real(name, low, 0.0, MAX_COUNT)
    require_real(name, high, low, MAX_COUNT)


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {reprlib.repr(value)}")
