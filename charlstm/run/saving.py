"""Saving: the checkpoints of a session, and models trained outside a session."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from charlstm.config import Budget, ReadingConfig
from charlstm.events import Evaluated, Saved, Started, TrainerEvent
from charlstm.model.checkpoints import Arrays, Checkpoint, RunSpec, TrainingState
from charlstm.run.log import RunLog
from charlstm.run.store import CheckpointStore
from charlstm.run.writer import RunWriter
from charlstm.text.corpus import Corpus
from charlstm.training.trainer import Trainer

# Interval of saves between evaluations.
SAVE_SECONDS: Final = 30.0


class CheckpointSaver:
    """Writes the best model and the last training state.

    Attributes:
        unsaved_best: the best model so far, until it is written.
    """

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self.unsaved_best: Checkpoint | None = None
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether `SAVE_SECONDS` have passed since the last attempt."""
        return time.monotonic() - self._saved_at >= SAVE_SECONDS

    def save(self, model: Checkpoint, weights: Arrays, state: TrainingState) -> Saved:
        """Write the best model, if it is new, and then the training state.

        Args:
            model: the calibrated model, without training state.
            weights: the uncalibrated weights that training continues with.

        Raises:
            CheckpointError: if that fails; the previous files are intact.
        """
        # `best` first: after a kill in between, training resumes from an older `last` and gets
        # here again, and `last` never refers to a best model that wasn't saved.
        self._saved_at = time.monotonic()
        if self.unsaved_best is not None:
            self._writer.save_best(self.unsaved_best)
            self.unsaved_best = None
        path = self._writer.save_last(replace(model, weights=weights, training=state))
        return Saved(step=model.step, path=str(path))


@dataclass(frozen=True, kw_only=True)
class ModelSaver:
    """Saves models of one corpus as runs.

    Args:
        config: how the corpus was read, with absolute paths.
    """

    store: CheckpointStore
    corpus: Corpus
    config: ReadingConfig
    budget: Budget

    def check_writable(self) -> None:
        """Check, before training, that runs can be saved.

        Raises:
            CheckpointError: if they can't.
        """
        with self.store.new_run(self.corpus.name):
            pass  # an unused run leaves no files

    def save(self, trainer: Trainer, events: Sequence[TrainerEvent]) -> str:
        """Save a model at the end of its budget.

        Args:
            events: the events of its training.

        Returns:
            The name of the run: corpus and cell, with a number if that name is taken.

        Raises:
            CheckpointError: if it can't be saved.
        """
        run_log = RunLog(())
        for event in events:
            if isinstance(event, Started | Evaluated):
                kind = "started" if isinstance(event, Started) else "evaluated"
                run_log.history.append(run_log.entry_for(kind, event).record)
        weights = trainer.weights()
        model = Checkpoint(
            spec=RunSpec(
                model_config=trainer.model.config,
                train_config=trainer.config,
                budget=self.budget,
                corpus=self.config,
                corpus_name=self.corpus.name,
                fingerprint=self.corpus.fingerprint,
                num_train_chars=self.corpus.train.num_chars,
                vocabulary=self.corpus.vocabulary,
            ),
            weights=trainer.calibrated(weights),
            step=trainer.step,
            history=tuple(run_log.history),
            is_finished=True,
            saved_at=time.time(),
        )
        with self.store.new_run(f"{self.corpus.name}-{trainer.model.config.cell}") as writer:
            writer.mode = self.corpus.mode
            writer.save_text(self.corpus, self.config, self.store.folders())
            writer.save_best(model)
            writer.save_last(replace(model, weights=weights, training=trainer.state_dict()))
            return writer.name
