"""Every setting of reading and training, declared once.

A declaration has a name, a type, bounds, a help text, a heading for `--help` and a default.
From it follow the options of `train`, `compare` and `corpus check`, their environment variables,
the signature and documentation of `charlstm.train`, the check of a value and its message, the
user's choices in a checkpoint, the check against a resumed run, the command that repeats a run, and
the guide's table.

A value of None means that the user left the choice to the program: `training.recipe` makes it.
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

# A value can come from a file that somebody else wrote: the bounds keep sizes, and with them the
# memory that is taken, within reason before anything is allocated.
MAX_SIZE: Final = 1 << 16
MAX_LAYERS: Final = 64
MAX_COUNT: Final = 1 << 48
MAX_SEED: Final = (1 << 63) - 1
MAX_MINUTES: Final = 60 * 24 * 365.0
DEFAULT_MINUTES: Final = 5.0

# Higher bounds are of no use to people.
_LARGEST_SHOWN: Final = 1e5

# Headings in --help; options without one come first.
TEXT_PANEL: Final = "Reading the text"
MODEL_PANEL: Final = "Model and training (chosen by text and budget unless given)"
MACHINE_PANEL: Final = "Machine"

_Settings = TypeVar("_Settings")
_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Option:
    """The declaration of one setting.

    Args:
        help: one sentence.
        panel: the heading in `--help`.
        low, high: bounds of a number.
        above, below: whether `low`, or `high`, is itself excluded.
        default: what the program chooses, in words.
        flag: on the command line; `--early-stop/--no-early-stop` can be turned off.
        metavar: what stands for the value in `--help`.
        parse: how the command line reads a value, as the name of a function in `commands.options`;
            `complete`: likewise what the shell offers.
        name: of the field, and of the argument in Python.
        kind: `int`, `float`, `bool`, `str`, `tuple` (of strings), or the tuple of possible values.
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
        """Whether False differs from not given."""
        return "/" in self.flag

    @property
    def title(self) -> str:
        """The option as messages name it."""
        return self.flag.split("/")[0]

    @property
    def summary(self) -> str:
        """The help text, with bounds and default."""
        notes = [self.bounds] if self.kind is float else []
        notes += [f"default: {self.default}"] if self.default else []
        return f"{self.help}  [{'; '.join(filter(None, notes))}]" if any(notes) else self.help

    @property
    def bounds(self) -> str:
        """The possible numbers in words; empty where only the program's limits bound them."""
        if self.kind not in (int, float) or self.high > _LARGEST_SHOWN:
            return ""
        return f"{self.low:,g} to {'below ' * self.below}{self.high:,g}"

    def check(self, value: object) -> None:
        """Refuse an impossible value.

        Raises:
            ConfigError: naming the option, what it takes, and the value.
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
            if not isinstance(value, tuple) or not all(isinstance(one, str) for one in value):
                raise ConfigError(f"{self.title} must be strings, not {reprlib.repr(value)}")
        elif value not in self.kind:
            raise ConfigError(
                f"{self.title} must be one of {', '.join(self.kind)}, not {reprlib.repr(value)}"
            )


def _setting(help_text: str, **declaration: Any) -> Any:
    """Declare a field; its name and type complete the `Option`."""
    return field(default=None, metadata={"option": Option(help=help_text, **declaration)})


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """How texts are read and split."""

    val_fraction: float | None = _setting(
        "Fraction of the text for validation.",
        panel=TEXT_PANEL, high=1, below=True, default="0.05",
    )  # fmt: skip
    test_fraction: float | None = _setting(
        "Fraction of the text for eval, at its end.",
        panel=TEXT_PANEL, high=1, below=True, default="0.05",
    )  # fmt: skip
    val: str | None = _setting(
        "Validate on this file instead of a fraction of the text.",
        panel=TEXT_PANEL, metavar="FILE",
    )  # fmt: skip
    test: str | None = _setting(
        "Keep this file for eval instead of a fraction of the text.",
        panel=TEXT_PANEL, metavar="FILE",
    )  # fmt: skip
    encoding: str | None = _setting(
        "Encoding of the text files.", panel=TEXT_PANEL, default="utf-8"
    )
    keep_line_ends: bool | None = _setting(
        "Keep CR and CRLF instead of turning them into LF.", panel=TEXT_PANEL
    )
    level: Level | None = _setting(
        "What is predicted: characters, or the bytes of any file.",
        panel=TEXT_PANEL, default="char",
    )  # fmt: skip
    min_count: int | None = _setting(
        "Treat characters that occur fewer than N times as unknown.",
        panel=TEXT_PANEL, low=1, default="1", metavar="N",
    )  # fmt: skip
    include: tuple[str, ...] | None = _setting(
        "In folders, read only files with such names, as in '*.py'; may be repeated.",
        panel=TEXT_PANEL, metavar="PATTERN",
    )  # fmt: skip
    split_documents: str | None = _setting(
        "Split files into documents: lines, blank-lines, or re:PATTERN, which starts one at each "
        "line that matches.",
        panel=TEXT_PANEL, metavar="HOW",
    )  # fmt: skip
    split_by: SplitBy | None = _setting(
        "How documents are assigned to training, validation and test: in their order, or at "
        "random, which auto does from 100 documents on.",
        panel=TEXT_PANEL, default="auto",
    )  # fmt: skip
    column: str | None = _setting(
        "Read tables, each row a document: the text in this column.",
        panel=TEXT_PANEL, metavar="NAME",
    )  # fmt: skip
    format: TableFormat | None = _setting(
        "Form of the tables of --column, where their names don't end so.", panel=TEXT_PANEL
    )
    normalize: Normalize | None = _setting(
        "Unicode normalization; nfc composes accented letters.", panel=TEXT_PANEL, default="none"
    )

    def __post_init__(self) -> None:
        check_given(self)
        require_one(self, "val", "val_fraction")
        require_one(self, "test", "test_fraction")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The budget, the model, how it is trained, and on what machine."""

    minutes: float | None = _setting(
        "Budget: wall-clock minutes, or with a unit, as in 90s and 2h.",
        high=MAX_MINUTES, above=True, default=f"{DEFAULT_MINUTES:g}", metavar="TIME",
        parse="minutes_of",
    )  # fmt: skip
    epochs: float | None = _setting("Budget: passes over the training text.", above=True)
    steps: int | None = _setting(
        "Budget: gradient steps.", low=1, metavar="N", parse="whole_number"
    )
    hidden_size: int | None = _setting(
        "Units per layer.", panel=MODEL_PANEL, low=1, high=MAX_SIZE, default="by the budget"
    )
    num_layers: int | None = _setting(
        "Layers.", panel=MODEL_PANEL, low=1, high=MAX_LAYERS, default="2"
    )
    embedding_size: int | None = _setting(
        "Embedding dimension.",
        panel=MODEL_PANEL, low=1, high=MAX_SIZE, default="64; on CUDA 128",
    )  # fmt: skip
    dropout: float | None = _setting(
        "Dropout on the layers' outputs, before the head.",
        panel=MODEL_PANEL, high=0.95, default="by model size and epochs",
    )  # fmt: skip
    recurrent_dropout: float | None = _setting(
        "DropConnect on the recurrent weights (weight drop).",
        panel=MODEL_PANEL, high=0.95, default="by epochs",
    )  # fmt: skip
    weight_decay: float | None = _setting(
        "Weight decay of the layers' matrices, apart from the gradient; with 0, nothing decays.",
        panel=MODEL_PANEL, high=10, default="by model size",
    )  # fmt: skip
    batch_size: int | None = _setting(
        "Sequences per gradient step.",
        panel=MODEL_PANEL, low=1, high=MAX_SIZE, default="32 or more",
    )  # fmt: skip
    seq_len: int | None = _setting(
        "Characters that gradients flow back through (truncated BPTT).",
        panel=MODEL_PANEL, low=1, high=MAX_SIZE, default="64 or more",
    )  # fmt: skip
    learning_rate: float | None = _setting(
        "Peak learning rate of Muon, after warm-up; AdamW uses 3 times as much.",
        panel=MODEL_PANEL, high=10, default="0.012",
    )  # fmt: skip
    cell: Cell | None = _setting("lstm, gru, or a plain rnn.", panel=MODEL_PANEL, default="lstm")
    seed: int | None = _setting(
        "With --steps or --epochs the same seed gives the same model; runs show --command prints "
        "the whole line.",
        panel=MODEL_PANEL, high=MAX_SEED, default="0",
    )  # fmt: skip
    threads: int | None = _setting(
        "CPU threads.", panel=MACHINE_PANEL, low=1, high=4096, default="one per core"
    )
    device: DeviceChoice | None = _setting(
        "auto is CUDA if present, else the CPU.", panel=MACHINE_PANEL, default="auto"
    )
    precision: PrecisionChoice | None = _setting(
        "Precision of gradient steps.", panel=MACHINE_PANEL, default="auto"
    )
    early_stop: bool | None = _setting(
        "Stop when the model only overfits.",
        panel=MODEL_PANEL, flag="--early-stop/--no-early-stop", default="with --minutes",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_given(self)
        require_one(self, "minutes", "epochs", "steps")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Which run is trained, and what it starts from."""

    run: str | None = _setting(
        "Name of the run.",
        metavar="NAME", default="the corpus's", complete="complete_run_to_resume",
    )  # fmt: skip
    resume: bool | None = _setting("Resume --run, or the newest run.")
    init_from: str | None = _setting(
        "Start from this run's weights: fine-tuning.",
        flag="--from", metavar="RUN", complete="complete_run",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_given(self)
        require_one(self, "resume", "init_from")


class TrainOptions(TypedDict, total=False):
    """The same settings for `charlstm.train`, as editors and type checkers know them."""

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
    """Return the declarations of a class of settings, by name."""
    return _declared(kind)


@functools.cache
def _declared(kind: Any) -> dict[str, Option]:
    hints = typing.get_type_hints(kind)
    return {
        one.name: replace(
            option,
            name=one.name,
            kind=_kind(hints[one.name]),
            flag=option.flag or f"--{one.name.replace('_', '-')}",
        )
        for one in fields(kind)
        if (option := one.metadata.get("option")) is not None
    }


def chosen(wanted: _Value | None, default: _Value) -> _Value:
    """Return the user's choice, or the program's where there is none."""
    return default if wanted is None else wanted


def given(settings: object) -> dict[str, Any]:
    """The settings that the user chose, by name."""
    return {
        name: value
        for name in options_of(settings.__class__)
        if (value := getattr(settings, name)) is not None
    }


def settings_from(kind: type[_Settings], values: Mapping[str, object]) -> _Settings:
    """Make settings of a class from the values that have its fields' names; others are ignored.

    Raises:
        ConfigError: when a value is impossible, or two exclude each other.
    """
    chosen = {name: value for name, value in values.items() if name in options_of(kind)}
    return kind(**{name: _plain(name, value) for name, value in chosen.items()})


def check_given(settings: object) -> None:
    """Refuse impossible values among those that the user chose.

    Raises:
        ConfigError: naming the first.
    """
    for name, option in options_of(settings.__class__).items():
        value = getattr(settings, name)
        if value is not None:
            option.check(value)


def check_resolved(config: Any, kind: Any) -> None:
    """Check the fields of a configuration that have the names of settings.

    Raises:
        ConfigError: naming the first that is impossible.
    """
    options = options_of(kind)
    for name in _names_in(config.__class__, kind):
        value = getattr(config, name)
        if value is None and name in _optional_in(config.__class__):
            continue
        options[name].check(value)


def require_one(settings: object, *names: str) -> None:
    """Refuse settings that exclude each other.

    Raises:
        ConfigError: naming those that are given.
    """
    options = options_of(settings.__class__)
    both = [options[name].title for name in names if getattr(settings, name)]
    if len(both) > 1:
        raise ConfigError(f"give {' or '.join(both)}, not both")


def arguments_of(settings: object) -> Iterator[str]:
    """The words of a command line that say the same."""
    for name, value in given(settings).items():
        option = options_of(settings.__class__)[name]
        if option.kind is bool:
            yield from option.flag.split("/")[not value : 1 + (not value)]
            continue
        for one in value if isinstance(value, tuple) else (value,):
            yield from (option.title, str(one))


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
        above, below: whether `low`, or `high`, is itself excluded.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    excluded = [low] * above + [high] * below
    if is_number and low <= value <= high and value not in excluded:  # type: ignore[operator]
        return
    limits = f"{'more than' if above else 'of at least'} {low:g}"
    if high <= _LARGEST_SHOWN:
        limits = f"from {'above ' * above}{low:g} to {'below ' * below}{high:g}"
    raise ConfigError(f"{name} must be a number {limits}, not {reprlib.repr(value)}")


def require_path(name: str, value: object) -> str:
    """Return a path, or a run's name, as a string; raise ConfigError for anything else."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise ConfigError(f"{name} must be a name or a path, not {reprlib.repr(value)}")
    return path


@functools.cache
def _names_in(config: Any, kind: Any) -> tuple[str, ...]:
    """The settings that a configuration has fields for."""
    return tuple(one.name for one in fields(config) if one.name in options_of(kind))


@functools.cache
def _optional_in(config: Any) -> frozenset[str]:
    """The fields of a configuration that may be None."""
    hints = typing.get_type_hints(config)
    return frozenset(name for name, hint in hints.items() if types.NoneType in get_args(hint))


def _kind(hint: Any) -> Any:
    """The kind of an `Option`, from a type such as `int | None`."""
    (kind,) = [one for one in get_args(hint) if one is not types.NoneType]
    if get_origin(kind) is Literal:
        return get_args(kind)
    return get_origin(kind) or kind


def _plain(name: str, value: Any) -> Any:
    """A value from Python as it is stored: paths as strings, several strings as a tuple."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "include" and value is not None:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ConfigError(f"include must be a list of patterns, not {reprlib.repr(value)}")
        return tuple(value)
    return value
