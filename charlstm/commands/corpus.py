"""`charlstm corpus`: what a text is like."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from charlstm.commands.options import (
    Encoding,
    Include,
    Json,
    KeepLineEnds,
    MinCount,
    NormalForm,
    ReadingLevel,
    SplitDocuments,
    reading_options,
)
from charlstm.config import CorpusConfig

app = typer.Typer(no_args_is_help=True, help="Look at texts before training.")


@app.callback()
def corpus() -> None:
    """Look at a text before it is trained on."""


@app.command("check")
def check(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, folders, or -.")],
    encoding: Encoding = None,
    keep_line_ends: KeepLineEnds = False,
    level: ReadingLevel = None,
    min_count: MinCount = None,
    include: Include = None,
    split_documents: SplitDocuments = None,
    normalize: NormalForm = None,
    as_json: Json = False,
) -> None:
    """Check a text before training: encoding, line ends, rare characters, repetition.

    charlstm corpus check my-text.txt

    charlstm corpus check src/ --include '*.py' --json
    """
    config = CorpusConfig(paths=tuple(files), **reading_options(context))

    from charlstm.analysis.diagnosis import diagnose
    from charlstm.views.diagnosis import show_diagnosis

    diagnosis = diagnose(config)
    if as_json:
        print(json.dumps(asdict(diagnosis)))
    else:
        show_diagnosis(diagnosis)
    if any(file.problem is not None for file in diagnosis.files):
        raise typer.Exit(1)
