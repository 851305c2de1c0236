"""One session of a training run: trainer and store put together.

It decides when to save, and reports what happens; it prints nothing.
"""

import contextlib
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from charlstm.analysis.inspection import gate_shares, gate_text
from charlstm.config import DEFAULT_STORE, SampleConfig
from charlstm.errors import CheckpointError
from charlstm.events import (
    Evaluated,
    Event,
    Finished,
    Saved,
    SaveDue,
    SavingFailed,
    Started,
    Stepped,
    TrainerEvent,
)
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import sample
from charlstm.model.checkpoints import (
    Checkpoint,
    HistoryEntry,
    TrainingState,
    best_val_bits_per_char,
)
from charlstm.sessions.preparation import (
    Prepared,
    Request,
    claim_new_run,
    prepare_new,
    prepare_resumed,
    prepare_to_follow,
    run_to_resume,
)
from charlstm.store.runs import CheckpointStore
from charlstm.store.writer import RunWriter
from charlstm.system.distributed import ALONE, World
from charlstm.training.hardware import require_memory, set_threads
from charlstm.training.trainer import Trainer

SAVE_SECONDS: Final = 30.0
REPORT_SECONDS: Final = 3.0

_PREVIEW: Final = SampleConfig(length=160, temperature=0.8)
_PREVIEW_SEED: Final = 0
_RUN_NOTE: Final = "run"


@dataclass(frozen=True, kw_only=True)
class Report:
    """An event, and what the event log and `--json` get for it.

    Args:
        record: the event's fields, the latest figures, and what was found out about it.
        is_logged: gradient steps are many: one every few seconds is enough for a log.
    """

    event: Event
    record: dict[str, Any]
    is_logged: bool


