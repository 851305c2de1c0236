"""Scored items as rows, their cells separated by tabs, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from charlstm.evaluation.items import CharacterScore, Classified, ItemScore
from charlstm.system.terminal import escape

# What one model or several say of an item.
Answer = ItemScore | Classified

_MARK: Final = "\x1b[1;31m"
_PLAIN: Final = "\x1b[0m"
# Places after the point; 3 for anything else.
_DIGITS: Final = {"bits_per_char": 4, "percentile": 1, "posterior": 4}

HEADER: Final = ("bits", "bits_per_char", "percentile")
CHARACTER_HEADER: Final = ("place", "char", "bits", "rank", "expected")


def columns(one: Answer) -> dict[str, Any]:
    """What is said of an item in a row, by the columns' names."""
    if isinstance(one, ItemScore):
        return {name: getattr(one, name) for name in HEADER}
    bits = {f"bits_{name}": bits for name, bits in one.bits.items()}
    return bits | {"best": one.best, "posterior": one.posterior}


def as_cells(columns: Mapping[str, Any]) -> dict[str, str]:
    """The same as texts; empty where there is nothing."""
    cells = {}
    for name, value in columns.items():
        digits = _DIGITS.get(name, 3)
        is_number = isinstance(value, float)
        cells[name] = f"{value:.{digits}f}" if is_number else "" if value is None else value
    return cells


def record(one: Answer) -> dict[str, Any]:
    """What is said of an item in JSON."""
    if isinstance(one, Classified):
        return one._asdict()
    names = ("number", "num_chars", "bits", "bits_per_char", "percentile", "text")
    return {name: getattr(one, name) for name in names}


def classified_header(names: Sequence[str]) -> tuple[str, ...]:
    return (*(f"bits_{name}" for name in names), "best", "posterior")


def confusion_lines(counts: Mapping[tuple[str, str], int], names: Sequence[str]) -> Iterator[str]:
    """How often each label got each model, and how often the right one.

    Args:
        counts: by label and best model.
        names: of the models.
    """
    rows = {name: [counts.get((name, best), 0) for best in names] for name in names}
    number = sum(counts[label, best] for label, best in counts if label in names)
    right = sum(counts.get((name, name), 0) for name in names)
    yield f"accuracy {right / number:.4f}: {right:,} of {number:,}" if number else "accuracy -"
    if others := sum(counts.values()) - number:
        yield f"{others:,} more have a label that is no model's name"
        rows["(other)"] = [
            sum(count for (label, one), count in counts.items() if one == best) - sum(column)
            for best, column in zip(names, zip(*rows.values(), strict=True), strict=True)
        ]
    table = [["label", *names], *([label, *map("{:,}".format, row)] for label, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for label, *cells in table:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([label.ljust(widths[0]), *padded])


def character_row(one: CharacterScore) -> str:
    """Place, character, bits, rank, what was expected instead."""
    bits = f"{one.bits:.4f}"
    return "\t".join((str(one.place), escape(one.char), bits, str(one.rank), escape(one.expected)))


def shown(text: str, is_terminal: bool) -> str:  # noqa: FBT001 - a predicate
    """A text for the last column, in one line: safe on a terminal, as it is elsewhere."""
    if is_terminal:
        return escape(text, keep="\t")
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\n", "\\x0a").replace("\r", "\\x0d")


def marked(item: ItemScore) -> str:
    """An item's text for a terminal, its most surprising stretch marked."""
    first, after = item.surprising_stretch()
    parts = (item.text[:first], item.text[first:after], item.text[after:])
    before, stretch, rest = (shown(part, is_terminal=True) for part in parts)
    return f"{before}{_MARK}{stretch}{_PLAIN}{rest}"
