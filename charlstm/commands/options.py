"""Options that commands share, and what they mean."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charlstm.config import DEFAULT_STORE, CorpusConfig, Level, Normalize
from charlstm.errors import CharLSTMError, ConfigError, CorpusError, EncodingError
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.store.runs import CheckpointStore, Loaded
    from charlstm.text.corpus import Corpus

# Headings in --help; what has none comes first.
TEXT_PANEL: Final = "Reading the text"


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
CheckpointFile = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="FILE", help="Use this checkpoint file, not a run."),
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
SplitDocuments = Annotated[
    str | None,
    typer.Option(
        "--split-documents",
        metavar="HOW",
        rich_help_panel=TEXT_PANEL,
        help="Split files into documents: lines, blank-lines, or a regular expression that is "
        "searched in each line.",
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
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

_READING: Final = (
    "encoding",
    "keep_line_ends",
    "level",
    "min_count",
    "include",
    "split_documents",
    "normalize",
)
_FLAG: Final = "COMMANDLINE"
_DEFAULT: Final = "DEFAULT"


def load_model(context: typer.Context, store: "CheckpointStore") -> "Loaded":
    """Load the model that the options name, and warn of damaged checkpoints on the way.

    Raises:
        ConfigError: when both a run and a file are named.
        CheckpointError: when nothing can be loaded.
    """
    run, checkpoint = prefer_flags(context, "run", "checkpoint").values()
    if run is not None and checkpoint is not None:
        raise ConfigError("give --run or --checkpoint, not both")
    if checkpoint is not None:
        from charlstm.model.checkpoints import read_checkpoint
        from charlstm.store.runs import Loaded

        return Loaded(checkpoint=read_checkpoint(checkpoint), path=checkpoint)
    loaded = store.load_model(run)
    say_warnings(loaded)
    return loaded


def say_warnings(loaded: "Loaded") -> None:
    """What was found wrong on the way to a checkpoint that loads."""
    for notice in loaded.notices:
        say(f"warning: {notice}")


def training_corpus(loaded: "Loaded", store: "CheckpointStore") -> "Corpus":
    """The corpus that a run was trained on: the store's copy, or its text read again.

    Raises:
        CorpusError: when neither is possible.
    """
    from charlstm.text.cache import CorpusCache, load_corpus_of_run

    checkpoint = loaded.checkpoint
    cache = CorpusCache(store.cache_folder)
    return load_corpus_of_run(checkpoint.corpus, checkpoint.fingerprint, cache)


def require_writable(path: Path) -> None:
    """Refuse, before the work begins, what can't be written at its end.

    Raises:
        CharLSTMError: naming the file.
    """
    is_new = not os.path.lexists(path)
    try:
        with path.open("ab"):
            pass
        if is_new:
            path.unlink()
    except OSError as error:
        raise CharLSTMError(f"{path}: can't be written: {error.strerror}") from error


def read_text(path: str, corpus: CorpusConfig) -> str:
    """The text of a file or of stdin, read as the corpus was.

    Without its last line end, which an editor adds.

    Raises:
        CorpusError: when it can't be read so.
    """
    from charlstm.text.source import FileSource

    source = FileSource(path, corpus)
    try:
        with advice_for_a_model():
            return "".join(source.pieces()).removesuffix("\n")
    finally:
        source.close()


@contextlib.contextmanager
def advice_for_a_model() -> Iterator[None]:
    """Say what helps where a text is read as a model's own was: another --encoding doesn't."""
    try:
        yield
    except EncodingError as error:
        raise CorpusError(f"{error.what}, as the model's own text was; convert it") from error


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options that were given; None is left to the configuration's default."""
    return {name: value for name, value in options.items() if value is not None}


def reading_options(context: typer.Context) -> dict[str, Any]:
    """Those of the options above that were given, as `CorpusConfig` has them."""
    options = {name: context.params[name] for name in _READING}
    include = options["include"]
    return given(
        options
        | {
            "keep_line_ends": options["keep_line_ends"] or None,
            "include": tuple(include) if include else None,
        }
    )


def is_flag(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line, not by the environment or by default."""
    return getattr(context.get_parameter_source(name), "name", "") == _FLAG


def is_default(context: typer.Context, name: str) -> bool:
    """Whether an option was given neither on the command line nor by the environment."""
    return getattr(context.get_parameter_source(name), "name", "") == _DEFAULT


def prefer_flags(context: typer.Context, *names: str) -> dict[str, Any]:
    """The values of options that exclude each other: a flag drops those from the environment."""
    flags = [name for name in names if is_flag(context, name)]
    return {name: context.params[name] if name in flags or not flags else None for name in names}
