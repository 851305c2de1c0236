"""The command that repeats a run, from the user's and the resolved settings."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from charlstm.config import IN_MEMORY, STDIN, Budget
from charlstm.errors import CorpusError
from charlstm.model.checkpoints import Checkpoint, RunSpec
from charlstm.reading.filelist import is_read_once
from charlstm.settings import RunSettings, TrainSettings, arguments_of
from charlstm.text.corpus import load_corpus

_NO_FILES: Final = {STDIN: "stdin", IN_MEMORY: "a Python program"}


def repeat_command(checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    """Return the unquoted arguments of `charlstm` that repeat a run, and notes on limitations."""
    spec = checkpoint.spec
    parts = (_settings(checkpoint), RunSettings(init_from=spec.init_from), spec.reading)
    arguments = [word for part in parts for word in arguments_of(part)]
    return ["train", *spec.corpus.paths, *arguments], list(_notes(checkpoint))


def _settings(checkpoint: Checkpoint) -> TrainSettings:
    """Return the user's settings, completed by those that depended on machine and clock."""
    spec = checkpoint.spec
    model, train = spec.model_config, spec.train_config
    settings = replace(
        spec.settings,
        minutes=None,
        epochs=spec.budget.epochs,
        steps=spec.budget.steps,
        threads=train.threads,
        device=train.device,
        precision=train.precision,
    )
    if spec.budget.minutes is None:
        return settings
    return replace(
        settings,
        steps=max(1, checkpoint.step),
        hidden_size=model.hidden_size,
        batch_size=train.batch_size,
        seq_len=train.seq_len,
        early_stop=train.early_stop,
    )


def _notes(checkpoint: Checkpoint) -> Iterator[str]:
    spec = checkpoint.spec
    if spec.budget.minutes is not None:
        steps = Budget(steps=max(1, checkpoint.step))
        yield (
            f"its budget was {spec.budget}, so timing decided the number of steps: repeating the "
            f"{steps} gives a similar model, not the same weights"
        )
    else:
        yield "the same weights need the same torch version, CPU type and number of threads"
    if not checkpoint.is_finished:
        yield f"the run isn't finished: it is at step {checkpoint.step:,} of its {spec.budget}"
    if Budget.of(spec.settings) not in (None, spec.budget):
        yield "its budget was changed on resuming; no single command repeats that"
    if spec.init_from is not None:
        yield f"it started from run {spec.init_from}, which may have changed since"
    started = checkpoint.history[0] if checkpoint.history else {}
    if (num_processes := started.get("world_size", 1)) != 1:
        yield f"{num_processes} processes trained it: use torchrun --nproc-per-node {num_processes}"
    yield from _text_notes(spec)


def _text_notes(spec: RunSpec) -> Iterator[str]:
    """Yield notes if the command would not read the same text."""
    config = spec.corpus
    is_missing = False
    for path in filter(None, (*config.paths, config.val, config.test)):
        if path in _NO_FILES:
            is_missing = True
            yield f"its text came from {_NO_FILES[path]}: pipe the same text in again"
        elif is_read_once(path) or not os.path.exists(path):
            is_missing = True
            yield f"{path} no longer exists"
    if is_missing:
        return
    try:
        load_corpus(config).require_fingerprint(spec.fingerprint)
    except CorpusError as error:
        yield str(error)
