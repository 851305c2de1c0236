"""A trained model as the beginning of another one, over another vocabulary."""

from dataclasses import dataclass

import numpy as np

from charlstm.model.checkpoints import Arrays, Checkpoint
from charlstm.text.vocabulary import UNKNOWN, Vocabulary

# The weights with a row for each symbol.
_READ = ("embedding.weight",)
_PREDICTED = ("head.weight", "head.bias")


@dataclass(frozen=True, kw_only=True)
class Transplant:
    """Weights for a new vocabulary.

    Args:
        num_kept: characters that both vocabularies have.
        num_new: that only the new one has; `num_dropped`: that only the old one had.
    """

    weights: Arrays
    num_kept: int
    num_new: int
    num_dropped: int


def transplant(parent: Checkpoint, vocabulary: Vocabulary) -> Transplant:
    """Carry a model over to another vocabulary.

    The recurrent layers stay; so do the rows of known characters, of unknown and of boundary. The
    row of a new character is the mean of the old characters' rows: neither likely nor unlikely.
    """
    old = parent.spec.vocabulary
    place = old.encode(vocabulary.characters).astype(np.intp)
    is_kept = place != UNKNOWN
    weights = dict(parent.weights)
    for name in (*_READ, *_PREDICTED):
        rows = parent.weights[name]
        mean = rows[1 : len(old) + 1].mean(0, keepdims=True)
        characters = np.where(is_kept.reshape(-1, *[1] * (rows.ndim - 1)), rows[place], mean)
        boundary = rows[old.boundary :] if name in _READ else rows[:0]
        weights[name] = np.concatenate([rows[:1], characters, boundary]).astype(np.float32)
    num_kept = int(np.count_nonzero(is_kept))
    return Transplant(
        weights=weights,
        num_kept=num_kept,
        num_new=len(vocabulary) - num_kept,
        num_dropped=len(old) - num_kept,
    )
