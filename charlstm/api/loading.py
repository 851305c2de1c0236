"""Loading of trained models by run name, folder or file."""

import os
import warnings
from pathlib import Path
from typing import Any

from charlstm.api.model import Model
from charlstm.config import DEFAULT_STORE
from charlstm.errors import ConfigError
from charlstm.run.store import CheckpointStore, run_records
from charlstm.settings import require_path
from charlstm.system import run_files
from charlstm.system.terminal import escape_line

PathLike = str | os.PathLike[str]


def load(
    run: PathLike | None = None,
    *,
    checkpoints: PathLike | None = None,
    checkpoint: PathLike | None = None,
) -> Model:
    """Load a trained model, with warnings about damaged checkpoints that were skipped.

    >>> model = charlstm.load("tiny")

    Args:
        run: name or folder of a run, a checkpoint file, or a Hugging Face folder; None for the
            newest run.
        checkpoints: folder of runs; None for the environment variable CHARLSTM_CHECKPOINTS, or
            `checkpoints` if it is not set.
        checkpoint: the same as `run`.

    Raises:
        CheckpointError: if there is no such run, or it is damaged.
    """
    model = open_model(run, checkpoints=checkpoints, checkpoint=checkpoint)
    for notice in model.notices:
        warnings.warn(escape_line(notice), stacklevel=2)
    return model


def runs(*, checkpoints: PathLike | None = None) -> list[dict[str, Any]]:
    """List the runs of a store, newest last, as `charlstm runs --json` does.

    >>> [run["name"] for run in charlstm.runs()]
    ['tiny']

    Raises:
        CheckpointError: if the store can't be read.
    """
    return run_records(
        open_store(checkpoints),
        lambda notice: warnings.warn(escape_line(notice), stacklevel=4),
    )


def open_store(checkpoints: PathLike | None) -> CheckpointStore:
    """Open a folder of runs; None selects the default, as in `load`.

    Raises:
        ConfigError: if `checkpoints` is not a path.
    """
    if checkpoints is None:
        checkpoints = os.environ.get("CHARLSTM_CHECKPOINTS") or DEFAULT_STORE
    return CheckpointStore(Path(require_path("checkpoints", checkpoints)))


def open_model(
    run: PathLike | None,
    *,
    checkpoints: PathLike | None = None,
    checkpoint: PathLike | None = None,
) -> Model:
    """Load a trained model like `load`, but keep warnings in its `notices`.

    Raises:
        CheckpointError: if there is no such run, or it is damaged.
    """
    if run is not None and checkpoint is not None:
        raise ConfigError("give a run or a checkpoint, not both")
    wanted = checkpoint if run is None else run
    name = None if wanted is None else require_path("run", wanted)
    loaded = open_store(checkpoints).load_model(name)
    return Model(
        loaded.checkpoint,
        name=loaded.run,
        path=loaded.path,
        has_cache=loaded.is_of_run and loaded.path.name == run_files.BEST,
        notices=loaded.notices,
    )
