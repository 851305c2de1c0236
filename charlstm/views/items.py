"""Scored items as rows, their cells separated by tabs, and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from charlstm.system.terminal import escape

if TYPE_CHECKING:
    from charlstm.evaluation.items import CharacterScore, Classified, ItemScore

_MARK: Final = "\x1b[1;31m"
_PLAIN: Final = "\x1b[0m"

HEADER: Final = ("bits", "bits_per_char", "percentile", "text")
CHARACTER_HEADER: Final = ("place", "char", "bits", "rank", "expected")


def item_row(item: "ItemScore", text: str) -> str:
    """Bits, bits per character, percentile, text; empty where there is none."""
    per_char, percentile = item.bits_per_char, item.percentile
    cells = (
        f"{item.bits:.3f}",
        "" if per_char is None else f"{per_char:.4f}",
        "" if percentile is None else f"{percentile:.1f}",
        text,
    )
    return "\t".join(cells)


def item_record(item: "ItemScore") -> dict[str, Any]:
    names = ("number", "num_chars", "bits", "bits_per_char", "percentile", "text")
    return {name: getattr(item, name) for name in names}


def classified_header(names: Sequence[str]) -> tuple[str, ...]:
    return (*(f"bits_{name}" for name in names), "best", "posterior", "text")


def classified_row(one: "Classified", text: str) -> str:
    """The bits of each model, the best of them, its posterior, the text."""
    bits = (f"{bits:.3f}" for bits in one.bits.values())
    return "\t".join((*bits, one.best, f"{one.posterior:.4f}", text))


def character_row(one: "CharacterScore") -> str:
    """Place, character, bits, rank, what was expected instead."""
    bits = f"{one.bits:.4f}"
    return "\t".join((str(one.place), escape(one.char), bits, str(one.rank), escape(one.expected)))


def shown(text: str, is_terminal: bool) -> str:  # noqa: FBT001 - a predicate
    """A text for the last column, in one line: safe on a terminal, as it is elsewhere."""
    if is_terminal:
        return escape(text, keep="\t")
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\n", "\\x0a").replace("\r", "\\x0d")


def marked(item: "ItemScore") -> str:
    """An item's text for a terminal, its most surprising stretch marked."""
    first, after = item.surprising_stretch()
    parts = (item.text[:first], item.text[first:after], item.text[after:])
    before, stretch, rest = (shown(part, is_terminal=True) for part in parts)
    return f"{before}{_MARK}{stretch}{_PLAIN}{rest}"
