"""Visible forms of characters, for predictions, inspection, previews and notebooks."""

import unicodedata
from typing import Final

from charlstm.reading.documents import EOS
from charlstm.system.terminal import code_point

DOTTED_CIRCLE: Final = "\u25cc"  # base for a combining mark without a letter

_SIGNS: Final = {" ": "\u2423", "\n": "\u23ce", "\t": "\u21e5", EOS: "(end)"}
# Control, format (such as U+200D), surrogate, separator and space characters.
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_VARIATION_SELECTORS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))


def visible(text: str, *, keep: str = "") -> str:
    """Replace invisible and control characters by signs and code points.

    Args:
        keep: characters to leave unchanged.
    """
    return "".join(char if char in keep else _sign(char) for char in text)


def named(char: str | None) -> str:
    """Return the visible form of a character shown on its own; None is the unknown token."""
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
