"""One session of a training run: connects trainer and store.

A session decides when to save and reports events; it prints nothing.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from charlstm.analysis.inspection import gate_statistics, gate_text
from charlstm.config import SampleConfig
from charlstm.errors import CheckpointError
from charlstm.events import (
    Evaluated,
    Finished,
    SaveDue,
    SavingFailed,
    Started,
    Stepped,
    TrainerEvent,
)
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import sample
from charlstm.model.checkpoints import Arrays, Checkpoint, LogEntry, TrainingState
from charlstm.run.log import EventRecord, RunLog
from charlstm.run.preparation import (
    PreparedRun,
    Request,
    claim_new_run,
    prepare_new,
    prepare_resumed,
    prepare_worker,
    run_to_resume,
)
from charlstm.run.saving import CheckpointSaver
from charlstm.run.store import CheckpointStore
from charlstm.run.writer import RunWriter
from charlstm.settings import RunSettings
from charlstm.system.distributed import SINGLE_PROCESS, World
from charlstm.training.hardware import require_memory, set_threads
from charlstm.training.trainer import Trainer

_PREVIEW: Final = SampleConfig(length=160, temperature=0.8)
_PREVIEW_SEED: Final = 0
_RUN_NOTE: Final = "run"


class Session:
    """A training session, created by `open_session`."""

    def __init__(
        self, prepared: PreparedRun, writer: RunWriter, *, world: World, started_at: float
    ) -> None:
        self.name = prepared.name
        self.extent = prepared.extent
        self.dropouts = prepared.dropouts
        self.notices = prepared.notices
        self.confirmations = prepared.confirmations
        self.spec = prepared.spec
        self.corpus = corpus = prepared.corpus
        self.is_finished = prepared.is_finished
        self._writer = writer
        self._run_log = RunLog(prepared.history)
        self._saver = CheckpointSaver(writer)
        self._trainer = _trainer(prepared, world, started_at)
        self._gate_text = gate_text(corpus.val, corpus.train)

    @property
    def folder(self) -> Path:
        return self._writer.folder

    @property
    def history(self) -> list[LogEntry]:
        """The log entries so far: the untrained model, then each evaluation."""
        return self._run_log.history

    def finished_record(self) -> dict[str, Any]:
        """Return the `--json` record of a run that was finished in an earlier session."""
        trainer = self._trainer
        record = self._run_log.finished_before(step=trainer.step, best_epoch=trainer.best_epoch)
        return record | {"run": self.name}

    def stop(self) -> None:
        """Ask `run` to save and end after the current step."""
        self._trainer.stop()

    def run(self) -> Iterator[EventRecord]:
        """Train and save, yielding events with log entries.

        Raises:
            TrainingError: if training can't continue.
            CheckpointError: if the first or last checkpoint can't be saved, or the run's folder
                is gone.
        """
        for event in self._trainer.run():
            if isinstance(event, Stepped):
                yield self._logged(self._run_log.entry_for("stepped", event))
                if self._saver.is_due:
                    self._trainer.request_save()
            else:
                yield from self._handle(event, self._trainer.state_dict())

    def _handle(self, event: TrainerEvent, state: TrainingState) -> Iterator[EventRecord]:
        """Save at an event between steps and yield log entries; weights are copied once."""
        run_log, saver = self._run_log, self._saver
        weights = self._trainer.weights()
        calibrated = self._trainer.calibrated(weights)
        match event:
            case Started():
                report = run_log.entry_for(
                    "started", event, **self._settings(), **self._preview(calibrated)
                )
                if not run_log.history:
                    # Record the untrained model as a baseline.
                    run_log.history.append(report.record)
                # Save before training and logging: errors show at once, and a killed start
                # leaves no log.
                saved = saver.save(self._model(calibrated), weights, state)
                yield self._logged(report)
                yield self._logged(run_log.entry_for("saved", saved))
            case SaveDue():
                yield self._try_to_save(self._model(calibrated), weights, state)
            case Evaluated():
                report = run_log.entry_for("evaluated", event, **self._preview(calibrated))
                run_log.history.append(report.record)
                model = self._model(calibrated)
                if event.is_best:
                    saver.unsaved_best = model
                yield self._logged(report)
                yield self._try_to_save(model, weights, state, is_kept=True)
            case Finished():
                model = replace(self._model(calibrated), is_finished=not event.was_interrupted)
                saved = saver.save(model, weights, state)
                if model.is_finished:
                    self._writer.drop_kept()
                yield self._logged(run_log.entry_for("saved", saved))
                yield self._logged(run_log.entry_for("finished", event, run=self.name))

    def _settings(self) -> dict[str, Any]:
        spec = self.spec
        return {
            "run": self.name,
            "corpus": spec.corpus_name,
            "budget": asdict(spec.budget),
            "from": spec.init_from,
            **asdict(spec.model_config),
            **asdict(spec.train_config),
        }

    def _preview(self, weights: Arrays) -> dict[str, Any]:
        """Return a sample and gate statistics, without using training's random generator."""
        predictor = Predictor(self._model(weights))
        generator = np.random.default_rng(_PREVIEW_SEED)
        try:
            text = "".join(sample(predictor, "", _PREVIEW, generator=generator, restarts=True))
            layers = gate_statistics(predictor, self._gate_text)
        except CheckpointError:  # training has diverged
            return {"sample": "", "gates": [], "gate_shares": []}
        return {
            "sample": predictor.tokenizer.to_text(text),
            "gates": [{name: gate.mean for name, gate in layer.items()} for layer in layers],
            "gate_shares": [
                {name: [gate.closed, gate.open] for name, gate in layer.items()} for layer in layers
            ],
        }

    def _logged(self, report: EventRecord) -> EventRecord:
        if report.is_due:
            self._writer.log(report.record)
        return report

    def _try_to_save(
        self, model: Checkpoint, weights: Arrays, state: TrainingState, *, is_kept: bool = False
    ) -> EventRecord:
        """Save during training; a failure is only reported, as the next save may succeed.

        Args:
            is_kept: whether to keep a copy of this checkpoint, named by its step.

        Raises:
            CheckpointError: if the run's folder is gone.
        """
        try:
            saved = self._saver.save(model, weights, state)
        except CheckpointError as error:
            if not self.folder.is_dir():
                raise
            failed = SavingFailed(step=model.step, reason=str(error))
            return self._logged(self._run_log.entry_for("saving_failed", failed))
        if is_kept:
            self._writer.keep(saved.step)
        return self._logged(self._run_log.entry_for("saved", saved))

    def _model(self, weights: Arrays) -> Checkpoint:
        """Return the model for use, without training state."""
        return Checkpoint(
            spec=self.spec,
            weights=weights,
            step=self._trainer.step,
            history=tuple(self._run_log.history),
            is_finished=False,
            saved_at=time.time(),
        )


