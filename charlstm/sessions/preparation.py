"""From what the user asked for to a run that can start or resume."""

import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from charlstm.config import STDIN, Budget, CorpusConfig, TrainConfig
from charlstm.errors import CheckpointError, ConfigError
from charlstm.model.checkpoints import Arrays, Checkpoint
from charlstm.model.finetuning import transplant
from charlstm.store.runs import CheckpointStore
from charlstm.text.cache import CorpusCache, load_corpus_of_run
from charlstm.text.corpus import Corpus, corpus_name, load_corpus
from charlstm.training.hardware import (
    matrix_rate,
    resolve_device,
    resolve_precision,
    resolve_threads,
)
from charlstm.training.recipe import DEFAULT_MINUTES, Overrides, make_plan

# What of a model's settings its weights depend on, beside the vocabulary.
_SHAPE: Final = ("hidden_size", "num_layers", "embedding_size", "cell")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; None is left to the plan or, with `resume`, to the run."""

    corpus: dict[str, Any]
    run: str | None
    resume: bool
    parent: str | None
    budget: Budget | None
    overrides: Overrides
    threads: int | None
    device: str | None
    precision: str | None
    uses_cache: bool = True


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run before its next step.

    Args:
        base: the checkpoint to resume from; of a new run, all of it that is known before training.
        reason: how the plan was chosen; empty for a resumed run.
        notices: what the user may want to know.
    """

    name: str
    corpus: Corpus
    base: Checkpoint
    reason: str
    notices: tuple[str, ...]

    def without_text(self) -> "Prepared":
        """The same, small enough to be sent to another process."""
        nothing = self.corpus.train.part(0, 0)
        return replace(self, corpus=replace(self.corpus, train=nothing, val=nothing, test=nothing))


def run_to_resume(store: CheckpointStore, request: Request) -> str | None:
    """The run to resume; None for a new one, also where no checkpoint was written yet.

    Raises:
        CheckpointError: when the run has to be guessed, and one that it may be is damaged.
    """
    if not request.resume:
        return None
    if request.run is not None:
        if store.has_checkpoint(request.run):
            return request.run
        if not request.corpus.get("paths") and not store.folder(request.run).is_dir():
            raise CheckpointError(
                f"{store.folder(request.run)}: no such run; to start it, name its text"
            )
        return None
    wanted = None
    if request.corpus.get("paths"):
        wanted = corpus_name(CorpusConfig(**request.corpus))
    found = store.find_latest(which="last", corpus_name=wanted)
    if found.warnings:
        # It may be the one that is meant.
        raise CheckpointError(f"{found.warnings[0]}; name the run by --run")
    return found.name


def prepare_new(store: CheckpointStore, request: Request, *, num_processes: int = 1) -> Prepared:
    """Read the corpus and plan a run of it.

    Raises:
        CharLSTMError: when the corpus or the settings are impossible, or the run exists.
    """
    corpus_config = CorpusConfig(**request.corpus)
    if request.run is not None and store.has_checkpoint(request.run):
        raise ConfigError(
            f"run {request.run} exists: add --resume to continue it, or choose another --run"
        )
    parent = None if request.parent is None else store.load(request.parent, which="best")
    cache = _cache(store, request)
    corpus = load_corpus(corpus_config) if cache is None else cache.load(corpus_config)
    name = request.run if request.run is not None else store.unused_name(corpus.name)
    device = resolve_device(request.device or "auto")
    precision = resolve_precision(request.precision or "auto", device)
    budget = request.budget or Budget(minutes=DEFAULT_MINUTES)
    threads = resolve_threads(request.threads)
    # With steps or epochs nothing may depend on the clock.
    speed = None
    if budget.minutes is not None:
        speed = num_processes * matrix_rate(device, precision, threads)
    overrides = request.overrides if parent is None else _like(parent.checkpoint, request.overrides)
    plan = make_plan(
        num_train_chars=corpus.train.num_chars,
        num_characters=len(corpus.vocabulary),
        budget=budget,
        overrides=overrides,
        device=device,
        precision=precision,
        threads=threads,
        operations_per_second=speed,
    )
    notices = [*corpus.notices, *plan.notices]
    weights: Arrays = {}
    if parent is not None:
        notices += parent.warnings
        transplanted = transplant(parent.checkpoint, corpus.vocabulary)
        weights = transplanted.weights
        notices.append(
            f"from run {request.parent}: {transplanted.num_kept:,} characters kept, "
            f"{transplanted.num_new:,} new, {transplanted.num_dropped:,} dropped"
        )
    if request.resume:
        notices.insert(0, f"run {name} has no checkpoint yet: starting from the beginning")
    base = Checkpoint(
        model_config=plan.model,
        train_config=plan.train,
        budget=budget,
        corpus=corpus_config,
        corpus_name=corpus.name,
        fingerprint=corpus.fingerprint,
        num_train_chars=corpus.train.num_chars,
        vocabulary=corpus.vocabulary,
        weights=weights,
        step=0,
        history=(),
        is_finished=False,
        saved_at=0.0,
    )
    return Prepared(name=name, corpus=corpus, base=base, reason=plan.reason, notices=tuple(notices))


