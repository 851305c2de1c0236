"""Declarations of all settings for reading and training.

A declaration has a name, a type, bounds, a help text, a heading for `--help` and a default. The
following are derived from it: the options of `train`, `compare` and `corpus check`, their
environment variables, the signature and documentation of `charlstm.train`, validation and error
messages, the user's settings in a checkpoint, the check against a resumed run, and the command that
repeats a run.

None means that the program chooses the value (see `training.auto_config`).
"""

import functools
import os
import reprlib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, TypeVar, get_args, get_origin

from charlstm.errors import ConfigError

Cell = Literal["lstm", "gru", "rnn"]
Level = Literal["char", "byte"]
Normalize = Literal["none", "nfc"]
SplitBy = Literal["auto", "order", "random"]
TableFormat = Literal["csv", "tsv", "jsonl"]
DeviceChoice = Literal["auto", "cpu", "cuda", "mps"]
PrecisionChoice = Literal["auto", "float32", "bfloat16", "float16"]

# Values can come from untrusted files: the bounds limit memory before anything is allocated.
MAX_SIZE: Final = 1 << 16
MAX_LAYERS: Final = 64
MAX_COUNT: Final = 1 << 48
MAX_SEED: Final = (1 << 63) - 1
MAX_MINUTES: Final = 60 * 24 * 365.0
DEFAULT_MINUTES: Final = 5.0

# Higher bounds are not shown.
_LARGEST_SHOWN: Final = 1e5

# Headings in --help; options without one come first.
TEXT_PANEL: Final = "Reading the text"
MODEL_PANEL: Final = "Model and training (chosen by text and budget unless given)"
MACHINE_PANEL: Final = "Machine"

# Settings that exclude each other.
EXCLUSIVE: Final = (
    ("minutes", "epochs", "steps"),
    ("val", "val_fraction"),
    ("test", "test_fraction"),
    ("resume", "init_from"),
)

_Settings = TypeVar("_Settings")
_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Option:
    """Declaration of a setting.

    Args:
        help: help text, one sentence.
        panel: heading in `--help`.
        low, high: bounds of a number.
        above, below: whether `low` or `high` is excluded.
        default: description of the default.
        flag: option name; one like `--early-stop/--no-early-stop` can be turned off.
        metavar: placeholder for the value in `--help`.
        parse: name of the function in `arguments.options` that parses the value.
        complete: name of the function in `arguments.options` for shell completion.
        name: name of the field, and of the argument in Python.
        kind: `int`, `float`, `bool`, `str`, `tuple` (of strings), or a tuple of possible values.
    """

    help: str
    panel: str = ""
    low: float = 0
    high: float = MAX_COUNT
    above: bool = False
    below: bool = False
    default: str = ""
    flag: str = ""
    metavar: str | None = None
    parse: str | None = None
    complete: str | None = None
    name: str = ""
    kind: Any = None

    @property
    def can_be_off(self) -> bool:
        """Whether the option has a negative form, so that False differs from None."""
        return "/" in self.flag

    @property
    def title(self) -> str:
        """The option's name in messages."""
        return self.flag.split("/")[0]

    @property
    def summary(self) -> str:
        """The help text, with bounds and default."""
        notes = [self.bounds] if self.kind is float else []
        notes += [f"default: {self.default}"] if self.default else []
        return f"{self.help}  [{'; '.join(filter(None, notes))}]" if any(notes) else self.help

    @property
    def bounds(self) -> str:
        """The bounds in words; empty if only the technical limits apply."""
        if self.kind not in (int, float) or self.high > _LARGEST_SHOWN:
            return ""
        return f"{self.low:,g} to {'below ' * self.below}{self.high:,g}"

    def check(self, value: object) -> None:
        """Validate a value.

        Raises:
            ConfigError: if it is invalid, naming the option, the allowed values, and the value.
        """
        if self.kind is int:
            require_int(self.title, value, int(self.low), int(self.high))
        elif self.kind is float:
            require_real(self.title, value, self.low, self.high, above=self.above, below=self.below)
        elif self.kind is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{self.title} must be true or false, not {reprlib.repr(value)}")
        elif self.kind is str:
            if not isinstance(value, str):
                raise ConfigError(f"{self.title} must be a string, not {reprlib.repr(value)}")
        elif self.kind is tuple:
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{self.title} must be strings, not {reprlib.repr(value)}")
        elif value not in self.kind:
            raise ConfigError(
                f"{self.title} must be one of {', '.join(self.kind)}, not {reprlib.repr(value)}"
            )


