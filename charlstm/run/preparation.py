"""Preparation of a new or resumed run from the user's settings."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from charlstm.config import IN_MEMORY, STDIN, Budget, Dropouts, ReadingConfig, TrainConfig
from charlstm.errors import ChangedTextError, CheckpointError, ConfigError, CorpusError
from charlstm.model.checkpoints import Checkpoint, LogEntry, RunSpec
from charlstm.model.config import ModelConfig
from charlstm.model.finetuning import characters_to_keep, resize_vocabulary
from charlstm.reading.documents import EOS
from charlstm.reading.filelist import is_read_once
from charlstm.run.store import CheckpointStore, Run
from charlstm.run.writer import RunWriter
from charlstm.settings import (
    DEFAULT_MINUTES,
    ReadingSettings,
    RunSettings,
    TrainSettings,
    given,
    options_of,
)
from charlstm.text.corpus import Corpus, corpus_name, load_corpus
from charlstm.text.storage import load_corpus_of_run
from charlstm.training.auto_config import auto_configure
from charlstm.training.hardware import (
    resolve_device,
    resolve_machine,
    resolve_precision,
    resolve_threads,
    set_threads,
)
from charlstm.training.step_benchmark import StepBenchmark
from charlstm.training.trainer import FromWeights, Resume, Start

# Runs with --minutes end slightly early, to leave time for the last save.
_USED_FRACTION: Final = 0.95
# Fewer are too few to learn from, and to validate on a twentieth of them.
_MIN_TRAIN_CHARS: Final = 100


@dataclass(frozen=True, kw_only=True)
class Request:
    """The user's request for a run.

    Args:
        paths: files and folders; empty for Python's documentation or, with `resume`, the run's own.
        texts: texts in memory, if the path is `IN_MEMORY`.
    """

    paths: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    reading: ReadingSettings = ReadingSettings()
    settings: TrainSettings = TrainSettings()
    run: RunSettings = RunSettings()

    def corpus_config(self) -> ReadingConfig:
        """Return the reading configuration of a new run, with absolute paths."""
        config = ReadingConfig.of(self.reading, tuple(map(absolute, self.paths)))
        return replace(
            config,
            val=config.val and absolute(config.val),
            test=config.test and absolute(config.test),
        )


def absolute(path: str) -> str:
    """Return the absolute path; stdin, texts in memory and empty names stay."""
    return path if path in (STDIN, IN_MEMORY, "") else os.path.abspath(path)


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that is ready to train.

    Args:
        history: log entries of earlier sessions.
        is_finished: whether the budget is used up, so that nothing is left to train.
        extent: how the settings were chosen; empty for a resumed run.
        dropouts: the expected dropout rates.
        notices: warnings for the user.
        confirmations: of what the user asked for.
    """

    name: str
    corpus: Corpus
    spec: RunSpec
    start: Start
    history: tuple[LogEntry, ...]
    is_finished: bool
    extent: str
    dropouts: Dropouts
    notices: tuple[str, ...]
    confirmations: tuple[str, ...] = ()

    def without_text(self) -> "PreparedRun":
        """Return a copy without text, small enough to send to another process."""
        empty = self.corpus.train.part(0, 0)
        return replace(self, corpus=replace(self.corpus, train=empty, val=empty, test=empty))


def run_to_resume(store: CheckpointStore, request: Request) -> Run | None:
    """Return the run to resume; None for a new one, or if the named run has no checkpoint yet.

    Raises:
        CheckpointError: if there is neither a run nor a text, or no run is named and a run that
            may be the newest is damaged.
    """
    if not request.run.resume:
        return None
    if request.run.run is not None:
        run = store.run(request.run.run)
        if run.has_checkpoint:
            return run
        if not request.paths:
            raise CheckpointError(f"{run.folder}: no such run; to start it, name its text")
        return None
    name = corpus_name(request.corpus_config()) if request.paths else None
    newest, warnings = store.newest(resumable=True, corpus_name=name)
    if warnings:
        # The damaged run may be the newest.
        raise CheckpointError(f"{warnings[0]}; name the run with --run")
    if newest is not None:
        return store.run(newest.run)
    if name is None:
        raise CheckpointError(f"{store.root}: no run to resume; to start one, name its text")
    return None


