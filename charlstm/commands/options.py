"""Options that commands share, and how declared settings become options.

`with_settings` expands each parameter of a command whose type is a class of settings, or
`WhichModel`, into the options that the class declares, and calls the command with an instance.
"""

import contextlib
import difflib
import functools
import inspect
import json
import os
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, Literal

import typer

from charlstm.config import DEFAULT_STORE, STDIN, CorpusConfig
from charlstm.errors import ConfigError, CorpusError, EncodingError
from charlstm.settings import DeviceChoice, Option, options_of, settings_from
from charlstm.system import layout
from charlstm.system.files import open_output
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.api.model import Model

_MINUTES_PER_UNIT: Final = {"s": 1 / 60, "m": 1.0, "h": 60.0}
_FLAG: Final = "COMMANDLINE"
_DEFAULT: Final = "DEFAULT"


def whole_number(text: str | int) -> int:
    """A count as people write it: 500, 10_000, 1e3."""
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError, OverflowError):
        number = float(text)
        if number == int(number):
            return int(number)
    raise typer.BadParameter("must be a whole number, such as 500, 10_000 or 1e3")


def minutes_of(text: str | float) -> float:
    """A time in minutes: a number of them, or one with its unit, as 90s, 10m and 2h."""
    with contextlib.suppress(ValueError):
        if not isinstance(text, str):
            return float(text)
        text = text.strip().lower()
        unit = text[-1:] if text[-1:] in _MINUTES_PER_UNIT else ""
        return float(text.removesuffix(unit)) * _MINUTES_PER_UNIT.get(unit, 1.0)
    raise typer.BadParameter("must be minutes, such as 10, or with a unit, such as 90s or 2h")


_ESCAPES: Final = {r"\n": "\n", r"\t": "\t", "\\\\": "\\"}


def typed_text(text: str) -> str:
    r"""A text as people type it, where \n, \t and \\ stand for a line end, a tab, a backslash."""
    return re.sub(r"\\[nt\\]", lambda match: _ESCAPES[match[0]], text)


def _folder(text: str | Path) -> Path:
    if not str(text):
        raise typer.BadParameter("is empty; name a folder")
    return Path(text)


Checkpoints = Annotated[
    Path,
    typer.Option(
        "--checkpoints",
        parser=_folder,
        metavar="FOLDER",
        envvar="CHARLSTM_CHECKPOINTS",
        show_envvar=False,
        help="Folder that holds the runs.",
    ),
]


def _run_names(store: Path) -> list[str]:
    from charlstm.run.store import CheckpointStore

    return CheckpointStore(store).run_names()


