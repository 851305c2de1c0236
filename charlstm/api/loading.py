"""Trained models by the name of their run or file."""

import warnings
from pathlib import Path
from typing import Any

from charlstm.api.model import Model
from charlstm.config import DEFAULT_STORE
from charlstm.errors import ConfigError
from charlstm.model.checkpoints import read_checkpoint
from charlstm.run.store import CheckpointStore, run_records
from charlstm.system import layout
from charlstm.system.terminal import escape_line


def load(
    run: str | None = None,
    *,
    checkpoints: str | Path = DEFAULT_STORE,
    checkpoint: str | Path | None = None,
) -> Model:
    """Load a trained model; warns of damaged checkpoints that were tried before it.

    >>> model = charlstm.load("tiny")

    Args:
        run: its name, or a checkpoint file; None for the newest run.
        checkpoints: the folder that holds the runs.
        checkpoint: a checkpoint file, instead of a run.

    Raises:
        CheckpointError: when there is no such run, or it is damaged.
    """
    model = open_model(run, checkpoints=checkpoints, checkpoint=checkpoint)
    for notice in model.notices:
        warnings.warn(escape_line(notice), stacklevel=2)
    return model


def runs(*, checkpoints: str | Path = DEFAULT_STORE) -> list[dict[str, Any]]:
    """The runs of a store, the newest last, each as `charlstm runs --json` has it.

    >>> [run["name"] for run in charlstm.runs()]
    ['tiny']

    Raises:
        CheckpointError: when the store can't be read.
    """
    return run_records(
        CheckpointStore(Path(checkpoints)),
        lambda notice: warnings.warn(escape_line(notice), stacklevel=4),
    )


def open_model(
    run: str | None, *, checkpoints: str | Path, checkpoint: str | Path | None = None
) -> Model:
    """As `load` does, with warnings in the model's `notices`.

    Raises:
        CheckpointError: when there is no such run, or it is damaged.
    """
    store = CheckpointStore(Path(checkpoints))
    if run is not None and checkpoint is not None:
        raise ConfigError("give a run or a checkpoint, not both")
    if run is not None and run.endswith(layout.SUFFIX) and Path(run).is_file():
        checkpoint = run
    if checkpoint is not None:
        path = Path(checkpoint)
        return Model(read_checkpoint(path), name=str(path), path=path, text_folder=path.parent)
    loaded = store.load_model(run)
    return Model(
        loaded.checkpoint,
        name=loaded.run,
        path=loaded.path,
        text_folder=loaded.path.parent,
        # What is derived is of the best model.
        derived_folder=loaded.path.parent if loaded.path.name == layout.BEST else None,
        notices=loaded.notices,
    )
