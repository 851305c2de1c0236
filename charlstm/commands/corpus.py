"""`charlstm corpus`: checks of a text before training."""

from typing import Annotated, Final

import typer

from charlstm.arguments.help import Command, Group
from charlstm.arguments.options import Json, print_record, with_settings
from charlstm.arguments.texts import require_texts
from charlstm.config import ReadingConfig
from charlstm.settings import ReadingSettings

_CHECK_EXAMPLES: Final = """\
charlstm corpus check my-text.txt
charlstm corpus check . --include '*.txt' --json
charlstm corpus check names.txt --split-documents lines"""

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="Check texts before training.",
    epilog="charlstm corpus check my-text.txt",
)


@app.callback()
def corpus() -> None:
    """Check a text before training."""


@app.command(
    "check",
    cls=Command,
    short_help="Check a text before training.",
    epilog=_CHECK_EXAMPLES,
)
@with_settings
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Files, folders, or -.")],
    reading: ReadingSettings,
    as_json: Json = False,
) -> None:
    """Check a text before training: encoding, line ends, rare characters, repetition."""
    require_texts(files)
    config = ReadingConfig.of(reading, files)

    from charlstm.analysis.diagnosis import diagnose
    from charlstm.views.diagnosis import diagnosis_record, show_diagnosis

    diagnosis = diagnose(config)
    if as_json:
        print_record(diagnosis_record(diagnosis))
    else:
        show_diagnosis(diagnosis)
