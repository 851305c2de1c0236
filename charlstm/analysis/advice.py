"""What would make a run's model better, as far as its history tells."""

from collections.abc import Sequence
from typing import Final

from charlstm.model.checkpoints import HistoryEntry

# Validation that was best so early in the run got worse for too long to be chance.
_EARLY: Final = 0.5
# By how much, relative to it, validation may exceed training: less is hardly overfitted, more is
# learned by heart. Training's figure is made with dropout, which hides some of it.
_SMALL_GAP: Final = 0.04
_LARGE_GAP: Final = 0.25


def advise(history: Sequence[HistoryEntry], *, is_finished: bool) -> str | None:
    """A sentence or two; None where too little was evaluated to say anything."""
    scored = [
        (entry.epoch, entry.train_bits_per_char, entry.val_bits_per_char)
        for entry in history
        if entry.epoch and entry.train_bits_per_char and entry.val_bits_per_char
    ]
    if len(scored) < 2:
        return None
    epoch, train, val = scored[-1]
    best_epoch, _, best = min(scored, key=lambda one: one[2])
    if best_epoch < _EARLY * epoch:
        return (
            f"Validation was best at epoch {best_epoch:.1f} of {epoch:.1f}: it overfits. A larger "
            "text helps, or more regularization (--dropout, --weight-decay); more time doesn't."
        )
    if not is_finished:
        return "The run is not finished: train --resume continues it."
    if val - train > _LARGE_GAP * best:
        return (
            f"Training text costs {train:.2f} bits, validation text {val:.2f}: much is learned by "
            "heart. A larger text helps most, then more regularization."
        )
    if val - train < _SMALL_GAP * best:
        return (
            f"Training text costs {train:.2f} bits, validation text {val:.2f}: hardly anything is "
            "learned by heart. More minutes may help, and bring a larger model."
        )
    return (
        f"Training text costs {train:.2f} bits, validation text {val:.2f}: more minutes and a "
        "larger text may both help."
    )
