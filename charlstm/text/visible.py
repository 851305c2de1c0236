"""Characters as people can see them: one table for predictions, inspection, previews, notebooks."""

import unicodedata
from typing import Final

from charlstm.system.terminal import code_point
from charlstm.text.vocabulary import END

DOTTED_CIRCLE: Final = "\u25cc"  # what a combining mark stands on where no letter does

_SIGNS: Final = {" ": "\u2423", "\n": "\u23ce", "\t": "\u21e5", END: "(end)"}
# Controls, invisible format characters such as U+200D, surrogates, separators and other spaces.
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_VARIATION_SELECTORS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))


def visible(text: str, *, keep: str = "") -> str:
    """Replace what can't be seen, or could command a terminal, by signs and code points.

    Args:
        keep: characters to leave as they are, such as spaces.
    """
    return "".join(char if char in keep else _sign(char) for char in text)


def named(char: str | None) -> str:
    """Return a character, or a text, that stands by itself; None is the unknown character."""
    if char is None:
        return "(unknown)"
    shown = visible(char)
    is_mark = unicodedata.category(shown[:1] or " ").startswith("M")
    return DOTTED_CIRCLE + shown if is_mark else shown


def _sign(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    is_selector = any(ord(char) in selectors for selectors in _VARIATION_SELECTORS)
    is_hidden = is_selector or unicodedata.category(char) in _HIDDEN_CATEGORIES
    return code_point(char) if is_hidden else char
