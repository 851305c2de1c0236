"""Find passages of generated text that are copied from the training text."""

from typing import Final, NamedTuple

from charlstm.text.vocabulary import Ids

_CHUNK_CHARS: Final = 1 << 24


class CopiedPassage(NamedTuple):
    """A passage of one text that occurs in another.

    Args:
        length: in characters.
        start: where it starts in the text.
        source: where it starts in the training text.
    """

    length: int
    start: int
    source: int


def longest_copy(ids: Ids, training: Ids) -> CopiedPassage:
    """Return the longest passage of a text that occurs verbatim in the training text.

    Memory is bounded; the training text is searched about n times.

    Args:
        ids: the text [n].
        training: the training text [m], with the same dtype.
    """
    assert ids.dtype == training.dtype
    best = CopiedPassage(0, 0, 0)
    start = 0
    while start + best.length < len(ids):
        # Search only for passages longer than the best so far; usually the first search fails.
        source = _find(ids[start : start + best.length + 1], training)
        if source is None:
            start += 1
            continue
        ahead = min(len(ids) - start, len(training) - source)
        differs = ids[start : start + ahead] != training[source : source + ahead]
        best = CopiedPassage(int(differs.argmax()) if differs.any() else ahead, start, source)
    return best


def _find(needle: Ids, haystack: Ids) -> int | None:
    """Return the first position of a sequence of ids in another, or None."""
    needle_bytes, size = needle.tobytes(), haystack.dtype.itemsize
    for first in range(0, len(haystack), _CHUNK_CHARS):
        chunk = haystack[first : first + _CHUNK_CHARS + len(needle) - 1].tobytes()
        position = chunk.find(needle_bytes)
        # Skip matches that are not aligned with ids.
        while position >= 0 and position % size:
            position = chunk.find(needle_bytes, position + 1)
        if position >= 0:
            return first + position // size
    return None