def complete_run(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the store's runs, for the shell."""
    names = _run_names(Path(context.params.get("checkpoints") or DEFAULT_STORE))
    return [name for name in names if name.startswith(incomplete)]


def complete_run_to_resume(context: typer.Context, incomplete: str) -> list[str]:
    """Names of runs after --resume; a new run needs a new name."""
    return complete_run(context, incomplete) if context.params.get("resume") else []


Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Run to use: its name or folder, a file of it, or a folder for the Hub.  "
        "[default: the newest]",
        autocompletion=complete_run,
    ),
]
RunNames = Annotated[
    list[str], typer.Argument(metavar="RUN", help="Names of runs.", autocompletion=complete_run)
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="FILE", help="The same as --run."),
]
Unknown = Annotated[
    Literal["error", "skip"],
    typer.Option("--unknown", help="What to do with characters outside the vocabulary."),
]
WithCounts = Annotated[
    bool,
    typer.Option("--with-counts", help="Mix the network with n-gram counts of its training text."),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads.  [default: one per core]")
]
Device = Annotated[
    DeviceChoice, typer.Option("--device", help="auto is CUDA if present, else the CPU.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@dataclass(frozen=True, kw_only=True)
class WhichModel:
    """The model that a command uses.

    Args:
        run: its name; None for the newest.
        checkpoint: a file instead.
        checkpoints: the folder of runs.
    """

    run: Run = None
    checkpoint: CheckpointFile = None
    checkpoints: Checkpoints = DEFAULT_STORE

    def load(self) -> "Model":
        """Load it, and warn of damaged checkpoints on the way.

        Raises:
            ConfigError: when both a run and a file are named.
            CheckpointError: when nothing can be loaded.
        """
        from charlstm.api.loading import open_model

        model = open_model(self.run, checkpoints=self.checkpoints, checkpoint=self.checkpoint)
        say_warnings(model.notices)
        return model


@dataclass(frozen=True)
class Only:
    """Some of a class's settings, with help texts that differ from the declared ones."""

    helps: dict[str, str | None]


# Options that exclude each other, where a flag overrules the environment.
_EXCLUSIVE: Final = (
    ("minutes", "epochs", "steps"),
    ("val", "val_fraction"),
    ("test", "test_fraction"),
    ("resume", "init_from"),
    ("run", "checkpoint"),
)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Expand a command's parameters of dataclass types into options.

    `Annotated[TrainSettings, Only({...})]` stands for some of the settings.
    """
    signature = inspect.signature(command)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type, list[str]]] = {}
    for parameter in signature.parameters.values():
        kind, only = _settings_class(parameter.annotation)
        if kind is None:
            parameters.append(parameter)
            continue
        options = _options(kind, only)
        groups[parameter.name] = (kind, [option.name for option in options])
        parameters += options

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        context = values["context"] if "context" in signature.parameters else values.pop("context")
        names = {name for _, group in groups.values() for name in group}
        for exclusive in _EXCLUSIVE:
            chosen = [name for name in exclusive if name in names]
            values |= _one_of(context, {name: values[name] for name in chosen})
        for parameter, (kind, group) in groups.items():
            own = {name: values.pop(name) for name in group}
            values[parameter] = _instance(kind, own)
        command(**values)

    if "context" not in signature.parameters:
        parameters.append(_parameter("context", typer.Context, inspect.Parameter.empty))
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {one.name: one.annotation for one in parameters}
    return expanded


def _settings_class(annotation: Any) -> tuple[Any, Only | None]:
    only = None
    if typing.get_origin(annotation) is Annotated:
        annotation, *extras = typing.get_args(annotation)
        only = next((one for one in extras if isinstance(one, Only)), None)
    return (annotation if is_dataclass(annotation) else None), only


def _options(kind: Any, only: Only | None) -> list[inspect.Parameter]:
    """The options of a class of settings, or of `WhichModel`."""
    declared = options_of(kind)
    if not declared:
        hints = typing.get_type_hints(kind, include_extras=True)
        return [
            _parameter(name, annotation, kind.__dataclass_fields__[name].default)
            for name, annotation in hints.items()
        ]
    names = declared if only is None else only.helps
    hints = typing.get_type_hints(kind)
    return [
        _parameter(
            name,
            Annotated[_typed(hints[name]), _typer_option(declared[name], only)],
            None,
        )
        for name in names
    ]


def _parameter(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


def _typed(hint: Any) -> Any:
    """The type as Typer knows it: a list for options that may be repeated."""
    return list[str] | None if tuple[str, ...] in typing.get_args(hint) else hint


def _typer_option(option: Option, only: Only | None) -> Any:
    own = None if only is None else only.helps[option.name]
    functions = globals()
    return typer.Option(
        option.flag,
        parser=functions[option.parse] if option.parse else None,
        metavar=option.metavar,
        rich_help_panel=option.panel or None if only is None else None,
        help=own or option.summary,
        autocompletion=functions[option.complete] if option.complete else None,
    )


def _instance(kind: Any, values: dict[str, Any]) -> Any:
    declared = options_of(kind)
    if not declared:
        return kind(**values)
    # A flag that is off, and an empty list, were not given.
    return settings_from(
        kind,
        {
            name: value
            for name, value in values.items()
            if is_given(value) or (value is False and declared[name].can_be_off)
        },
    )


def say_warnings(notices: Iterable[str]) -> None:
    """What was found wrong on the way to a checkpoint that loads."""
    for notice in notices:
        say(f"warning: {notice}")


@contextlib.contextmanager
def open_outputs(
    *paths: Path | None, inputs: Iterable[str] = ()
) -> Iterator[tuple[BinaryIO | None, ...]]:
    """The files that the user named as output; in their place when the block ends without error.

    Args:
        inputs: what the command reads, and must not write.

    Raises:
        CharLSTMError: naming the file that can't be written, before the block begins.
    """
    # Folders are searched for them, so not without need.
    inputs = list(inputs) if any(paths) else []
    with contextlib.ExitStack() as stack:
        yield tuple(
            None
            if path is None
            else stack.enter_context(
                open_output(Path("/dev/stdout") if str(path) == STDIN else path, inputs=inputs)
            )
            for path in paths
        )


def say_written(*paths: Path | None) -> None:
    """Tell which outputs were written; of pipes and stdout that is no news."""
    for path in paths:
        if path is not None and path.is_file():
            say(f"{path}: written")


def print_record(record: object) -> None:
    """Print one line of JSON on stdout."""
    print(json.dumps(record, allow_nan=False), flush=True)


def expect_texts(paths: Iterable[str], store: Path | None = None) -> None:
    """Check that texts are there, and say what is waited for where stdin is a terminal.

    Args:
        store: the folder of runs, whose names may be taken for files.

    Raises:
        CorpusError: naming the text that isn't there, and what may be meant.
    """
    paths = list(paths)
    for path in paths:
        if path not in (STDIN, "") and not os.path.lexists(path):
            raise CorpusError(_missing_text(path, store))
    if STDIN in paths and sys.stdin is not None and sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if os.name == "nt" else "Ctrl-D"
        say(f"type the text; end it with {end} on a line of its own")


def _missing_text(path: str, store: Path | None) -> str:
    if re.match(r"https?://", path):
        return f"{path}: is an address, not a file; pipe its text: curl -s {path} | charlstm ... -"
    if store is not None and path in (layout.EXAMPLE, *_run_names(store)):
        return f"{path}: is a run, not a file; a run is named by --run {path}"
    folder, name = os.path.split(path)
    names: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        names = os.listdir(folder or ".")
    close = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {os.path.join(folder, close[0])}?" if close else ""
    return f"{path}: can't be read: No such file or directory{hint}"


def read_text(path: str, corpus: CorpusConfig) -> str:
    """The symbols of a file's text or of stdin's, read as the corpus was.

    Without its last line end, which an editor adds.

    Raises:
        CorpusError: when it can't be read so.
    """
    from charlstm.text.source import FileSource

    expect_texts([path])
    source = FileSource(path, corpus)
    try:
        with advice_for_a_model():
            text = "".join(source.pieces())
    finally:
        source.close()
    for notice in source.notices:
        say(notice)
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def known_text(model: "Model", text: str, unknown: str) -> str:
    """Return symbols that a model knows.

    Args:
        unknown: `skip` leaves out those outside the vocabulary, `error` refuses them.

    Raises:
        CorpusError: naming them.
    """
    if unknown == "skip":
        return model.alphabet.without_unknown(text)
    try:
        model.alphabet.require_known(text)
    except CorpusError as error:
        raise CorpusError(f"{error}; --unknown skip leaves them out") from error
    return text


@contextlib.contextmanager
def advice_for_a_model() -> Iterator[None]:
    """Say what helps where a text is read as a model's own was: another --encoding doesn't."""
    try:
        yield
    except EncodingError as error:
        raise CorpusError(f"{error.what}, as the model's own text was; convert it") from error


def is_given(value: object) -> bool:
    """Whether an option has a value: no flag that is off, no empty list."""
    return value is not None and value is not False and value != []


def is_flag(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line, not by the environment or by default."""
    return getattr(context.get_parameter_source(name), "name", "") == _FLAG


def is_default(context: typer.Context, name: str) -> bool:
    """Whether an option was given neither on the command line nor by the environment."""
    return getattr(context.get_parameter_source(name), "name", "") == _DEFAULT


def one_of(context: typer.Context, **values: Any) -> list[Any]:
    """Return values of options that exclude each other: a flag drops those from the environment.

    Raises:
        ConfigError: when more than one is given.
    """
    return list(_one_of(context, values).values())


def exclude(context: typer.Context, some: dict[str, Any], others: dict[str, Any]) -> None:
    """Refuse any of some options beside any of others.

    Raises:
        ConfigError: naming two that are given.
    """
    for name, value in some.items():
        for other, given in others.items():
            one_of(context, **{name: value, other: given})


def _one_of(context: Any, values: dict[str, Any]) -> dict[str, Any]:
    flags = [name for name in values if is_flag(context, name)]
    kept = {name: one if name in flags or not flags else None for name, one in values.items()}
    chosen = [name for name, value in kept.items() if is_given(value)]
    if len(chosen) > 1:
        shown = {one.name: _shown_name(one) for one in context.command.params}
        raise ConfigError(f"give {' or '.join(shown[name] for name in chosen)}, not both")
    return kept


def _shown_name(parameter: Any) -> str:
    """An option's name on the command line; an argument's in the help."""
    name: str = parameter.opts[0]
    return name if name.startswith("--") else parameter.metavar or name.upper()
