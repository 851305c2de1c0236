"""`charlstm score`: the surprisal of each line, written as lines arrive."""

from dataclasses import replace
from typing import Annotated, Final, Literal

import typer

from charlstm.arguments.options import (
    CheckpointFile,
    Checkpoints,
    Device,
    Json,
    ModelOptions,
    SettingsSubset,
    Threads,
    WithCounts,
    complete_run,
    one_of,
    unescape_text,
    with_settings,
)
from charlstm.arguments.texts import require_texts
from charlstm.config import DEFAULT_STORE, STDIN, ReadingConfig
from charlstm.errors import CharLSTMError, ConfigError
from charlstm.settings import ReadingSettings
from charlstm.system.terminal import say

Per = Literal["line", "document", "char"]

_EXIT_NOTHING: Final = 1
_EXIT_ERROR: Final = 2

EXAMPLES: Final = """\
charlstm score another.txt --above p50           # lines above the median
charlstm score another.txt --run large --run small --header
charlstm score mails.csv --column text --run ham --run spam --expect label
charlstm score --text "To be or not to be"       # its bits"""


@with_settings
def score(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Texts to score; - is stdin.  [default: -]"),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="NAME",
            help="Run to use; repeat it to find the best run per line.  [default: the newest]",
            autocompletion=complete_run,
        ),
    ] = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    per: Annotated[
        Per, typer.Option("--per", help="Write a row per line, document or character.")
    ] = "line",
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            parser=unescape_text,
            metavar="TEXT",
            help="Score this text and print only its bits.",
        ),
    ] = None,
    above: Annotated[
        str | None,
        typer.Option(
            "--above",
            metavar="LIMIT",
            help="Only write items at or above this: bits per character (4.5) or percentile (p99).",
        ),
    ] = None,
    *,
    reading: Annotated[
        ReadingSettings,
        SettingsSubset(
            {
                "column": "Score the text in this column of a CSV, TSV or JSON Lines table.",
                "format": None,
            }
        ),
    ],
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="COLUMN",
            help="Column with the correct model's name; accuracy is printed at the end.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Highlight each item's most surprising passage.")
    ] = False,
    header: Annotated[bool, typer.Option("--header", help="Start with a header line.")] = False,
    with_counts: WithCounts = False,
    threads: Threads = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    r"""Score lines as they arrive: bits, bits per character, percentile, text.

    The percentile ranks an item among validation items of similar length. Columns are separated by
    tabs; for a table, they are appended to its own. With --above the exit code is 0 if items were
    found, 1 if none were, and 2 after an error.
    In TEXT, \n is a line end, \t a tab, \\ a backslash.
    """
    from charlstm.commands.rows import (
        Limit,
        Readers,
        Rows,
        TableRows,
        TextRows,
        build_scorer,
        print_bits,
        print_summary,
        write_characters,
        write_rows,
    )

    try:
        limit = None if above is None else Limit.parse(above)
        runs, checkpoint = one_of(context, runs=runs, checkpoint=checkpoint)
        files, text = one_of(context, files=files, text=text)
        names: list[str | None] = [*runs] if runs else [None]
        if len(names) > 1 and (limit is not None or show or per == "char"):
            raise ConfigError("--above, --show and --per char need a single --run")
        paths = files or [STDIN]
        ReadingConfig.of(reading)  # rejects invalid settings
        if reading.column is not None and (
            text is not None or show or header or as_json or per != "line" or len(paths) > 1
        ):
            raise ConfigError(
                "--column takes one file, and no --text, --show, --header, --json or --per"
            )
        if expect is not None and (reading.column is None or len(names) == 1):
            raise ConfigError("--expect needs --column and several --run")
        if text is None:
            require_texts(paths, checkpoints)
        which = ModelOptions(checkpoint=checkpoint, checkpoints=checkpoints)
        models = [replace(which, run=name).load() for name in names]
        readers: Readers = {}
        for model in models:
            predict = model.predictions(
                with_counts=with_counts, device=device, threads=threads, notify=say
            )
            readers[model.name] = model.tokenizer, predict
        if len(readers) < len(models):
            raise ConfigError("--run names a run twice")
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
        columns, scorer = build_scorer(
            models, readers, with_counts=with_counts, needs_percentiles=needs_percentiles
        )
        header_line = rows.header(columns)
        if header_line is not None and (header or reading.column is not None):
            print(header_line, flush=True)
        num_written, counts = write_rows(rows, scorer, limit)
        if len(models) > 1:
            print_summary(counts, [*readers], has_labels=expect is not None)
        if limit is not None and not num_written:
            raise typer.Exit(_EXIT_NOTHING)
    except CharLSTMError as error:
        error.exit_code = _EXIT_ERROR
        raise