class Session:
    """Made by `open_session`; `run` trains, `stop` ends it early."""

    def __init__(
        self, prepared: Prepared, writer: RunWriter, *, world: World, started_at: float
    ) -> None:
        self.name = prepared.name
        self.reason = prepared.reason
        self.notices = prepared.notices
        self.spec = prepared.spec
        self.corpus = corpus = prepared.corpus
        self.is_finished = prepared.is_finished
        self._writer = writer
        self._history = list(prepared.history)
        self._latest: dict[str, Any] = dict.fromkeys(
            (
                "step",
                "epoch",
                "elapsed_seconds",
                "chars_per_second",
                "train_bits_per_char",
                "val_bits_per_char",
                "learning_rate",
            )
        )
        self._saved_at = self._reported_at = time.monotonic()
        self._was_skipping = False
        self._unsaved_best: Checkpoint | None = None
        self._trainer = _trainer(prepared, world, started_at)
        self._gate_text = gate_text(corpus.val, corpus.train)

    @property
    def folder(self) -> Path:
        return self._writer.folder

    def command(self, name: str) -> str:
        """What to type to do something with this run."""
        store = self.folder.parent
        where = "" if store == DEFAULT_STORE else f" --checkpoints {shlex.quote(str(store))}"
        return f"charlstm {name} --run {shlex.quote(self.name)}{where}"

    def finished_record(self) -> dict[str, Any]:
        """What `--json` gets of a run that was finished before."""
        latest = self._history[-1].record if self._history else {}
        return {
            "event": "finished",
            **{key: latest.get(key) for key in self._latest},
            "step": self._trainer.step,
            "best_val_bits_per_char": best_val_bits_per_char(self._history),
            "was_interrupted": False,
            "run": self.name,
        }

    def stop(self) -> None:
        """Ask `run` to save and end after the step that it is making."""
        self._trainer.stop()

    def run(self) -> Iterator[Report]:
        """Train, save and report.

        Raises:
            TrainingError: when training can't continue.
            CheckpointError: when the first or the last checkpoint can't be saved, or the run's
                folder is gone.
        """
        for event in self._trainer.run():
            state = _state_at(event, self._trainer)
            match event:
                case Started():
                    started = self._report(
                        "started", event, self._settings() | self._preview(), is_logged=False
                    )
                    if not self._history:
                        # What learning changes is seen beside what was there before.
                        self._history.append(HistoryEntry.of(started.record))
                    # Saved before the first step, and before anything else is written: what can't
                    # be saved need not be trained, and a start that is killed leaves nothing.
                    saved = self._save_last(state)
                    self._writer.log(started.record)
                    yield replace(started, is_logged=True)
                    yield self._report("saved", saved, {})
                case Stepped():
                    now = time.monotonic()
                    is_due = now - self._reported_at >= REPORT_SECONDS
                    if event.was_skipped and not self._was_skipping:
                        is_due = True  # said once, not at each of a row
                    self._was_skipping = event.was_skipped
                    if is_due:
                        self._reported_at = now
                    yield self._report("stepped", event, {}, is_logged=is_due)
                    if now - self._saved_at >= SAVE_SECONDS:
                        self._trainer.ask_to_save()
                case SaveDue():
                    yield self._try_to_save(state)
                case Evaluated():
                    preview = self._preview()
                    report = self._report("evaluated", event, preview)
                    self._history.append(HistoryEntry.of(report.record))
                    if event.is_best:
                        self._unsaved_best = self._checkpoint()
                    yield report
                    yield self._try_to_save(state, is_kept=True)
                case Finished():
                    saved = self._save_last(state, is_finished=not event.was_interrupted)
                    yield self._report("saved", saved, {})
                    yield self._report("finished", event, {"run": self.name})

    def _settings(self) -> dict[str, Any]:
        spec = self.spec
        return {
            "run": self.name,
            "corpus": spec.corpus_name,
            "budget": asdict(spec.budget),
            **asdict(spec.model_config),
            **asdict(spec.train_config),
        }

    def _report(
        self, kind: str, event: Event, extra: dict[str, Any], *, is_logged: bool = True
    ) -> Report:
        values = asdict(event)
        self._latest.update({key: values[key] for key in self._latest if key in values})
        record = {"event": kind, **self._latest, **values, **extra}
        if is_logged:
            self._writer.log(record)
        return Report(event=event, record=record, is_logged=is_logged)

    def _preview(self) -> dict[str, Any]:
        """A short sample and how open the gates are; consumes none of training's randomness."""
        predictor = Predictor(self._checkpoint())
        generator = np.random.default_rng(_PREVIEW_SEED)
        layers = gate_shares(predictor, self._gate_text)
        return {
            "sample": "".join(sample(predictor, "", _PREVIEW, generator=generator)),
            "gates": [{name: gate.mean for name, gate in layer.items()} for layer in layers],
            "gate_shares": [
                {name: [gate.closed, gate.open] for name, gate in layer.items()} for layer in layers
            ],
        }

    def _try_to_save(self, state: TrainingState | None, *, is_kept: bool = False) -> Report:
        """Save; a failure in the middle of a run is reported, as the next save may succeed."""
        try:
            saved = self._save_last(state)
            if is_kept:
                self._writer.keep(saved.step)
        except CheckpointError as error:
            if not self._writer.folder.is_dir():
                raise
            self._saved_at = time.monotonic()
            failed = SavingFailed(step=self._latest["step"] or 0, reason=str(error))
            return self._report("saving_failed", failed, {})
        return self._report("saved", saved, {})

    def _save_last(self, state: TrainingState | None, *, is_finished: bool = False) -> Saved:
        # `best` first: a kill in between leaves an older `last`, which comes this way again. And no
        # `last` tells of a best model that could not be saved yet.
        if self._unsaved_best is not None:
            self._writer.save_best(self._unsaved_best)
            self._unsaved_best = None
        checkpoint = replace(
            self._checkpoint(is_finished=is_finished),
            weights=self._trainer.weights(),
            training=state,
        )
        path = self._writer.save_last(checkpoint)
        self._saved_at = time.monotonic()
        return Saved(step=checkpoint.step, path=str(path))

    def _checkpoint(self, *, is_finished: bool = False) -> Checkpoint:
        """The model as it is used: calibrated, without what only training needs."""
        return Checkpoint(
            spec=self.spec,
            weights=self._trainer.calibrated_weights(),
            step=self._trainer.step,
            history=tuple(self._history),
            is_finished=is_finished,
            saved_at=time.time(),
        )


