"""When and in which order a run's checkpoints are written."""

import time
from dataclasses import replace
from typing import Final

from charlstm.events import Saved
from charlstm.model.checkpoints import Arrays, Checkpoint, TrainingState
from charlstm.run.writer import RunWriter

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
