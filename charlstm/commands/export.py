"""`charlstm export`: conversion to ONNX, JavaScript or a Hugging Face folder."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from charlstm.arguments.options import ModelOptions, complete_run, one_of, with_settings
from charlstm.system.terminal import say

EXAMPLES: Final = """\
charlstm export shakespeare --format onnx -o shakespeare.onnx
charlstm export shakespeare --format hf -o shakespeare-model
charlstm export shakespeare --format js -o shakespeare-js"""


@with_settings
def export(
    context: typer.Context,
    which: ModelOptions,
    form: Annotated[
        Literal["onnx", "hf", "js"],
        typer.Option(
            "--format",
            help="onnx: an ONNX graph of one step; hf: a folder for the Hugging Face Hub; js: a "
            "JavaScript module, as a .js file or a folder with types and an example page.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="File or folder to write."),
    ],
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="The same as --run.", autocompletion=complete_run),
    ] = None,
) -> None:
    """Convert a model for use in other programs."""
    from charlstm.errors import CorpusError
    from charlstm.export.hub import export_folder
    from charlstm.export.javascript import export_module
    from charlstm.export.onnx import OPSET, export_onnx
    from charlstm.export.rounding import measure_rounding

    for option, value in (("run", which.run), ("checkpoint", which.checkpoint)):
        one_of(context, **{"name": name, option: value})
    model = replace(which, run=name or which.run).load()
    if form == "onnx":
        difference = export_onnx(model.checkpoint, output, inputs=model.sources())
        say(f"{output}: opset {OPSET}; largest difference in 1,000 steps {difference:.1e}")
    elif form == "js":
        export_module(model.checkpoint, output, name=model.title, inputs=model.sources())
        try:
            cost = str(measure_rounding(model.checkpoint, model.corpus().held_out()))
        except CorpusError:
            cost = "weights rounded to 8 bits; cost not measured, because the text is unavailable"
        say(f"{output}: {cost}")
    else:
        export_folder(
            model.checkpoint,
            output,
            name=model.title,
            ngram_bits=model.counts_val_bits(may_count=True),
            inputs=model.sources(),
        )
        say(f"{output}: use it with: charlstm sample --run {output}")
