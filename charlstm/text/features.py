"""Interpretable features of each character's position: quotes, brackets, lines, words.

N is the number of characters.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

_OPENING_BRACKETS: Final = "([{"
_CLOSING_BRACKETS: Final = ")]}"
_QUOTES: Final = '"\u201c\u201d\u00ab\u00bb'
_OPENING: Final = f'{_OPENING_BRACKETS}"\u201c\u00ab'
_CLOSING: Final = f'{_CLOSING_BRACKETS}"\u201d\u00bb'
_SENTENCE_ENDS: Final = ".!?\u3002\uff01\uff1f"


def distances_to_opening(text: str) -> npt.NDArray[np.int64]:
    """Return each closing bracket's or quote's distance to its opening one, else 0, int64 [N]."""
    opened: list[tuple[str, int]] = []
    distances = np.zeros(len(text), np.int64)
    for position, char in enumerate(text):
        kind = _CLOSING.find(char)
        if kind >= 0 and opened and opened[-1][0] == _OPENING[kind]:
            distances[position] = position - opened.pop()[1]
        elif char in _OPENING:
            opened.append((char, position))
    return distances


def _inside_quotes(text: str) -> npt.NDArray[np.bool_]:
    is_quote = np.array([char in _QUOTES for char in text])
    is_inside: npt.NDArray[np.bool_] = np.cumsum(is_quote) % 2 == 1
    return is_inside


def _bracket_depth(text: str) -> npt.NDArray[np.int64]:
    depth, depths = 0, []
    for char in text:
        depth = max(0, depth + (char in _OPENING_BRACKETS) - (char in _CLOSING_BRACKETS))
        depths.append(depth)
    return np.array(depths)


def _since(text: str, ends: Callable[[str], bool]) -> npt.NDArray[np.int64]:
    """Count the characters since the last one for which `ends` is true."""
    count, counts = 0, []
    for char in text:
        count = 0 if ends(char) else count + 1
        counts.append(count)
    return np.array(counts)


def _indentation(text: str) -> npt.NDArray[np.int64]:
    """Count the spaces and tabs at the start of the line, up to each position."""
    indentations, indentation, is_leading = [], 0, True
    for char in text:
        if char == "\n":
            indentation, is_leading = 0, True
        elif is_leading and char in " \t":
            indentation += 1
        else:
            is_leading = False
        indentations.append(indentation)
    return np.array(indentations)


# Functions from a text to the feature's value after each character, bool or int64 [N].
FEATURES: Final[dict[str, Callable[[str], npt.NDArray[np.generic]]]] = {
    "inside quotes": _inside_quotes,
    "inside brackets": lambda text: _bracket_depth(text) > 0,
    "depth of brackets": _bracket_depth,
    "position in the line": lambda text: _since(text, lambda char: char == "\n"),
    "position in the word": lambda text: _since(text, lambda char: not char.isalpha()),
    "before a capital": lambda text: np.array([char.isupper() for char in text[1:]] + [False]),
    "end of a sentence": lambda text: np.array([char in _SENTENCE_ENDS for char in text]),
    "indentation": _indentation,
}