class Follower:
    """The same session in another process of the training: it reports and saves nothing."""

    def __init__(self, prepared: Prepared, *, world: World, started_at: float) -> None:
        self.is_finished = prepared.is_finished
        self._trainer = _trainer(prepared, world, started_at)

    def stop(self) -> None:
        """Ask all processes to save and end."""
        self._trainer.stop()

    def run(self) -> None:
        """Train to the end.

        Raises:
            TrainingError: when training can't continue.
        """
        for event in self._trainer.run():
            _state_at(event, self._trainer)


@contextlib.contextmanager
def open_session(
    store: CheckpointStore, request: Request, *, started_at: float, world: World = ALONE
) -> Iterator[Session]:
    """Prepare a new run or the next session of an old one; holds the run's lock.

    Args:
        world: the other processes are told what was prepared, or that nothing could be.

    Raises:
        CharLSTMError: when the corpus, the run or the settings don't allow it.
    """
    with contextlib.ExitStack() as stack:
        try:
            prepared, writer = _prepare(store, request, stack, world)
        except BaseException:
            world.broadcast(None)
            raise
        world.broadcast(prepared.without_text())
        yield Session(prepared, writer, world=world, started_at=started_at)


def open_follower(
    store: CheckpointStore, request: Request, *, started_at: float, world: World
) -> Follower | None:
    """Wait for what the first process prepares; None where it couldn't, and has said why.

    Raises:
        CharLSTMError: when the text isn't here.
    """
    leader: Prepared | None = world.broadcast(None)
    if leader is None:
        return None
    prepared = prepare_to_follow(store, request, leader)
    return Follower(prepared, world=world, started_at=started_at)


def _prepare(
    store: CheckpointStore, request: Request, stack: contextlib.ExitStack, world: World
) -> tuple[Prepared, RunWriter]:
    request = _continued(request, world)
    run = run_to_resume(store, request)
    if run is not None:
        writer = stack.enter_context(run.writer())
        prepared = prepare_resumed(store, run, request)
    else:
        writer = stack.enter_context(claim_new_run(store, request))
        prepared = prepare_new(store, writer.name, request, num_processes=world.size)
    writer.mode = prepared.corpus.mode
    world.require_divisible(prepared.spec.train_config.batch_size)
    world.note(_RUN_NOTE, prepared.name)
    return prepared, writer


def _continued(request: Request, world: World) -> Request:
    """The same request, to resume what an earlier attempt of these processes has started."""
    if not world.attempt:
        return request
    if world.notes is None:
        return replace(request, resume=True)
    run = world.noted(_RUN_NOTE)
    # Where nothing was started yet, the newest run of the text would be another one.
    return request if run is None else replace(request, run=run, resume=True)


def _trainer(prepared: Prepared, world: World, started_at: float) -> Trainer:
    spec, corpus = prepared.spec, prepared.corpus
    share = spec.train_config.batch_size // world.size
    require_memory(spec.model_config, replace(spec.train_config, batch_size=share))
    set_threads(spec.train_config.threads)
    return Trainer(
        spec.model_config,
        spec.train_config,
        spec.budget,
        train=corpus.train,
        val=corpus.val,
        start=prepared.start,
        started_at=started_at,
        world=world,
    )


def _state_at(event: TrainerEvent, trainer: Trainer) -> TrainingState | None:
    """What is needed to resume from an event: gathered in all processes, so in all at the same."""
    return None if isinstance(event, Stepped) else trainer.state()