class Worker:
    """A worker's part of a session: it trains, but neither reports nor saves."""

    def __init__(self, prepared: PreparedRun, *, world: World, started_at: float) -> None:
        self.is_finished = prepared.is_finished
        self._trainer = _trainer(prepared, world, started_at)

    def stop(self) -> None:
        """Ask all processes to save and end."""
        self._trainer.stop()

    def run(self) -> None:
        """Train to the end.

        Raises:
            TrainingError: if training can't continue.
        """
        for event in self._trainer.run():
            if not isinstance(event, Stepped):
                self._trainer.state_dict()  # a collective operation


@contextlib.contextmanager
def open_session(
    store: CheckpointStore,
    request: Request,
    *,
    started_at: float,
    world: World = SINGLE_PROCESS,
    before_training: Callable[[], None] = lambda: None,
) -> Iterator[Session]:
    """Prepare a new or resumed run, holding its lock.

    Args:
        world: the training processes; the workers get the prepared run, or None if that failed.
        before_training: called after preparation, before the trainer is created.

    Raises:
        CharLSTMError: if the corpus, the run or the settings are invalid.
    """
    with contextlib.ExitStack() as stack:
        try:
            prepared, writer = _prepare(store, request, stack, world, started_at)
        except BaseException:
            world.broadcast(None)
            raise
        world.broadcast(prepared.without_text())
        before_training()
        yield Session(prepared, writer, world=world, started_at=started_at)


def open_worker(
    store: CheckpointStore,
    *,
    started_at: float,
    world: World,
    before_training: Callable[[], None] = lambda: None,
) -> Worker | None:
    """Wait until the main process has prepared the run; None if that failed.

    Args:
        before_training: as in `open_session`.

    Raises:
        CharLSTMError: if the text is missing on this machine.
    """
    received: PreparedRun | None = world.broadcast(None)
    if received is None:
        return None
    prepared = prepare_worker(store, received)
    before_training()
    return Worker(prepared, world=world, started_at=started_at)


def _prepare(
    store: CheckpointStore,
    request: Request,
    stack: contextlib.ExitStack,
    world: World,
    started_at: float,
) -> tuple[PreparedRun, RunWriter]:
    request = _continued(request, world)
    run = run_to_resume(store, request)
    if run is not None:
        writer = stack.enter_context(run.writer())
        prepared = prepare_resumed(store, run, request)
    else:
        writer = stack.enter_context(claim_new_run(store, request))
        prepared = prepare_new(
            store, writer.name, request, started_at=started_at, num_processes=world.size
        )
    writer.mode = prepared.corpus.mode
    writer.save_text(prepared.corpus, prepared.spec.corpus, store.folders())
    world.require_divisible(prepared.spec.train_config.batch_size)
    world.note(_RUN_NOTE, prepared.name)
    return prepared, writer


def _continued(request: Request, world: World) -> Request:
    """Change the request to resume an earlier attempt's run, after a restart by torchrun."""
    if not world.attempt:
        return request
    if world.notes is None:
        return replace(request, run=replace(request.run, resume=True))
    run = world.noted(_RUN_NOTE)
    # If no run was started yet, resuming the newest one would be wrong.
    return request if run is None else replace(request, run=RunSettings(run=run, resume=True))


def _trainer(prepared: PreparedRun, world: World, started_at: float) -> Trainer:
    spec, corpus = prepared.spec, prepared.corpus
    batch_size = spec.train_config.batch_size // world.size
    require_memory(spec.model_config, replace(spec.train_config, batch_size=batch_size))
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