@contextlib.contextmanager
def claim_new_run(store: CheckpointStore, request: Request) -> Iterator[RunWriter]:
    """Create and lock the folder of a new run, after deleting the store's abandoned folders.

    Raises:
        ConfigError: if the run exists.
        CheckpointError: if another process trains it, or the folder can't be written.
    """
    store.remove_abandoned()
    if request.run.run is None:
        with store.new_run(corpus_name(request.corpus_config())) as writer:
            yield writer
        return
    run = store.run(request.run.run)
    if not run.has_checkpoint:
        with run.writer() as writer:
            # Check again under the lock.
            if not run.has_checkpoint:
                yield writer
                return
    raise ConfigError(
        f"run {run.name} exists: add --resume to continue it, or choose another --run"
    )


def prepare_new(
    store: CheckpointStore,
    name: str,
    request: Request,
    *,
    started_at: float,
    num_processes: int = 1,
) -> PreparedRun:
    """Read the corpus and configure a run.

    Args:
        started_at: start of the command, by `time.monotonic`.

    Raises:
        CharLSTMError: if the corpus or the settings are invalid.
    """
    corpus_config, init_from = request.corpus_config(), request.run.init_from
    initial = None if init_from is None else store.load_model(init_from)
    settings, old_characters = request.settings, ""
    if initial is not None:
        spec, old_characters = initial.checkpoint.spec, characters_to_keep(initial.checkpoint)
        settings = _with_shape_of(spec.model_config, settings)
        _refuse_changes("--from", request.reading, {"level": spec.corpus.level})
        corpus_config = replace(corpus_config, level=spec.corpus.level)
    corpus = load_corpus(corpus_config, texts=request.texts, extra_characters=old_characters)
    if settings.early_stop and not corpus.val.num_chars:
        raise ConfigError("--early-stop needs validation text: see --val-fraction and --val")
    machine = resolve_machine(settings)
    budget = Budget.of(settings) or Budget(minutes=DEFAULT_MINUTES)
    # With --steps or --epochs, nothing may depend on the clock.
    step_times, adapts_threads = None, False
    if budget.minutes is not None:
        _require_enough_text(corpus)
        adapts_threads = settings.threads is None and num_processes == 1 and machine.device == "cpu"
        step_times = StepBenchmark(
            corpus.train,
            budget_seconds=budget.minutes * 60,
            num_processes=num_processes,
            set_threads=set_threads if adapts_threads else None,
        )
    set_threads(machine.threads)
    plan = auto_configure(
        settings,
        num_train_chars=corpus.train.num_chars,
        num_characters=len(corpus.vocabulary),
        budget=budget,
        machine=machine,
        step_times=step_times,
        seconds_used=lambda: time.monotonic() - started_at,
    )
    notices = [*corpus.notices, *plan.notices]
    confirmations: list[str] = []
    start: Start = None
    if initial is not None:
        notices += initial.notices
        start = FromWeights(weights=resize_vocabulary(initial.checkpoint, corpus.vocabulary))
        num_new = len(set(corpus.vocabulary.characters) - {*old_characters, EOS})
        confirmations.append(
            f"from run {init_from}: its {len(old_characters):,} characters and {num_new:,} new"
        )
    if request.run.resume:
        notices.insert(0, f"run {name} has no checkpoint yet: starting from the beginning")
    return PreparedRun(
        name=name,
        corpus=corpus,
        spec=RunSpec(
            model_config=plan.model,
            train_config=replace(plan.train, adapts_threads=adapts_threads),
            budget=budget,
            corpus=corpus_config,
            corpus_name=corpus.name,
            fingerprint=corpus.fingerprint,
            num_train_chars=corpus.train.num_chars,
            vocabulary=corpus.vocabulary,
            reading=replace(request.reading, val=corpus_config.val, test=corpus_config.test),
            settings=request.settings,
            init_from=init_from,
        ),
        start=start,
        history=(),
        is_finished=False,
        extent=plan.extent,
        dropouts=plan.train.dropouts(plan.epochs),
        notices=tuple(notices),
        confirmations=tuple(confirmations),
    )


