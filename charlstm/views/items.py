"""Views of scored items: tab-separated rows and JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from charlstm.evaluation.items import CharacterScore, Classification, ItemScore
from charlstm.system.terminal import escape

# Result for an item from one model or several.
Answer = ItemScore | Classification

_MARK: Final = "\x1b[1;31m"
_PLAIN: Final = "\x1b[0m"
# Decimal places; 3 for other columns.
_DIGITS: Final = {"bits_per_char": 4, "percentile": 1, "posterior": 4}

HEADER: Final = ("bits", "bits_per_char", "percentile")
CHARACTER_HEADER: Final = ("place", "char", "bits", "rank", "expected")


def columns(answer: Answer) -> dict[str, Any]:
    """Return a row's values by column name."""
    if isinstance(answer, ItemScore):
        return {name: getattr(answer, name) for name in HEADER}
    bits = {f"bits_{name}": bits for name, bits in answer.bits.items()}
    return bits | {"best": answer.best, "posterior": answer.posterior}


def as_cells(columns: Mapping[str, Any]) -> dict[str, str]:
    """Format values as text; None becomes empty."""
    cells = {}
    for name, value in columns.items():
        digits = _DIGITS.get(name, 3)
        is_number = isinstance(value, float)
        cells[name] = f"{value:.{digits}f}" if is_number else "" if value is None else value
    return cells


def record(answer: Answer) -> dict[str, Any]:
    """Return an item's JSON record."""
    if isinstance(answer, Classification):
        return answer._asdict()
    names = ("number", "num_chars", "bits", "bits_per_char", "percentile", "text")
    return {name: getattr(answer, name) for name in names}


def classified_header(names: Sequence[str]) -> tuple[str, ...]:
    return (*(f"bits_{name}" for name in names), "best", "posterior")


def confusion_lines(counts: Mapping[tuple[str, str], int], names: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the accuracy and the confusion matrix.

    Args:
        counts: by (label, best model).
        names: model names.
    """
    rows = {name: [counts.get((name, best), 0) for best in names] for name in names}
    number = sum(counts[label, best] for label, best in counts if label in names)
    num_correct = sum(counts.get((name, name), 0) for name in names)
    yield (
        f"accuracy {num_correct / number:.4f}: {num_correct:,} of {number:,}"
        if number
        else "accuracy -"
    )
    if others := sum(counts.values()) - number:
        yield f"{others:,} more have a label that is not a model's name"
        rows["(other)"] = [
            sum(count for (_, name), count in counts.items() if name == best) - sum(column)
            for best, column in zip(names, zip(*rows.values(), strict=True), strict=True)
        ]
    table = [["label", *names], *([label, *map("{:,}".format, row)] for label, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for label, *cells in table:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([label.ljust(widths[0]), *padded])


def character_row(score: CharacterScore) -> str:
    """Format position, character, bits, rank and the most likely character."""
    char, expected = escape(score.char), escape(score.expected)
    return "\t".join((str(score.place), char, f"{score.bits:.4f}", str(score.rank), expected))


def shown(text: str, is_terminal: bool) -> str:  # noqa: FBT001 - a predicate
    """Return a text on one line, with control characters escaped on a terminal."""
    if is_terminal:
        return escape(text, keep="\t")
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\n", "\\x0a").replace("\r", "\\x0d")


def marked(item: ItemScore) -> str:
    """Return an item's text with its most surprising passage highlighted for a terminal."""
    start, end = item.surprising_passage()
    parts = (item.text[:start], item.text[start:end], item.text[end:])
    before, passage, after = (shown(part, is_terminal=True) for part in parts)
    return f"{before}{_MARK}{passage}{_PLAIN}{after}"
