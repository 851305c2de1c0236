"""The command that makes a run again, from the settings that its checkpoint holds.

Every setting is named but dropout where it follows from how often the text is read: then the recipe
sets it again, from the same text, sizes and steps, and it is checked that it would.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from charlstm.config import IN_MEMORY, STDIN, Budget, CorpusConfig, ModelConfig, TrainConfig
from charlstm.errors import CharLSTMError, CorpusError
from charlstm.model.checkpoints import Checkpoint, RunSpec
from charlstm.text.cache import CorpusCache
from charlstm.text.corpus import load_corpus
from charlstm.text.filelist import is_fleeting
from charlstm.training.recipe import Overrides, make_plan

_SIZES: Final = ("hidden_size", "num_layers", "embedding_size", "cell")
_STEPS: Final = ("batch_size", "seq_len", "learning_rate", "weight_decay", "seed")
_MACHINE: Final = ("threads", "device", "precision")
# What of a training's settings the clock, the budget or the number of processes decides.
_BY_BUDGET: Final = frozenset({"num_evaluations", "adapts_threads"})
_DOCUMENT_RULES: Final = ("lines", "blank-lines")
_NEVER: Final = (0.0, 0.0)
_NO_FILES: Final = {STDIN: "stdin", IN_MEMORY: "a Python program"}


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """How to make a run again.

    Args:
        arguments: of `charlstm`, unquoted.
        notes: what stands in the way of the same weights.
    """

    arguments: tuple[str, ...]
    notes: tuple[str, ...]


def repetition(checkpoint: Checkpoint, cache: CorpusCache) -> Repetition:
    """The command that makes a run again, and how far it can.

    Args:
        checkpoint: the run's last one.
        cache: tells whether the run's text is still the same, mostly without reading it.
    """
    spec = checkpoint.spec
    budget = spec.budget
    if budget.minutes is not None:
        budget = Budget(steps=max(1, checkpoint.step))
    overrides = _overrides(spec.model_config, spec.train_config)
    parent = _started(checkpoint).get("from")
    options = {
        budget.unit: getattr(budget, budget.unit),
        **overrides.given(),
        **{name: getattr(spec.train_config, name) for name in _MACHINE},
        **_reading(spec.corpus),
    }
    is_early = options.pop("stops_early")
    return Repetition(
        arguments=(
            "train",
            *spec.corpus.paths,
            *(() if parent is None else ("--from", str(parent))),
            *(text for name, value in options.items() for text in _option(name, value)),
            *(("--early-stop",) if is_early else ()),
        ),
        notes=tuple(_notes(checkpoint, budget, overrides, cache)),
    )


def _overrides(model: ModelConfig, train: TrainConfig) -> Overrides:
    given = {name: getattr(model, name) for name in _SIZES}
    given |= {name: getattr(train, name) for name in _STEPS}
    if train.dropout_epochs == _NEVER:
        given["dropout"] = model.dropout
    if train.recurrent_dropout_epochs == _NEVER:
        given["recurrent_dropout"] = model.recurrent_dropout
    return Overrides(**given, stops_early=train.stops_early)


def _reading(corpus: CorpusConfig) -> dict[str, Any]:
    """The options that say how a text is read and split; what is off or as usual is left out."""
    usual = asdict(CorpusConfig.of_new_run())
    # A file of its own stands instead of a share of the text.
    unused = {"paths", *(f"{name}_fraction" for name in ("val", "test") if getattr(corpus, name))}
    unused |= {"marks_ends", "split_seed"}  # no options
    found = {
        name: value
        for name, value in asdict(corpus).items()
        if name not in unused and (name.endswith("_fraction") or value != usual[name])
    }
    if corpus.split_documents is not None and corpus.split_documents not in _DOCUMENT_RULES:
        found["split_documents"] = f"re:{corpus.split_documents}"
    return found


def _option(name: str, value: object) -> Iterator[str]:
    option = f"--{name.replace('_', '-')}"
    for one in value if isinstance(value, tuple) else (value,):
        yield option
        if one is not True:
            yield str(one)


def _started(checkpoint: Checkpoint) -> dict[str, Any]:
    """What was logged when the run started; empty where that isn't stored."""
    return next((entry.record for entry in checkpoint.history if entry.is_start), {})


def _notes(
    checkpoint: Checkpoint, budget: Budget, overrides: Overrides, cache: CorpusCache
) -> Iterator[str]:
    spec, started = checkpoint.spec, _started(checkpoint)
    if spec.budget.minutes is not None:
        yield (
            f"its budget was {spec.budget}, and the clock set its pace: the {budget} that it made "
            "give a model like it, not the same weights"
        )
    else:
        yield "the same weights need the same torch, kind of processor and number of threads"
    if not checkpoint.is_finished:
        yield f"the run isn't finished: it is at step {checkpoint.step:,} of its {spec.budget}"
    if started.get("budget", asdict(spec.budget)) != asdict(spec.budget):
        yield "its budget was changed on the way, which no single command repeats"
    if "from" not in started:
        yield "it was trained before it was stored whether a run starts --from another one"
    elif started["from"] is not None:
        yield f"it started from run {started['from']} as that was then"
    if (num_processes := started.get("world_size", 1)) != 1:
        yield f"{num_processes} processes trained it: run it by torchrun, as many again"
    yield from _text_notes(spec, cache)
    yield from _setting_notes(spec, budget, overrides)


def _text_notes(spec: RunSpec, cache: CorpusCache) -> Iterator[str]:
    """Whether the line would read the same text."""
    config = spec.corpus
    gone = False
    for path in (*config.paths, config.val, config.test):
        if path is None:
            continue
        if path in _NO_FILES:
            gone = True
            yield f"its text came from {_NO_FILES[path]}: the line must be given the same again"
        elif is_fleeting(path) or not os.path.exists(path):
            gone = True
            yield f"{path} isn't there any more"
    if gone:
        return
    try:
        corpus = cache.unchanged(config) or load_corpus(config)
        corpus.require_fingerprint(spec.fingerprint)
    except CorpusError as error:
        yield str(error)


def _setting_notes(spec: RunSpec, budget: Budget, overrides: Overrides) -> Iterator[str]:
    """What no option sets, and is another than the run's now."""
    for name in ("marks_ends", "split_seed"):
        own, new = getattr(spec.corpus, name), getattr(CorpusConfig.of_new_run(), name)
        if own != new:
            yield f"an older charlstm made it: {name} was {own} and is {new} now"
    try:
        plan = make_plan(
            num_train_chars=spec.num_train_chars,
            num_characters=len(spec.vocabulary),
            budget=budget,
            overrides=overrides,
            device=spec.train_config.device,
            precision=spec.train_config.precision,
            threads=spec.train_config.threads,
        )
    except CharLSTMError as error:
        yield str(error)
        return
    planned = asdict(plan.model) | asdict(plan.train)
    for name, own in (asdict(spec.model_config) | asdict(spec.train_config)).items():
        if name not in _BY_BUDGET and planned[name] != own:
            yield f"another charlstm made it: {name} was {own} and would be {planned[name]} now"
