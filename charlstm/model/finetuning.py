"""Initial weights of a run from another model with another vocabulary."""

import numpy as np

from charlstm.model.checkpoints import Arrays, Checkpoint
from charlstm.reading.documents import EOS
from charlstm.text.vocabulary import UNKNOWN, Vocabulary

# Weights with a row per id: those of input ids, and those of output ids.
_READ = ("embedding.weight",)
_PREDICTED = ("head.weight", "head.bias")


def characters_to_keep(init_from: Checkpoint) -> str:
    """Return a model's characters, which a model trained from it keeps.

    EOS is not among them: the new text decides whether documents have an end.
    """
    return init_from.spec.vocabulary.characters.replace(EOS, "")


def resize_vocabulary(init_from: Checkpoint, vocabulary: Vocabulary) -> Arrays:
    """Return a model's weights for another vocabulary.

    The recurrent layers are unchanged, and so are the rows of old characters, of unknown and of
    BOS. The row of a new character is the mean of the old characters' rows.
    """
    old = init_from.spec.vocabulary
    old_ids = old.encode(vocabulary.characters).astype(np.intp)
    is_kept = old_ids != UNKNOWN
    weights = dict(init_from.weights)
    for name in (*_READ, *_PREDICTED):
        rows = init_from.weights[name]
        mean = rows[1 : len(old) + 1].mean(0, keepdims=True)
        characters = np.where(is_kept.reshape(-1, *[1] * (rows.ndim - 1)), rows[old_ids], mean)
        bos = rows[old.bos_id :] if name in _READ else rows[:0]
        weights[name] = np.concatenate([rows[:1], characters, bos]).astype(np.float32)
    return weights
