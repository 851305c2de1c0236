"""Options that commands share, and what they mean."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from charlstm.errors import ConfigError
from charlstm.terminal import say

if TYPE_CHECKING:
    from charlstm.store import CheckpointStore, Loaded

Checkpoints = Annotated[
    Path,
    typer.Option(
        "--checkpoints",
        envvar="CHARLSTM_CHECKPOINTS",
        show_envvar=False,
        help="Folder that holds the runs.",
    ),
]
Run = Annotated[
    str | None, typer.Option("--run", metavar="NAME", help="Run to use; default: the newest.")
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="FILE", help="Use this checkpoint file, not a run."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

DEFAULT_CHECKPOINTS = Path("checkpoints")


def load_model(
    store: "CheckpointStore",
    *,
    run: str | None,
    checkpoint: Path | None,
    which: Literal["best", "last"] = "best",
) -> "Loaded":
    """Load the model that the user means, and say what had to be passed over.

    Raises:
        ConfigError: when both a run and a file are named.
        CheckpointError: when nothing can be loaded.
    """
    if run is not None and checkpoint is not None:
        raise ConfigError("give --run or --checkpoint, not both")
    if checkpoint is not None:
        from charlstm.checkpoints import read_checkpoint
        from charlstm.store import Loaded

        return Loaded(checkpoint=read_checkpoint(checkpoint), path=checkpoint)
    loaded = store.load(run if run is not None else store.latest(), which=which)
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    if loaded.warnings:
        say(f"warning: using {loaded.path} instead")
    return loaded
