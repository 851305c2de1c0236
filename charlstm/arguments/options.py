"""Options common to several commands, and the expansion of declared settings into options.

`with_settings` replaces each command parameter that is annotated with a settings class, or with
`ModelOptions`, by the options that the class declares, and calls the command with an instance.
"""

import contextlib
import functools
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from charlstm.config import DEFAULT_STORE
from charlstm.errors import ConfigError
from charlstm.settings import EXCLUSIVE, DeviceChoice, Option, options_of, settings_from
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.api.model import Model

_MINUTES_PER_UNIT: Final = {"s": 1 / 60, "m": 1.0, "h": 60.0}


def parse_count(text: str | int) -> int:
    """Parse a count such as 500, 10_000 or 1e3."""
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError, OverflowError):
        number = float(text)
        if number == int(number):
            return int(number)
    raise typer.BadParameter("must be a whole number, such as 500, 10_000 or 1e3")


def parse_minutes(text: str | float) -> float:
    """Parse a duration, in minutes or with a unit (90s, 10m, 2h), and return minutes."""
    with contextlib.suppress(ValueError):
        if not isinstance(text, str):
            return float(text)
        text = text.strip().lower()
        unit = text[-1:] if text[-1:] in _MINUTES_PER_UNIT else ""
        return float(text.removesuffix(unit)) * _MINUTES_PER_UNIT.get(unit, 1.0)
    raise typer.BadParameter("must be in minutes, such as 10, or have a unit, such as 90s or 2h")


_ESCAPES: Final = {r"\n": "\n", r"\t": "\t", "\\\\": "\\"}


def unescape_text(text: str) -> str:
    r"""Unescape \n, \t and \\ in a text from the command line."""
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


def complete_run(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a run in the store."""
    from charlstm.run.store import CheckpointStore

    store = CheckpointStore(Path(context.params.get("checkpoints") or DEFAULT_STORE))
    return [name for name in store.run_names() if name.startswith(incomplete)]


def complete_run_to_resume(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a run if --resume is given; a new run needs a new name."""
    return complete_run(context, incomplete) if context.params.get("resume") else []


Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Run to use: a name, folder, checkpoint file, or Hugging Face folder.  "
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
    typer.Option("--unknown", help="How to handle characters outside the vocabulary."),
]
WithCounts = Annotated[
    bool,
    typer.Option("--with-counts", help="Mix the LSTM with an n-gram model of its training text."),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads.  [default: one per core]")
]
Device = Annotated[
    DeviceChoice, typer.Option("--device", help="auto is CUDA if available, else the CPU.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def plot_option(what: str) -> Any:
    """Return the option --plot of a command that plots `what`."""
    return typer.Option("--plot", metavar="FILE", help=f"Plot {what}: .svg, .png, .pdf.")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options that select a model: a run (None for the newest) or a checkpoint file."""

    run: Run = None
    checkpoint: CheckpointFile = None
    checkpoints: Checkpoints = DEFAULT_STORE

    def load(self) -> "Model":
        """Load the model, and print warnings about damaged checkpoints.

        Raises:
            ConfigError: if both a run and a file are given.
            CheckpointError: if no checkpoint can be loaded.
        """
        from charlstm.api.loading import open_model

        model = open_model(self.run, checkpoints=self.checkpoints, checkpoint=self.checkpoint)
        print_warnings(model.notices)
        return model


@dataclass(frozen=True)
class SettingsSubset:
    """A subset of a class's settings, with help texts; None keeps the declared one."""

    helps: dict[str, str | None]


# Mutually exclusive options; one on the command line overrides the others' environment variables.
_EXCLUSIVE: Final = (*EXCLUSIVE, ("run", "checkpoint"))


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Expand a command's dataclass parameters into options.

    `Annotated[TrainSettings, SettingsSubset({...})]` selects some of the settings.
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
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {each.name: each.annotation for each in parameters}
    return expanded


def _settings_class(annotation: Any) -> tuple[Any, SettingsSubset | None]:
    only = None
    if typing.get_origin(annotation) is Annotated:
        annotation, *extras = typing.get_args(annotation)
        only = next((extra for extra in extras if isinstance(extra, SettingsSubset)), None)
    return (annotation if is_dataclass(annotation) else None), only


def _options(kind: Any, only: SettingsSubset | None) -> list[inspect.Parameter]:
    """Return the options of a settings class or of `ModelOptions`."""
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
    """Convert a type hint to Typer's: a list for repeatable options."""
    return list[str] | None if tuple[str, ...] in typing.get_args(hint) else hint


def _typer_option(option: Option, only: SettingsSubset | None) -> Any:
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
    # An on/off option that is off, or an empty list, counts as not given.
    return settings_from(
        kind,
        {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if is_given(value) or (value is False and declared[name].can_be_off)
        },
    )


def print_warnings(notices: Iterable[str]) -> None:
    """Print warnings to stderr."""
    for notice in notices:
        say(f"warning: {notice}")


def print_record(record: object) -> None:
    """Print one line of JSON on stdout."""
    print(json.dumps(record, allow_nan=False), flush=True)


def is_given(value: object) -> bool:
    """Return whether an option has a value other than None, False or an empty list."""
    return value is not None and value is not False and value != []


def source_of(context: typer.Context, name: str) -> str:
    """Return where an option's value comes from: `COMMANDLINE`, `ENVIRONMENT` or `DEFAULT`."""
    return getattr(context.get_parameter_source(name), "name", "")


def one_of(context: typer.Context, **values: Any) -> list[Any]:
    """Return the values of mutually exclusive options.

    One that is given on the command line overrides environment variables.

    Raises:
        ConfigError: if more than one is given.
    """
    return list(_one_of(context, values).values())


def require_not_both(context: typer.Context, some: dict[str, Any], others: dict[str, Any]) -> None:
    """Raise ConfigError if any of `some` is given together with any of `others`."""
    for name, value in some.items():
        for other, given in others.items():
            one_of(context, **{name: value, other: given})


def _one_of(context: Any, values: dict[str, Any]) -> dict[str, Any]:
    flags = [name for name in values if source_of(context, name) == "COMMANDLINE"]
    kept = {name: value if name in flags or not flags else None for name, value in values.items()}
    chosen = [name for name, value in kept.items() if is_given(value)]
    if len(chosen) > 1:
        shown = {each.name: _shown_name(each) for each in context.command.params}
        raise ConfigError(f"give {' or '.join(shown[name] for name in chosen)}, not both")
    return kept


def _shown_name(parameter: Any) -> str:
    """Return an option's flag, or an argument's name in the help."""
    name: str = parameter.opts[0]
    return name if name.startswith("--") else parameter.metavar or name.upper()
