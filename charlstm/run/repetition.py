"""The command that makes a run again, from what the user chose and what was resolved."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from charlstm.config import IN_MEMORY, STDIN, Budget
from charlstm.errors import CorpusError
from charlstm.model.checkpoints import Checkpoint, RunSpec
from charlstm.settings import RunSettings, TrainSettings, arguments_of
from charlstm.text.corpus import load_corpus
from charlstm.text.filelist import is_fleeting

_NO_FILES: Final = {STDIN: "stdin", IN_MEMORY: "a Python program"}


def repetition(checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    """Return the arguments of `charlstm`, unquoted, that make a run again, and their limits."""
    spec = checkpoint.spec
    parts = (_settings(checkpoint), RunSettings(init_from=spec.init_from), spec.reading)
    arguments = [word for part in parts for word in arguments_of(part)]
    return ["train", *spec.corpus.paths, *arguments], list(_notes(checkpoint))


def _settings(checkpoint: Checkpoint) -> TrainSettings:
    """Return the user's choices, and what the machine and the clock decided."""
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
            f"its budget was {spec.budget}, and the clock set its pace: the {steps} that it made "
            "give a model like it, not the same weights"
        )
    else:
        yield "the same weights need the same torch, kind of processor and number of threads"
    if not checkpoint.is_finished:
        yield f"the run isn't finished: it is at step {checkpoint.step:,} of its {spec.budget}"
    if Budget.of(spec.settings) not in (None, spec.budget):
        yield "its budget was changed on resuming, which no single command repeats"
    if spec.init_from is not None:
        yield f"it started from run {spec.init_from} as that was then"
    started = checkpoint.history[0] if checkpoint.history else {}
    if (num_processes := started.get("world_size", 1)) != 1:
        yield f"{num_processes} processes trained it: use torchrun --nproc-per-node {num_processes}"
    yield from _text_notes(spec)


def _text_notes(spec: RunSpec) -> Iterator[str]:
    """Yield whether the command would read the same text."""
    config = spec.corpus
    gone = False
    for path in filter(None, (*config.paths, config.val, config.test)):
        if path in _NO_FILES:
            gone = True
            yield f"its text came from {_NO_FILES[path]}: pipe the same text in again"
        elif is_fleeting(path) or not os.path.exists(path):
            gone = True
            yield f"{path} isn't there any more"
    if gone:
        return
    try:
        load_corpus(config).require_fingerprint(spec.fingerprint)
    except CorpusError as error:
        yield str(error)
