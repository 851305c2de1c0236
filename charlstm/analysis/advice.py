"""Advice on how to improve a run's model, based on its history.

Differences within chance give no advice.
"""

import math
from collections.abc import Sequence
from typing import Final

from charlstm.model.checkpoints import LogEntry, best_val_bits_per_char

# Best so early in a run, and worse ever since: it overfits.
_EARLY: Final = 0.5
# Standard deviation, over characters, of the bits between two models: 1.1 to 1.7 on Shakespeare.
_SPREAD_BITS: Final = 1.5
_SURE: Final = 2.0  # standard errors
# By how much, relative to it, validation may exceed training: less is hardly overfitted, more is
# learned by heart. Training's figure is made with dropout, which hides some of it.
_SMALL_GAP: Final = 0.04
_LARGE_GAP: Final = 0.25


def advise(
    history: Sequence[LogEntry],
    *,
    is_finished: bool,
    unit: str = "minutes",
    counts_bits: float | None = None,
) -> str | None:
    """A few sentences; None where too little was evaluated to say anything.

    Args:
        unit: of the run's budget.
        counts_bits: what n-gram counts of the same text reach on validation, where that is known.
    """
    found = _learned(history, is_finished=is_finished, unit=unit)
    best = best_val_bits_per_char(history)
    if counts_bits is None or best is None:
        return found
    noise = noise_bits(history[-1].get("num_val_chars"))
    return " ".join(filter(None, (found, _beside_counts(best, counts_bits, noise))))


def noise_bits(num_chars: int | None) -> float:
    """Return the difference in bits per character that chance explains on `num_chars`."""
    return _SURE * _SPREAD_BITS / math.sqrt(num_chars) if num_chars else 0.0


def overfits(history: Sequence[LogEntry]) -> bool:
    """Return whether validation was best early in a run and is worse at its end."""
    scored = [entry for entry in history if entry.get("val_bits_per_char") and entry.get("epoch")]
    if not scored:
        return False
    best, last = min(scored, key=lambda entry: entry["val_bits_per_char"]), scored[-1]
    worse_bits = last["val_bits_per_char"] - best["val_bits_per_char"]
    is_noise = worse_bits <= noise_bits(last.get("num_val_chars"))
    return best["epoch"] < _EARLY * last["epoch"] and not is_noise


def _beside_counts(best: float, counts: float, noise: float) -> str:
    """Compare the network with n-gram counts."""
    if abs(best - counts) <= noise:
        return "Validation is as good as what counting n-grams reaches, within chance."
    if best < counts:
        return f"Validation is {counts - best:.2f} bits below what counting n-grams reaches."
    return (
        f"Validation is {best - counts:.2f} bits above what counting n-grams reaches: until the "
        "network has learned more, sample and predict do better --with-counts."
    )


def _learned(history: Sequence[LogEntry], *, is_finished: bool, unit: str) -> str | None:
    scored = [
        (entry["epoch"], entry["train_bits_per_char"], entry["val_bits_per_char"])
        for entry in history
        if all(map(entry.get, ("epoch", "train_bits_per_char", "val_bits_per_char")))
    ]
    if len(scored) < 2:
        return None
    epoch, train, val = scored[-1]
    best_epoch, _, best = min(scored, key=lambda one: one[2])
    if overfits(history):
        return (
            f"Validation was best at epoch {best_epoch:.1f} of {epoch:.1f}: it overfits. A larger "
            f"text helps, or more regularization (--dropout, --weight-decay); more {unit} don't."
        )
    if not is_finished:
        return "The run is not finished: train --resume continues it."
    if val - train > _LARGE_GAP * best:
        return (
            f"Training text costs {train:.2f} bits, validation text {val:.2f}: much is learned by "
            "heart. A larger text helps most, then more regularization."
        )
    if val - train < _SMALL_GAP * best:
        larger = ", and bring a larger model" if unit == "minutes" else ""
        return (
            f"Training text costs {train:.2f} bits, validation text {val:.2f}: hardly anything is "
            f"learned by heart. More {unit} may help{larger}."
        )
    return (
        f"Training text costs {train:.2f} bits, validation text {val:.2f}: more {unit} and a "
        "larger text may both help."
    )