def prepare_resumed(store: CheckpointStore, name: str, request: Request) -> Prepared:
    """Load a run's latest checkpoint and the corpus that it was trained on.

    Raises:
        CharLSTMError: when no checkpoint loads, the text changed, or an option contradicts the run.
    """
    loaded = store.load(name, which="last")
    base, notices = loaded.checkpoint, list(loaded.notices)
    _refuse_contradictions(base, request)
    corpus_config = replace(base.corpus, **request.corpus)
    cache = _cache(store, request)
    corpus, notice = _corpus_again(corpus_config, base.fingerprint, cache, request)
    if notice is not None:
        notices.append(notice)
    base = replace(base, corpus=corpus_config)
    if request.budget is not None and base.is_finished and _is_used(request.budget, base):
        notices.append(f"{request.budget} were already used")
    elif request.budget is not None and request.budget != base.budget:
        notices.append(f"budget changed from {base.budget} to {request.budget} in total")
        base = replace(base, budget=request.budget, is_finished=False)
    hardware = _hardware(base.train_config, request)
    if hardware != base.train_config:
        notices.append(
            "another device, precision or number of threads: not bit-identical to the run so far"
        )
        base = replace(base, train_config=hardware)
    return Prepared(name=name, corpus=corpus, base=base, reason="", notices=tuple(notices))


def _is_used(budget: Budget, base: Checkpoint) -> bool:
    train = base.train_config
    total = budget.total_steps(num_chars=base.num_train_chars, chars_per_step=train.chars_per_step)
    if total is not None:
        return base.step >= total
    assert budget.minutes is not None
    assert base.training is not None
    used_seconds: float = base.training.numbers["elapsed_seconds"]
    # A run by the clock ends a little before its time is up.
    return used_seconds >= 0.95 * budget.minutes * 60


def prepare_to_follow(store: CheckpointStore, request: Request, leader: Prepared) -> Prepared:
    """In another process than the first one: the same run, its text found by this process itself.

    Args:
        leader: as the first process prepared it, without the text.

    Raises:
        CorpusError: when the text isn't here, or another one.
    """
    base = leader.base
    corpus = load_corpus_of_run(base.corpus, base.fingerprint, _cache(store, request))
    return replace(leader, corpus=corpus)


def _like(parent: Checkpoint, overrides: Overrides) -> Overrides:
    """The overrides, and the parent's shape, which they must not contradict."""
    shape = {name: getattr(parent.model_config, name) for name in _SHAPE}
    odd = [
        f"--{name.replace('_', '-')} {value} (the run has {shape[name]})"
        for name, value in overrides.given().items()
        if name in shape and value != shape[name]
    ]
    if odd:
        raise ConfigError(f"--from can't change {', '.join(odd)}")
    return replace(overrides, **shape)


def _cache(store: CheckpointStore, request: Request) -> CorpusCache | None:
    return CorpusCache(store.cache_folder) if request.uses_cache else None


def _corpus_again(
    config: CorpusConfig, fingerprint: str, cache: CorpusCache | None, request: Request
) -> tuple[Corpus, str | None]:
    """The text of a resumed run, which must not have changed; if it is gone, its copy.

    Returns:
        The corpus, and a notice where it is the copy.
    """
    paths = [path for path in (*config.paths, config.val, config.test) if path is not None]
    gone = [path for path in paths if path == STDIN or not os.path.exists(path)]
    # What is named now is meant now.
    if gone and not request.corpus:
        corpus = load_corpus_of_run(config, fingerprint, cache)
        return corpus, f"{gone[0]}: missing; resuming from the copy of its text in the store"
    corpus = load_corpus(config) if cache is None else cache.load(config)
    corpus.require_fingerprint(fingerprint)
    return corpus, None


def _hardware(stored: TrainConfig, request: Request) -> TrainConfig:
    """The stored settings on this machine, which may be another one."""
    try:
        device = resolve_device(request.device or stored.device)
        precision = resolve_precision(request.precision or stored.precision, device)
    except ConfigError:
        if request.device or request.precision:
            raise
        device = resolve_device("auto")
        precision = resolve_precision("auto", device)
    threads = stored.threads if request.threads is None else resolve_threads(request.threads)
    return replace(stored, device=device, precision=precision, threads=threads)


def _refuse_contradictions(base: Checkpoint, request: Request) -> None:
    """Refuse what would make it another run; files may have moved, their text is compared later."""
    planned = make_plan(
        num_train_chars=base.num_train_chars,
        num_characters=len(base.vocabulary),
        budget=base.budget,
        overrides=request.overrides,
        device=base.train_config.device,
        precision=base.train_config.precision,
        threads=base.train_config.threads,
    )
    moved = {"paths", "val", "test"}
    stored = asdict(base.model_config) | asdict(base.train_config) | asdict(base.corpus)
    # As the plan would resolve them: a batch too large for the text is shrunk again.
    resolved = asdict(planned.model) | asdict(planned.train)
    wanted = {name: resolved[name] for name in request.overrides.given()}
    wanted |= {name: value for name, value in request.corpus.items() if name not in moved}
    odd = [
        f"--{name.replace('_', '-')} {value} (the run has {stored[name]})"
        for name, value in wanted.items()
        if stored[name] != value
    ]
    odd += [
        f"--{name} {request.corpus[name]} (the run has a fraction)"
        for name in ("val", "test")
        if name in request.corpus and stored[name] is None
    ]
    if odd:
        raise ConfigError(f"--resume can't change {', '.join(odd)}")
