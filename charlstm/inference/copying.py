"""How much of a text a model only repeats."""

from typing import Final, NamedTuple

from charlstm.text.vocabulary import Ids

_PIECE_CHARS: Final = 1 << 24


class Copy(NamedTuple):
    """A stretch of one text that stands in another.

    Args:
        length: in characters.
        start: where it begins in the text that was looked at.
        source: where it begins in the text it was found in.
    """

    length: int
    start: int
    source: int


def longest_copy(ids: Ids, training: Ids) -> Copy:
    """The longest stretch of a text that stands, character by character, in another.

    Args:
        ids: the text that is looked at [n].
        training: the text that it may be copied from, of the same type, [m]; searched in bounded
            memory, about n times.
    """
    assert ids.dtype == training.dtype
    best = Copy(0, 0, 0)
    start = 0
    while start + best.length < len(ids):
        # Only what is longer than the best so far counts: mostly one search says there is nothing.
        place = _find(ids[start : start + best.length + 1], training)
        if place is None:
            start += 1
            continue
        ahead = min(len(ids) - start, len(training) - place)
        differs = ids[start : start + ahead] != training[place : place + ahead]
        best = Copy(int(differs.argmax()) if differs.any() else ahead, start, place)
    return best


def _find(needle: Ids, haystack: Ids) -> int | None:
    """The first place of some ids in a row of ids."""
    wanted, size = needle.tobytes(), haystack.dtype.itemsize
    for first in range(0, len(haystack), _PIECE_CHARS):
        piece = haystack[first : first + _PIECE_CHARS + len(needle) - 1].tobytes()
        place = piece.find(wanted)
        # Bytes of two neighboring ids can look like those of one.
        while place >= 0 and place % size:
            place = piece.find(wanted, place + 1)
        if place >= 0:
            return first + place // size
    return None