def _require_enough_text(corpus: Corpus) -> None:
    """Refuse a text that is too small for a budget in minutes.

    Raises:
        CorpusError: naming the text.
    """
    num_chars = corpus.train.num_chars
    if num_chars < _MIN_TRAIN_CHARS:
        raise CorpusError(
            f"{corpus.name}: {num_chars} characters are too few to train on for minutes; "
            "use at least a few thousand"
        )
    if len(corpus.vocabulary.characters) < 2:
        raise CorpusError(f"{corpus.name}: one character, repeated: there is nothing to learn")


def prepare_resumed(store: CheckpointStore, run: Run, request: Request) -> PreparedRun:
    """Load a run's latest checkpoint and the corpus it was trained on.

    Raises:
        CharLSTMError: if no checkpoint loads, the text changed, or an option contradicts the run.
    """
    loaded = run.last()
    checkpoint, notices = loaded.checkpoint, list(loaded.notices)
    confirmations: list[str] = []
    if checkpoint.training is None:
        raise CheckpointError(
            f"{loaded.path}: contains only a model; training can't resume from it"
        )
    spec, is_finished = checkpoint.spec, checkpoint.is_finished
    _refuse_contradictions(spec, request)
    spec = replace(spec, corpus=_moved(spec.corpus, request))
    try:
        corpus, notice = _resumed_corpus(spec, run.folder, request)
    except ChangedTextError as error:
        raise CorpusError(
            f"{error}; --from {run.name} starts a new run from this one's weights"
        ) from error
    if notice is not None:
        notices.append(notice)
    budget = Budget.of(request.settings)
    if budget is not None and is_finished and _is_used(budget, checkpoint):
        notices.append(f"{budget} were already used")
    elif budget is not None and budget != spec.budget:
        if _is_used(budget, checkpoint):
            raise ConfigError(
                f"--{budget.unit} {getattr(budget, budget.unit):g}: the run is at step "
                f"{checkpoint.step:,} of its {spec.budget}, past that; give a larger budget"
            )
        confirmations.append(f"budget changed from {spec.budget} to {budget} in total")
        spec, is_finished = replace(spec, budget=budget), False
    hardware = _hardware(spec.train_config, request.settings)
    if hardware != spec.train_config:
        notices.append(
            "another device, precision or number of threads: not bit-identical to the run so far"
        )
        spec = replace(spec, train_config=hardware)
    return PreparedRun(
        name=run.name,
        corpus=corpus,
        spec=spec,
        start=Resume(weights=checkpoint.weights, state=checkpoint.training),
        history=checkpoint.history,
        is_finished=is_finished,
        extent="",
        dropouts=checkpoint.dropouts,
        notices=tuple(notices),
        confirmations=tuple(confirmations),
    )


def _is_used(budget: Budget, checkpoint: Checkpoint) -> bool:
    spec = checkpoint.spec
    total = budget.total_steps(
        num_chars=spec.num_train_chars, chars_per_step=spec.train_config.chars_per_step
    )
    if total is not None:
        return checkpoint.step >= total
    assert budget.minutes is not None
    assert checkpoint.training is not None
    used_seconds: float = checkpoint.training.numbers["counters"]["elapsed_seconds"]
    return used_seconds >= _USED_FRACTION * budget.minutes * 60


def prepare_worker(store: CheckpointStore, prepared: PreparedRun) -> PreparedRun:
    """Prepare the same run in a worker, which loads the text itself.

    Args:
        prepared: the run prepared by the main process, without text.

    Raises:
        CorpusError: if the text is missing or has changed.
    """
    folder = store.run(prepared.name).folder
    return replace(prepared, corpus=_stored_corpus(prepared.spec, folder))


