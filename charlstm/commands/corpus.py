"""`charlstm corpus`: what a text is like."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from charlstm.commands.options import Json
from charlstm.config import CorpusConfig, Level, Normalize

app = typer.Typer(no_args_is_help=True, help="Look at texts before training.")


@app.callback()
def corpus() -> None:
    """Look at a text before it is trained on."""


@app.command("check")
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, folders, or -.")],
    encoding: Annotated[str, typer.Option("--encoding", help="Of the text files.")] = "utf-8",
    keep_line_ends: Annotated[
        bool, typer.Option("--keep-line-ends", help="Leave CR and CRLF as they are.")
    ] = False,
    level: Annotated[Level, typer.Option("--level", help="char, or byte for any file.")] = "char",
    min_count: Annotated[
        int, typer.Option("--min-count", help="Rarer characters become one, unknown.")
    ] = 1,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="PATTERN", help="Of folders, files such as '*.py'."),
    ] = None,
    split_documents: Annotated[
        str | None,
        typer.Option(
            "--split-documents",
            metavar="HOW",
            help="Several texts in a file: lines, blank-lines, or where a regular expression fits.",
        ),
    ] = None,
    normalize: Annotated[
        Normalize, typer.Option("--normalize", help="nfc: one form of accented letters.")
    ] = "none",
    as_json: Json = False,
) -> None:
    """Say what a text is like, and what may harm a training on it.

    charlstm corpus check my-text.txt

    charlstm corpus check src/ --include '*.py' --json
    """
    config = CorpusConfig(
        paths=tuple(files),
        encoding=encoding,
        keep_line_ends=keep_line_ends,
        level=level,
        min_count=min_count,
        include=tuple(include or ()),
        split_documents=split_documents,
        normalize=normalize,
    )

    from charlstm.diagnosis import diagnose
    from charlstm.views.diagnosis import show_diagnosis

    diagnosis = diagnose(config)
    if as_json:
        print(json.dumps(asdict(diagnosis)))
    else:
        show_diagnosis(diagnosis)
    if any(file.problem is not None for file in diagnosis.files):
        raise typer.Exit(1)
