"""What would make a run's model better, as far as its history tells."""

from collections.abc import Sequence
from typing import Final

from charlstm.model.checkpoints import LogEntry, best_val_bits_per_char

# Validation that was best so early in the run got worse for too long to be chance.
_EARLY: Final = 0.5
# By how much, relative to it, validation may exceed training: less is hardly overfitted, more is
# learned by heart. Training's figure is made with dropout, which hides some of it.
_SMALL_GAP: Final = 0.04
_LARGE_GAP: Final = 0.25


def advise(
    history: Sequence[LogEntry], *, is_finished: bool, counts_bits: float | None = None
) -> str | None:
    """A few sentences; None where too little was evaluated to say anything.

    Args:
        counts_bits: what n-gram counts of the same text reach on validation, where that is known.
    """
    found = _learned(history, is_finished=is_finished)
    best = best_val_bits_per_char(history)
    if counts_bits is None or best is None:
        return found
    return " ".join(filter(None, (found, _beside_counts(best, counts_bits))))


def _beside_counts(best: float, counts: float) -> str:
    """Whether a network is worth its training."""
    if best < counts:
        return f"Validation is {counts - best:.2f} bits below what counting n-grams reaches."
    return (
        f"Validation is {best - counts:.2f} bits above what counting n-grams reaches: until the "
        "network has learned more, sample and predict do better --with-counts."
    )


def _learned(history: Sequence[LogEntry], *, is_finished: bool) -> str | None:
    scored = [
        (entry["epoch"], entry["train_bits_per_char"], entry["val_bits_per_char"])
        for entry in history
        if all(map(entry.get, ("epoch", "train_bits_per_char", "val_bits_per_char")))
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