def _with_shape_of(model: ModelConfig, settings: TrainSettings) -> TrainSettings:
    """Return the settings with a model's shape, which they must not contradict."""
    _refuse_changes("--from", settings, asdict(model))
    return replace(
        settings,
        hidden_size=model.hidden_size,
        num_layers=model.num_layers,
        embedding_size=model.embedding_size,
        cell=model.cell,
    )


def _resumed_corpus(spec: RunSpec, folder: Path, request: Request) -> tuple[Corpus, str | None]:
    """Load the unchanged text of a resumed run from its files, or from its copy if they are gone.

    Returns:
        The corpus, and a notice if it is the copy.
    """
    config = spec.corpus
    paths = [path for path in (*config.paths, config.val, config.test) if path is not None]
    gone = [path for path in paths if is_read_once(path) or not os.path.exists(path)]
    # Explicit arguments win.
    if gone and not request.paths and not given(request.reading):
        corpus = _stored_corpus(spec, folder)
        return corpus, f"{gone[0]}: missing; resuming from the copy of its text in the run's folder"
    if not paths:
        # Python's documentation changes with each Python version.
        return _stored_corpus(spec, folder), None
    corpus = load_corpus(config, extra_characters=spec.vocabulary.characters)
    corpus.require_fingerprint(spec.fingerprint)
    return corpus, None


def _stored_corpus(spec: RunSpec, folder: Path) -> Corpus:
    return load_corpus_of_run(spec.corpus, spec.fingerprint, spec.vocabulary, folder)


def _hardware(stored: TrainConfig, settings: TrainSettings) -> TrainConfig:
    """Return the stored configuration, adapted to this machine and the user's settings."""
    try:
        device = resolve_device(settings.device or stored.device)
        precision = resolve_precision(settings.precision or stored.precision, device)
    except ConfigError:
        if settings.device or settings.precision:
            raise
        device = resolve_device("auto")
        precision = resolve_precision("auto", device)
    threads, adapts = stored.threads, stored.adapts_threads
    if settings.threads is not None:
        threads, adapts = resolve_threads(settings.threads), False
    return replace(
        stored, device=device, precision=precision, threads=threads, adapts_threads=adapts
    )


def _moved(config: ReadingConfig, request: Request) -> ReadingConfig:
    """Return a run's reading configuration with the user's new paths, if any."""
    new = request.corpus_config()
    return replace(
        config,
        paths=new.paths or config.paths,
        val=new.val or config.val,
        test=new.test or config.test,
    )


# Settings that may change from session to session.
_BUDGET: Final = ("minutes", "epochs", "steps")
_HARDWARE: Final = ("threads", "device", "precision")
_FILES: Final = ("val", "test")


def _refuse_contradictions(spec: RunSpec, request: Request) -> None:
    """Refuse settings that differ from the run's; file contents are compared later.

    A setting may be repeated as it was given originally, or as it was resolved.

    Raises:
        ConfigError: naming all of them.
    """
    resolved = asdict(spec.model_config) | asdict(spec.train_config)
    for name, value in given(spec.settings).items():
        if getattr(request.settings, name) == value:
            resolved[name] = value
    for name in (*_BUDGET, *_HARDWARE):
        resolved[name] = getattr(request.settings, name)
    _refuse_changes("--resume", request.settings, resolved)
    read = asdict(spec.corpus)
    for name in _FILES:
        read[name] = getattr(request.reading, name) if read[name] is not None else "a fraction"
    _refuse_changes("--resume", request.reading, read)


def _refuse_changes(
    option: str, settings: TrainSettings | ReadingSettings, stored: Mapping[str, object]
) -> None:
    """Refuse settings that contradict stored ones.

    Raises:
        ConfigError: naming all of them.
    """
    options = options_of(type(settings))
    changes = [
        f"{options[name].title} {value} (the run has {stored[name]})"
        for name, value in given(settings).items()
        if name in stored and stored[name] != value
    ]
    if changes:
        raise ConfigError(f"{option} can't change {', '.join(changes)}")
