"""When and in which order a run's checkpoints are written."""

import time
from dataclasses import replace
from typing import Final

from charlstm.events import Saved
from charlstm.model.checkpoints import Arrays, Checkpoint, TrainingState
from charlstm.run.writer import RunWriter

SAVE_SECONDS: Final = 30.0


class Saver:
    """Writes the best model and what training resumes from.

    Attributes:
        unsaved_best: the model that validates best, until a save has written it.
    """

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self.unsaved_best: Checkpoint | None = None
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last try is long enough ago."""
        return time.monotonic() - self._saved_at >= SAVE_SECONDS

    def save(self, model: Checkpoint, weights: Arrays, state: TrainingState) -> Saved:
        """Write the best model, if it is new, and then what training resumes from.

        Args:
            model: as it would be used, calibrated.
            weights: as training continues with them.

        Raises:
            CheckpointError: when that fails; what was there before is intact.
        """
        # `best` first: a kill in between leaves an older `last`, which comes this way again. And no
        # `last` tells of a best model that could not be saved yet.
        self._saved_at = time.monotonic()
        if self.unsaved_best is not None:
            self._writer.save_best(self.unsaved_best)
            self.unsaved_best = None
        path = self._writer.save_last(replace(model, weights=weights, training=state))
        return Saved(step=model.step, path=str(path))
