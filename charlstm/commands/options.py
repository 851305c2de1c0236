"""Options that commands share, and what they mean."""

import contextlib
import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from charlstm.config import DEFAULT_STORE, STDIN, CorpusConfig, Level, Normalize, SplitBy
from charlstm.errors import ConfigError, CorpusError, EncodingError
from charlstm.system.files import open_output
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.api.model import Model

# Headings in --help; what has none comes first.
TEXT_PANEL: Final = "Reading the text"
_MINUTES_PER_UNIT: Final = {"s": 1 / 60, "m": 1.0, "h": 60.0}


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
    """Names of the store's runs, for the shell."""
    from charlstm.store.runs import CheckpointStore

    store = CheckpointStore(Path(context.params.get("checkpoints") or DEFAULT_STORE))
    return [name for name in store.run_names() if name.startswith(incomplete)]


def complete_run_to_resume(context: typer.Context, incomplete: str) -> list[str]:
    """Names of runs after --resume; a new run needs a new name."""
    return complete_run(context, incomplete) if context.params.get("resume") else []


Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="NAME",
        help="Run to use.  [default: the newest]",
        autocompletion=complete_run,
    ),
]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of the run.", autocompletion=complete_run)
]
RunNames = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Names of runs.", autocompletion=complete_run)
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="FILE", help="Use this checkpoint file, not a run."),
]
WithCounts = Annotated[
    bool,
    typer.Option("--with-counts", help="Mix the network with n-gram counts of its training text."),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        rich_help_panel=TEXT_PANEL,
        help="Encoding of the text files.  [default: utf-8]",
    ),
]
KeepLineEnds = Annotated[
    bool,
    typer.Option(
        "--keep-line-ends",
        rich_help_panel=TEXT_PANEL,
        help="Keep CR and CRLF instead of turning them into LF.",
    ),
]
ReadingLevel = Annotated[
    Level | None,
    typer.Option(
        "--level",
        rich_help_panel=TEXT_PANEL,
        help="What is predicted: characters, or the bytes of any file.  [default: char]",
    ),
]
MinCount = Annotated[
    int | None,
    typer.Option(
        "--min-count",
        metavar="N",
        rich_help_panel=TEXT_PANEL,
        help="Treat characters that occur fewer than N times as unknown.  [default: 1]",
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="PATTERN",
        rich_help_panel=TEXT_PANEL,
        help="In folders, read only files with such names, as in '*.py'; may be repeated.",
    ),
]


def _document_rule(text: str) -> str:
    """`lines`, `blank-lines`, or a pattern; a plain word is more likely a slip."""
    from charlstm.text.documents import document_rule

    try:
        return document_rule(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


SplitDocuments = Annotated[
    str | None,
    typer.Option(
        "--split-documents",
        parser=_document_rule,
        metavar="HOW",
        rich_help_panel=TEXT_PANEL,
        help="Split files into documents: lines, blank-lines, or re:PATTERN, which begins one at "
        "each line that it is found in.",
    ),
]
SplitDocumentsBy = Annotated[
    SplitBy | None,
    typer.Option(
        "--split-by",
        rich_help_panel=TEXT_PANEL,
        help="How documents are assigned to training, validation and test: in their order, or at "
        "random, which auto does from 100 documents on.  [default: auto]",
    ),
]
NormalForm = Annotated[
    Normalize | None,
    typer.Option(
        "--normalize",
        rich_help_panel=TEXT_PANEL,
        help="Unicode normalization; nfc composes accented letters.  [default: none]",
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads.  [default: one per core]")
]
Device = Annotated[str, typer.Option("--device", help="auto (CUDA if present), cpu, cuda or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

_READING: Final[dict[str, tuple[Any, Any]]] = {
    "encoding": (Encoding, None),
    "keep_line_ends": (KeepLineEnds, False),
    "level": (ReadingLevel, None),
    "min_count": (MinCount, None),
    "include": (Include, None),
    "split_documents": (SplitDocuments, None),
    "normalize": (NormalForm, None),
    "split_by": (SplitDocumentsBy, None),
}
_FLAG: Final = "COMMANDLINE"
_DEFAULT: Final = "DEFAULT"


def with_reading_options(
    *names: str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options above that say how texts are read: those named, or all.

    Its argument `reading` becomes those that were given, as `CorpusConfig` has them.
    """
    chosen = {name: _READING[name] for name in names or _READING}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.name != "reading":
                parameters.append(parameter)
                continue
            parameters += [
                parameter.replace(name=name, annotation=annotation, default=default)
                for name, (annotation, default) in chosen.items()
            ]

        @functools.wraps(command)
        def with_reading(**values: Any) -> None:
            options = {name: values.pop(name) for name in chosen}
            reading = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in options.items()
                if is_given(value)
            }
            command(**values, reading=reading)

        with_reading.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_reading.__annotations__ = {one.name: one.annotation for one in parameters}
        return with_reading

    return decorate


def load_model(context: typer.Context) -> "Model":
    """Load the model that the options name, and warn of damaged checkpoints on the way.

    Raises:
        ConfigError: when both a run and a file are named.
        CheckpointError: when nothing can be loaded.
    """
    from charlstm.api.loading import open_model

    named = one_of(context, "run", "checkpoint")
    model = open_model(
        named["run"],
        checkpoints=context.params["checkpoints"],
        checkpoint=named["checkpoint"],
    )
    say_warnings(model.notices)
    return model


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


def invite_typing(paths: Iterable[str]) -> None:
    """Where stdin is a terminal, say what is waited for."""
    if STDIN in paths and sys.stdin is not None and sys.stdin.isatty():
        say("type the text; end it with Ctrl-D on a line of its own")


def read_text(path: str, corpus: CorpusConfig) -> str:
    """The symbols of a file's text or of stdin's, read as the corpus was.

    Without its last line end, which an editor adds.

    Raises:
        CorpusError: when it can't be read so.
    """
    from charlstm.text.source import FileSource

    invite_typing([path])
    source = FileSource(path, corpus)
    try:
        with advice_for_a_model():
            text = "".join(source.pieces())
    finally:
        source.close()
    for notice in source.notices:
        say(notice)
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


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


def one_of(context: typer.Context, *names: str) -> dict[str, Any]:
    """The values of options that exclude each other: a flag drops those from the environment.

    Raises:
        ConfigError: when more than one is given.
    """
    flags = [name for name in names if is_flag(context, name)]
    values = {name: context.params[name] if name in flags or not flags else None for name in names}
    chosen = [name for name, value in values.items() if is_given(value)]
    if len(chosen) > 1:
        shown = {one.name: _shown_name(one) for one in context.command.params}
        raise ConfigError(f"give {' or '.join(shown[name] for name in chosen)}, not both")
    return values


def _shown_name(parameter: Any) -> str:
    """An option's name on the command line; an argument's in the help."""
    name: str = parameter.opts[0]
    return name if name.startswith("--") else parameter.metavar or name.upper()