def setting(help_text: str, *, value: object = None, **declaration: Any) -> Any:
    """Return a dataclass field with an `Option`; name and kind are filled in by `options_of`.

    Args:
        value: default value of the field.
    """
    return field(default=value, metadata={"option": Option(help=help_text, **declaration)})


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """Settings for reading and splitting texts."""

    val_fraction: float | None = setting(
        "Fraction of the text for validation.",
        panel=TEXT_PANEL, high=1, below=True, default="0.05",
    )  # fmt: skip
    test_fraction: float | None = setting(
        "Fraction of the text for testing (eval): its end, or random documents.",
        panel=TEXT_PANEL, high=1, below=True, default="0.05",
    )  # fmt: skip
    val: str | None = setting(
        "Validate on this file instead of a fraction of the text.",
        panel=TEXT_PANEL, metavar="FILE",
    )  # fmt: skip
    test: str | None = setting(
        "Test (eval) on this file instead of a fraction of the text.",
        panel=TEXT_PANEL, metavar="FILE",
    )  # fmt: skip
    encoding: str | None = setting("Encoding of the text files.", panel=TEXT_PANEL, default="utf-8")
    keep_line_ends: bool | None = setting(
        "Keep CR and CRLF instead of turning them into LF.", panel=TEXT_PANEL
    )
    level: Level | None = setting(
        "Tokens: characters of text, or bytes of any file.",
        panel=TEXT_PANEL, default="char",
    )  # fmt: skip
    min_count: int | None = setting(
        "Treat characters that occur fewer than N times as unknown.",
        panel=TEXT_PANEL, low=1, default="1", metavar="N",
    )  # fmt: skip
    include: tuple[str, ...] | None = setting(
        "In folders, only read files with matching names, such as '*.py'; repeatable.",
        panel=TEXT_PANEL, metavar="PATTERN",
    )  # fmt: skip
    split_documents: str | None = setting(
        "How to split files into documents: lines, blank-lines (at blank lines), or re:PATTERN (at "
        "matching lines).",
        panel=TEXT_PANEL, metavar="HOW",
    )  # fmt: skip
    split_by: SplitBy | None = setting(
        "How to assign documents to training, validation and test: in order or at random; auto is "
        "random for 100 or more documents.",
        panel=TEXT_PANEL, default="auto",
    )  # fmt: skip
    column: str | None = setting(
        "Read tables; each row's text in this column is a document.",
        panel=TEXT_PANEL, metavar="NAME",
    )  # fmt: skip
    format: TableFormat | None = setting(
        "Format of tables without such a file name extension.", panel=TEXT_PANEL
    )
    normalize: Normalize | None = setting(
        "Unicode normalization; nfc composes accented letters.", panel=TEXT_PANEL, default="none"
    )

    def __post_init__(self) -> None:
        check_given(self)


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of the budget, the model, its training, and the hardware."""

    minutes: float | None = setting(
        "Budget: wall-clock minutes, or a time with a unit, such as 90s or 2h.",
        high=MAX_MINUTES, above=True, default=f"{DEFAULT_MINUTES:g}", metavar="TIME",
        parse="parse_minutes",
    )  # fmt: skip
    epochs: float | None = setting("Budget: passes over the training text.", above=True)
    steps: int | None = setting("Budget: gradient steps.", low=1, metavar="N", parse="parse_count")
    hidden_size: int | None = setting(
        "Hidden units per layer.", panel=MODEL_PANEL, low=1, high=MAX_SIZE, default="by the budget"
    )
    num_layers: int | None = setting(
        "Number of layers.", panel=MODEL_PANEL, low=1, high=MAX_LAYERS, default="2"
    )
    embedding_size: int | None = setting(
        "Embedding dimension.",
        panel=MODEL_PANEL, low=1, high=MAX_SIZE, default="64; on CUDA 128",
    )  # fmt: skip
    dropout: float | None = setting(
        "Dropout on the layers' outputs, before the output layer.",
        panel=MODEL_PANEL, high=0.95, default="by model size and epochs",
    )  # fmt: skip
    recurrent_dropout: float | None = setting(
        "DropConnect on the recurrent weights (weight drop).",
        panel=MODEL_PANEL, high=0.95, default="by epochs",
    )  # fmt: skip
    weight_decay: float | None = setting(
        "Decoupled weight decay of weight matrices; 0 turns all weight decay off.",
        panel=MODEL_PANEL, high=10, default="by model size",
    )  # fmt: skip
    batch_size: int | None = setting(
        "Sequences per gradient step.",
        panel=MODEL_PANEL, low=1, high=MAX_SIZE, default="32 or more",
    )  # fmt: skip
    seq_len: int | None = setting(
        "Sequence length of truncated BPTT, in characters.",
        panel=MODEL_PANEL, low=1, high=MAX_SIZE, default="64 or more",
    )  # fmt: skip
    learning_rate: float | None = setting(
        "Peak learning rate of Muon, after warm-up; AdamW uses 3 times as much.",
        panel=MODEL_PANEL, high=10, default="0.012",
    )  # fmt: skip
    cell: Cell | None = setting(
        "Recurrent cell: lstm, gru or plain rnn.", panel=MODEL_PANEL, default="lstm"
    )
    seed: int | None = setting(
        "Random seed; with --steps or --epochs, the same seed gives the same weights.",
        panel=MODEL_PANEL, high=MAX_SEED, default="0",
    )  # fmt: skip
    threads: int | None = setting(
        "Number of CPU threads.", panel=MACHINE_PANEL, low=1, high=4096, default="one per core"
    )
    device: DeviceChoice | None = setting(
        "Device; auto is CUDA if available, else CPU.", panel=MACHINE_PANEL, default="auto"
    )
    precision: PrecisionChoice | None = setting(
        "Floating-point precision of training.", panel=MACHINE_PANEL, default="auto"
    )
    early_stop: bool | None = setting(
        "Stop when the validation loss has long been far above its minimum (overfitting).",
        panel=MODEL_PANEL, flag="--early-stop/--no-early-stop", default="with --minutes",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_given(self)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings that name the run and the model it starts from."""

    run: str | None = setting(
        "Name of the run.",
        metavar="NAME", default="the corpus's", complete="complete_run_to_resume",
    )  # fmt: skip
    resume: bool | None = setting("Resume --run, or the newest run.")
    init_from: str | None = setting(
        "Start from this run's weights (fine-tuning).",
        flag="--from", metavar="RUN", complete="complete_run",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_given(self)


class TrainOptions(TypedDict, total=False):
    """Keyword arguments of `charlstm.train`, for editors and type checkers."""

    minutes: float | None
    epochs: float | None
    steps: int | None
    run: str | None
    resume: bool | None
    init_from: str | None
    val_fraction: float | None
    test_fraction: float | None
    val: str | Path | None
    test: str | Path | None
    encoding: str | None
    keep_line_ends: bool | None
    level: Level | None
    min_count: int | None
    include: Iterable[str] | None
    split_documents: str | None
    split_by: SplitBy | None
    column: str | None
    format: TableFormat | None
    normalize: Normalize | None
    hidden_size: int | None
    num_layers: int | None
    embedding_size: int | None
    dropout: float | None
    recurrent_dropout: float | None
    weight_decay: float | None
    batch_size: int | None
    seq_len: int | None
    learning_rate: float | None
    cell: Cell | None
    seed: int | None
    threads: int | None
    device: DeviceChoice | None
    precision: PrecisionChoice | None
    early_stop: bool | None


def options_of(kind: Any) -> dict[str, Option]:
    """Return the options of a settings class, by name."""
    return _declared(kind)


@functools.cache
def _declared(kind: Any) -> dict[str, Option]:
    hints = typing.get_type_hints(kind)
    return {
        member.name: replace(
            option,
            name=member.name,
            kind=_kind(hints[member.name]),
            flag=option.flag or f"--{member.name.replace('_', '-')}",
        )
        for member in fields(kind)
        if (option := member.metadata.get("option")) is not None
    }


def chosen(wanted: _Value | None, default: _Value) -> _Value:
    """Return the user's value, or the default if it is None."""
    return default if wanted is None else wanted


def given(settings: object) -> dict[str, Any]:
    """Return the settings that the user gave, by name."""
    return {
        name: value
        for name in options_of(settings.__class__)
        if (value := getattr(settings, name)) is not None
    }


def settings_from(kind: type[_Settings], values: Mapping[str, object]) -> _Settings:
    """Create settings from values by name; names that aren't settings of `kind` are ignored.

    Raises:
        ConfigError: if a value is invalid, or two settings exclude each other.
    """
    names = [name for name in values if name in options_of(kind)]
    return kind(**{name: _normalized(name, values[name]) for name in names})


def check_given(settings: object) -> None:
    """Validate the settings that the user gave.

    Raises:
        ConfigError: naming the first invalid one, or those that exclude each other.
    """
    check_resolved(settings, settings.__class__)
    options = options_of(settings.__class__)
    for names in EXCLUSIVE:
        titles = [options[name].title for name in names if getattr(settings, name, None)]
        if len(titles) > 1:
            raise ConfigError(f"give {' or '.join(titles)}, not both")


def check_resolved(config: Any, kind: Any) -> None:
    """Validate the fields of a configuration that are named like settings of `kind`.

    Raises:
        ConfigError: naming the first invalid one.
    """
    options = options_of(kind)
    for name in _names_in(config.__class__, kind):
        value = getattr(config, name)
        if value is None and name in _optional_in(config.__class__):
            continue
        options[name].check(value)


def arguments_of(settings: object) -> Iterator[str]:
    """Yield the command-line arguments for the settings that the user gave."""
    for name, value in given(settings).items():
        option = options_of(settings.__class__)[name]
        if option.kind is bool:
            yield from option.flag.split("/")[not value : 1 + (not value)]
            continue
        for item in value if isinstance(value, tuple) else (value,):
            yield from (option.title, str(item))


def require_int(name: str, value: object, low: int, high: int) -> None:
    """Raise ConfigError unless value is an int in [low, high]; bools and floats are rejected."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        limits = f"of at least {low}" if high > _LARGEST_SHOWN else f"from {low} to {high}"
        raise ConfigError(f"{name} must be a whole number {limits}, not {reprlib.repr(value)}")


def require_real(
    name: str,
    value: object,
    low: float,
    high: float,
    *,
    above: bool = False,
    below: bool = False,
) -> None:
    """Raise ConfigError unless value is a number in [low, high]; bools and NaN are rejected.

    Args:
        above, below: whether `low` or `high` is excluded.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    excluded = [low] * above + [high] * below
    if is_number and low <= value <= high and value not in excluded:  # type: ignore[operator]
        return
    limits = f"{'greater than' if above else 'of at least'} {low:g}"
    if high <= _LARGEST_SHOWN:
        limits = f"from {'above ' * above}{low:g} to {'below ' * below}{high:g}"
    raise ConfigError(f"{name} must be a number {limits}, not {reprlib.repr(value)}")


def require_path(name: str, value: object) -> str:
    """Return a path or a run's name as a string; raise ConfigError for anything else."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise ConfigError(f"{name} must be a name or a path, not {reprlib.repr(value)}")
    return path


@functools.cache
def _names_in(config: Any, kind: Any) -> tuple[str, ...]:
    """Return the names of a configuration's fields that are settings of `kind`."""
    return tuple(member.name for member in fields(config) if member.name in options_of(kind))


@functools.cache
def _optional_in(config: Any) -> frozenset[str]:
    """Return the names of a configuration's fields that may be None."""
    hints = typing.get_type_hints(config)
    return frozenset(name for name, hint in hints.items() if types.NoneType in get_args(hint))


def _kind(hint: Any) -> Any:
    """Return the `Option.kind` of a type hint such as `int | None` or `float`."""
    members = get_args(hint) if types.NoneType in get_args(hint) else (hint,)
    (kind,) = [member for member in members if member is not types.NoneType]
    if get_origin(kind) is Literal:
        return get_args(kind)
    return get_origin(kind) or kind


def _normalized(name: str, value: Any) -> Any:
    """Return a value with paths as strings and lists of strings as tuples."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "include" and value is not None:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ConfigError(f"include must be a list of patterns, not {reprlib.repr(value)}")
        return tuple(value)
    return value
