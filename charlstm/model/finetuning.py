"""A trained model as the beginning of another one, over another vocabulary."""

import numpy as np

from charlstm.model.checkpoints import Arrays, Checkpoint
from charlstm.text.vocabulary import EOS, UNKNOWN, Vocabulary

# The weights with a row for each symbol.
_READ = ("embedding.weight",)
_PREDICTED = ("head.weight", "head.bias")


def characters_to_keep(parent: Checkpoint) -> str:
    """Return the characters of a model that one trained from it can still write.

    What ends a document is not among them: whether there is such an end, the new text decides.
    """
    return parent.spec.vocabulary.characters.replace(EOS, "")


def transplant(parent: Checkpoint, vocabulary: Vocabulary) -> Arrays:
    """Return a model's weights for another vocabulary.

    The recurrent layers stay; so do the rows of known characters, of unknown and of bos_id. The
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
        bos_id = rows[old.bos_id :] if name in _READ else rows[:0]
        weights[name] = np.concatenate([rows[:1], characters, bos_id]).astype(np.float32)
    return weights
