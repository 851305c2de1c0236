"""`charlstm export`: a model for other programs."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from charlstm.commands.options import Checkpoints, RunName, say_warnings
from charlstm.config import DEFAULT_STORE
from charlstm.system.terminal import say

EXAMPLES: Final = """\
charlstm export shakespeare --format onnx -o shakespeare.onnx
charlstm export shakespeare --format hf -o shakespeare-model"""


def export(
    run: RunName,
    form: Annotated[
        Literal["onnx", "hf"],
        typer.Option(
            "--format", help="onnx: a graph of one step; hf: a folder for the Hugging Face Hub."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="The file, or the folder, to write."),
    ],
    checkpoints: Checkpoints = DEFAULT_STORE,
) -> None:
    """Convert a model for other programs."""
    from charlstm.api.loading import open_model
    from charlstm.export.hub import export_folder
    from charlstm.export.onnx import OPSET, export_onnx

    model = open_model(run, checkpoints=checkpoints)
    say_warnings(model.notices)
    if form == "onnx":
        difference = export_onnx(model.checkpoint, output, inputs=model.sources())
        say(f"{output}: opset {OPSET}; largest difference in 1,000 steps {difference:.1e}")
    else:
        export_folder(
            model.checkpoint,
            output,
            name=run,
            ngram_bits=model.ngram_bits(),
            inputs=model.sources(),
        )
        say(f"{output}: use it with: charlstm sample --checkpoint {output / 'model.safetensors'}")
