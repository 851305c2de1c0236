"""Two models on the same text, as tables and as JSON."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rich.text import Text

from charlstm.evaluation.difference import (
    MIN_BLOCKS,
    ContextDifference,
    Costs,
    Difference,
)
from charlstm.system.terminal import escape_line
from charlstm.views.tables import print_note, print_pairs, print_rows, with_derived

# If one context length covers this much of a text, the other lengths have too few characters.
_MOST: Final = 0.99
_ANOTHER_SEED: Final = (
    "The interval is about the text: how much another --seed changes is not in it."
)


def difference_record(difference: Difference) -> dict[str, Any]:
    """All fields of a comparison, and figures derived from them."""
    derived = ("bits_per_char", "other_bits_per_char", "difference_bits_per_char", "is_certain")
    record = with_derived(difference, *derived)
    for name in ("by_kind", "by_context"):
        parts = getattr(difference, name)
        record[name] = [with_derived(one, "bits_per_char", "other_bits_per_char") for one in parts]
    return record


def show_difference(difference: Difference, name: str, other: str, *, title: str) -> None:
    """Print both figures, their difference, its sources, and the conclusion."""
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
    _show_parts("kind of character", [(one.kind, one) for one in difference.by_kind], difference)
    if _differs_in_context(difference):
        named = [(_context_name(one), one) for one in difference.by_context]
        _show_parts("characters before it", named, difference)
    for note in _what_follows(difference, name, other):
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
    parts: Iterable[tuple[str, Costs]],
    difference: Difference,
) -> None:
    """Print how much each part of the text contributes to the difference."""
    print_rows(
        (title, "share of text", "bits/char", "against", "of the difference"),
        [
            (
                name,
                f"{one.num_chars / difference.num_chars:.1%}",
                f"{one.bits_per_char:.3f}",
                f"{one.other_bits_per_char:.3f}",
                f"{one.difference_bits_per_char * one.num_chars / difference.num_chars:+.4f}",
            )
            for name, one in parts
        ],
    )


def _differs_in_context(difference: Difference) -> bool:
    """Return whether both short and long contexts are common; in one long text they are not."""
    most = max(one.num_chars for one in difference.by_context)
    return most < _MOST * difference.num_chars


def _context_name(one: ContextDifference) -> str:
    end = "and more" if one.max_context is None else f"to {one.max_context}"
    return f"{one.min_context} {end}"


def _what_follows(difference: Difference, name: str, other: str) -> Iterator[str]:
    if difference.low_bits_per_char is None:
        yield (
            f"The text is too short to say whether chance explains it: {_blocks_text(difference)}, "
            f"{MIN_BLOCKS} are needed."
        )
    elif difference.is_certain:
        better, worse = (other, name) if difference.low_bits_per_char > 0 else (name, other)
        yield (
            f"{better} predicts this text better than {worse}, by more than chance explains. "
            f"{_ANOTHER_SEED}"
        )
    elif difference.low_bits_per_char == difference.high_bits_per_char == 0:
        yield "Every character costs both the same."
    else:
        yield f"Which of them is better can't be told from chance on this text. {_ANOTHER_SEED}"
    if difference.num_unknown or difference.other_num_unknown:
        yield (
            "An unknown character costs a model P(unknown) and the choice among all characters "
            "that its vocabulary lacks, so knowing fewer characters is not an advantage."
        )
