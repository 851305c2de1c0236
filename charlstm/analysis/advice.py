"""Advice on how to improve a run's model, based on its history.

Differences that are not significant give no advice.
"""

import math
from collections.abc import Sequence
from typing import Final

from charlstm.model.checkpoints import LogEntry, best_val_bits_per_char

# A run overfits if validation was best before this fraction of its epochs, and is worse at its end.
_OVERFIT_BEFORE: Final = 0.5
# Standard deviation, over characters, of the difference between two models in bits: 1.1 to 1.7 on
# Shakespeare.
_STD_BITS: Final = 1.5
_SIGNIFICANT_ERRORS: Final = 2.0  # standard errors
# Gap between validation and training loss, relative to validation: little overfitting below the
# first, memorization above the second. Dropout raises the training loss, which hides some of it.
_SMALL_GAP: Final = 0.04
_LARGE_GAP: Final = 0.25


def advise(
    history: Sequence[LogEntry],
    *,
    is_finished: bool,
    unit: str = "minutes",
    counts_bits: float | None = None,
) -> str | None:
    """Return advice in a few sentences, or None with too few evaluations.

    Args:
        unit: unit of the run's budget.
        counts_bits: validation loss of an n-gram model of the same text, if known.
    """
    advice = _advise_on_history(history, is_finished=is_finished, unit=unit)
    best = best_val_bits_per_char(history)
    if counts_bits is None or best is None:
        return advice
    noise = noise_bits(history[-1].get("num_val_chars"))
    return " ".join(filter(None, (advice, _compare_with_ngrams(best, counts_bits, noise))))


def noise_bits(num_chars: int | None) -> float:
    """Return the smallest significant difference in bits per character on `num_chars`."""
    return _SIGNIFICANT_ERRORS * _STD_BITS / math.sqrt(num_chars) if num_chars else 0.0


def overfits(history: Sequence[LogEntry]) -> bool:
    """Return whether validation was best early in a run and is worse at its end."""
    scored = [entry for entry in history if entry.get("val_bits_per_char") and entry.get("epoch")]
    if not scored:
        return False
    best, last = min(scored, key=lambda entry: entry["val_bits_per_char"]), scored[-1]
    worse_bits = last["val_bits_per_char"] - best["val_bits_per_char"]
    is_noise = worse_bits <= noise_bits(last.get("num_val_chars"))
    return best["epoch"] < _OVERFIT_BEFORE * last["epoch"] and not is_noise


def _compare_with_ngrams(best: float, ngrams: float, noise: float) -> str:
    if abs(best - ngrams) <= noise:
        return "The validation loss does not differ significantly from an n-gram model's."
    if best < ngrams:
        return f"The validation loss is {ngrams - best:.2f} bits below an n-gram model's."
    return (
        f"The validation loss is {best - ngrams:.2f} bits above an n-gram model's: until the LSTM "
        "has trained longer, use --with-counts for better samples and predictions."
    )


def _advise_on_history(history: Sequence[LogEntry], *, is_finished: bool, unit: str) -> str | None:
    scored = [
        (entry["epoch"], entry["train_bits_per_char"], entry["val_bits_per_char"])
        for entry in history
        if all(map(entry.get, ("epoch", "train_bits_per_char", "val_bits_per_char")))
    ]
    if len(scored) < 2:
        return None
    epoch, train, val = scored[-1]
    best_epoch, _, best = min(scored, key=lambda evaluation: evaluation[2])
    if overfits(history):
        return (
            f"Validation was best at epoch {best_epoch:.1f} of {epoch:.1f}: the model overfits. "
            "Use a larger text or more regularization (--dropout, --weight-decay), not more "
            f"{unit}."
        )
    if not is_finished:
        return "The run is not finished: continue it with train --resume."
    noise = noise_bits(history[-1].get("num_val_chars"))
    first_half = [loss for at, _, loss in scored if at <= epoch / 2]
    if val - train > _LARGE_GAP * best:
        advice = (
            "the model has memorized much of the text. A larger text helps most, then more "
            "regularization."
        )
    elif noise and first_half and min(first_half) - best <= noise:
        advice = f"it hardly changed in the second half of the run, so more {unit} will not help."
    elif val - train < _SMALL_GAP * best:
        larger = ", and allow a larger model" if unit == "minutes" else ""
        advice = f"the model has memorized little. More {unit} may help{larger}."
    else:
        advice = f"more {unit} and a larger text may both help."
    return f"The training loss is {train:.2f} bits, the validation loss {val:.2f}: {advice}"
