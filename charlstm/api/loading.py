"""Trained models by the name of their run, folder or file."""

import os
import warnings
from pathlib import Path
from typing import Any

from charlstm.api.model import Model
from charlstm.config import DEFAULT_STORE
from charlstm.errors import ConfigError
from charlstm.run.store import CheckpointStore, run_records
from charlstm.settings import require_path
from charlstm.system import layout
from charlstm.system.terminal import escape_line

PathLike = str | os.PathLike[str]


def load(
    run: PathLike | None = None,
    *,
    checkpoints: PathLike | None = None,
    checkpoint: PathLike | None = None,
) -> Model:
    """Load a trained model; warns of damaged checkpoints that were tried before it.

    >>> model = charlstm.load("tiny")

    Args:
        run: its name or folder, a checkpoint file, or a folder for the Hugging Face Hub; None for
            the newest run.
        checkpoints: the folder that holds the runs; None for CHARLSTM_CHECKPOINTS, or else
            `checkpoints`.
        checkpoint: the same as `run`.

    Raises:
        CheckpointError: when there is no such run, or it is damaged.
    """
    model = open_model(run, checkpoints=checkpoints, checkpoint=checkpoint)
    for notice in model.notices:
        warnings.warn(escape_line(notice), stacklevel=2)
    return model


def runs(*, checkpoints: PathLike | None = None) -> list[dict[str, Any]]:
    """The runs of a store, the newest last, each as `charlstm runs --json` has it.

    >>> [run["name"] for run in charlstm.runs()]
    ['tiny']

    Raises:
        CheckpointError: when the store can't be read.
    """
    return run_records(
        open_store(checkpoints),
        lambda notice: warnings.warn(escape_line(notice), stacklevel=4),
    )


def open_store(checkpoints: PathLike | None) -> CheckpointStore:
    """Open the folder of runs, as `load` takes it.

    Raises:
        ConfigError: when it isn't a path.
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
    """As `load` does, with warnings in the model's `notices`.

    Raises:
        CheckpointError: when there is no such run, or it is damaged.
    """
    if run is not None and checkpoint is not None:
        raise ConfigError("give a run or a checkpoint, not both")
    wanted = checkpoint if run is None else run
    name = None if wanted is None else require_path("run", wanted)
    loaded = open_store(checkpoints).load_model(name)
    # What is derived is of a run's best model, not of a file by itself.
    is_best = loaded.is_of_run and loaded.path.name == layout.BEST
    return Model(
        loaded.checkpoint,
        name=loaded.run,
        path=loaded.path,
        text_folder=loaded.path.parent,
        derived_folder=loaded.path.parent if is_best else None,
        notices=loaded.notices,
    )
