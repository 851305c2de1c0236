"""Views of the difference between two models: tables and JSON."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rich.text import Text

from charlstm.evaluation.difference import (
    MIN_BLOCKS,
    ContextDifference,
    Difference,
    PairedLosses,
)
from charlstm.system.terminal import escape_line
from charlstm.views.tables import print_note, print_pairs, print_rows, with_derived

# Above this fraction of a text for one context length, the others have too few characters.
_MAX_FRACTION: Final = 0.99
_SEED_NOTE: Final = (
    "The interval covers the choice of text, not the variance between training seeds."
)


def difference_record(difference: Difference) -> dict[str, Any]:
    """Return the JSON record: all fields and derived figures."""
    derived = ("bits_per_char", "other_bits_per_char", "difference_bits_per_char", "is_certain")
    record = with_derived(difference, *derived)
    for name in ("by_kind", "by_context"):
        parts = getattr(difference, name)
        record[name] = [
            with_derived(part, "bits_per_char", "other_bits_per_char") for part in parts
        ]
    return record


def show_difference(difference: Difference, name: str, other: str, *, title: str) -> None:
    """Print both scores, their difference, its breakdown and the conclusion."""
    interval = _interval_text(difference)
    print_pairs(
        Text(escape_line(f"{name} against {other}: {title}")),
        [
            (
                "bits per character",
                f"{difference.bits_per_char:.4f} against {difference.other_bits_per_char:.4f}",
            ),
            ("difference", f"{difference.difference_bits_per_char:+.4f}{interval}"),
            ("characters scored", f"{difference.num_chars:,}"),
            (
                "unknown characters",
                f"{difference.num_unknown:,} and {difference.other_num_unknown:,}",
            ),
            ("compared by", _blocks_text(difference)),
        ],
    )
    _show_parts("kind of character", [(part.kind, part) for part in difference.by_kind], difference)
    if _differs_in_context(difference):
        parts = [(_context_name(part), part) for part in difference.by_context]
        _show_parts("context length", parts, difference)
    for note in _conclusions(difference, name, other):
        print_note(note)


def _interval_text(difference: Difference) -> str:
    low, high = difference.low_bits_per_char, difference.high_bits_per_char
    return "" if low is None else f", 95 % interval {low:+.4f} to {high:+.4f}"


def _blocks_text(difference: Difference) -> str:
    if difference.unit == "document":
        return f"{difference.num_blocks:,} documents"
    number = difference.num_blocks
    blocks = f"{number:,} block{'s' * (number != 1)}"
    return f"{blocks} of {difference.block_length:,} characters"


def _show_parts(
    title: str,
    parts: Iterable[tuple[str, PairedLosses]],
    difference: Difference,
) -> None:
    """Print each part's contribution to the difference."""
    print_rows(
        (title, "% of text", "bits/char", "against", "contribution"),
        [
            (
                name,
                f"{part.num_chars / difference.num_chars:.1%}",
                f"{part.bits_per_char:.3f}",
                f"{part.other_bits_per_char:.3f}",
                f"{part.difference_bits_per_char * part.num_chars / difference.num_chars:+.4f}",
            )
            for name, part in parts
        ],
    )


def _differs_in_context(difference: Difference) -> bool:
    """Return whether several context lengths are common enough to compare."""
    largest = max(part.num_chars for part in difference.by_context)
    return largest < _MAX_FRACTION * difference.num_chars


def _context_name(part: ContextDifference) -> str:
    end = "and more" if part.max_context is None else f"to {part.max_context}"
    return f"{part.min_context} {end}"


def _conclusions(difference: Difference, name: str, other: str) -> Iterator[str]:
    if difference.low_bits_per_char is None:
        yield (
            f"The text is too short for an interval: {_blocks_text(difference)}, but {MIN_BLOCKS} "
            "are needed."
        )
    elif difference.is_certain:
        better, worse = (other, name) if difference.low_bits_per_char > 0 else (name, other)
        yield (f"{better} predicts this text significantly better than {worse}. {_SEED_NOTE}")
    elif difference.low_bits_per_char == difference.high_bits_per_char == 0:
        yield "Both assign every character the same probability."
    else:
        yield f"The difference is not significant on this text. {_SEED_NOTE}"
    if difference.num_unknown or difference.other_num_unknown:
        yield (
            "For an unknown character a model pays for P(unknown) and for a uniform choice among "
            "all characters outside its vocabulary, so a smaller vocabulary is not an advantage."
        )
