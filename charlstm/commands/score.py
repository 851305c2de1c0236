"""`charlstm score`: what each line costs a model, as lines come."""

from dataclasses import replace
from typing import Annotated, Final, Literal

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Device,
    Json,
    Only,
    Threads,
    WhichModel,
    WithCounts,
    complete_run,
    expect_texts,
    typed_text,
    with_settings,
)
from charlstm.config import DEFAULT_STORE, STDIN, CorpusConfig
from charlstm.errors import CharLSTMError, ConfigError
from charlstm.settings import ReadingSettings
from charlstm.system.terminal import say

Per = Literal["line", "document", "char"]

_EXIT_NOTHING: Final = 1
_EXIT_ERROR: Final = 2

EXAMPLES: Final = """\
charlstm score another.txt --above p50           # the odder half of its lines
charlstm score another.txt --run large --run small --header
charlstm score mails.csv --column text --run ham --run spam --expect label
charlstm score --text "To be or not to be"       # its bits"""


@with_settings
def score(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Texts to score; - is stdin.  [default: -]"),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="NAME",
            help="Run to use; several times: which suits a line best.  [default: the newest]",
            autocompletion=complete_run,
        ),
    ] = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    per: Annotated[
        Per, typer.Option("--per", help="What a row is: a line, a document, a character.")
    ] = "line",
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            parser=typed_text,
            metavar="TEXT",
            help="Score this text, and print its bits only.",
        ),
    ] = None,
    above: Annotated[
        str | None,
        typer.Option(
            "--above",
            metavar="LIMIT",
            help="Write items that cost as much: 4.5 bits per character, or p99, a percentile.",
        ),
    ] = None,
    *,
    reading: Annotated[
        ReadingSettings,
        Only(
            {
                "column": "Score a table, CSV, TSV or JSON lines: the text in this column.",
                "format": None,
            }
        ),
    ],
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="COLUMN",
            help="The true model's name is in this column: how often it is the best.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Mark each item's most surprising stretch.")
    ] = False,
    header: Annotated[
        bool, typer.Option("--header", help="Begin with the columns' names.")
    ] = False,
    with_counts: WithCounts = False,
    threads: Threads = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    r"""Score lines as they come: bits, bits per character, percentile, text.

    The percentile is the item's place among validation items of like length. Rows are separated by
    tabs; of a table, these columns are appended to its own. With --above the exit code is 0 if
    something was found, 1 if nothing, 2 after an error.
    In TEXT, \n is a line end, \t a tab, \\ a backslash.
    """
    from charlstm.commands.answers import (
        Limit,
        Readers,
        judge,
        print_bits,
        say_counts,
        write_characters,
        write_rows,
    )
    from charlstm.commands.rows import Rows, TableRows, TextRows

    try:
        limit = None if above is None else Limit.parse(above)
        names: list[str | None] = [*runs] if runs else [None]
        if checkpoint is not None and runs:
            raise ConfigError("give --run or --checkpoint, not both")
        if text is not None and files:
            raise ConfigError("give FILE or --text, not both")
        if len(names) > 1 and (limit is not None or show or per == "char"):
            raise ConfigError("several models take neither --above nor --show nor --per char")
        paths = files or [STDIN]
        others = text is not None or show or header or as_json or per != "line" or len(paths) > 1
        _check_table(reading, expect, is_one=len(names) == 1, others=others)
        if text is None:
            expect_texts(paths, checkpoints)
        which = WhichModel(checkpoint=checkpoint, checkpoints=checkpoints)
        models = [replace(which, run=name).load() for name in names]
        readers: Readers = {}
        for one in models:
            predict = one.predictions(
                with_counts=with_counts, device=device, threads=threads, notify=say
            )
            readers[one.name] = one.alphabet, predict
        if len(readers) < len(models):
            raise ConfigError("--run: give each run once")
        model = models[0]
        if text is not None:
            print_bits(text, readers, as_json=as_json)
            return
        if per == "char":
            write_characters(model, predict, paths, header=header, as_json=as_json)
            return
        rows: Rows = (
            TextRows(paths, models, documents=per == "document", show=show, as_json=as_json)
            if reading.column is None
            else TableRows(paths[0], model, reading, expect)
        )
        needs_percentiles = limit is not None and limit.is_percentile
        found = judge(models, readers, with_counts=with_counts, needs=needs_percentiles)
        first = rows.header(found.columns)
        if first is not None and (header or reading.column is not None):
            print(first, flush=True)
        number, counts = write_rows(rows, found, limit)
        if len(models) > 1:
            say_counts(counts, [*readers], expected=expect is not None)
        if limit is not None and not number:
            raise typer.Exit(_EXIT_NOTHING)
    except CharLSTMError as error:
        error.exit_code = _EXIT_ERROR
        raise


def _check_table(
    reading: ReadingSettings,
    expect: str | None,
    *,
    is_one: bool,
    others: bool,
) -> None:
    """Refuse options that don't go together.

    Args:
        is_one: whether there is a single model.
        others: whether several files or options are given that a table doesn't take.
    """
    CorpusConfig.of(reading)
    if reading.column is not None and others:
        raise ConfigError(
            "--column writes one table as it is: no --text, --show, --header, --json or --per"
        )
    if expect is not None and (reading.column is None or is_one):
        raise ConfigError("--expect needs --column and several --run")
