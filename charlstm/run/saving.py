"""When and in which order a run's checkpoints are written."""

import time
from dataclasses import replace
from typing import Final

from charlstm.errors import CheckpointError
from charlstm.events import Saved, SavingFailed
from charlstm.model.checkpoints import Arrays, Checkpoint, TrainingState
from charlstm.run.writer import RunWriter

SAVE_SECONDS: Final = 30.0


class Saver:
    """Writes the best model and what training resumes from."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._unsaved_best: Checkpoint | None = None
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last try is long enough ago."""
        return time.monotonic() - self._saved_at >= SAVE_SECONDS

    def set_best(self, model: Checkpoint) -> None:
        """The model that validates best so far, to be written with the next save."""
        self._unsaved_best = model

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
        if self._unsaved_best is not None:
            self._writer.save_best(self._unsaved_best)
            self._unsaved_best = None
        path = self._writer.save_last(replace(model, weights=weights, training=state))
        return Saved(step=model.step, path=str(path))

    def try_to_save(
        self,
        model: Checkpoint,
        weights: Arrays,
        state: TrainingState,
        *,
        is_kept: bool = False,
    ) -> Saved | SavingFailed:
        """Save in the middle of a run, where a failure stops nothing, as the next may succeed.

        Args:
            is_kept: keep this checkpoint under its step, too.

        Raises:
            CheckpointError: when the run's folder is gone.
        """
        try:
            saved = self.save(model, weights, state)
        except CheckpointError as error:
            if not self._writer.folder.is_dir():
                raise
            return SavingFailed(step=model.step, reason=str(error))
        if is_kept:
            self._writer.keep(saved.step)
        return saved
