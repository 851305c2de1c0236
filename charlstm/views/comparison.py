"""Views of comparisons: cells with the same budget, and two models on the same text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from charlstm.analysis.advice import noise_bits
from charlstm.analysis.comparison import CellResult
from charlstm.analysis.recall import RECALLED_ABOVE, RecallResult
from charlstm.config import NATS_PER_BIT
from charlstm.evaluation.baselines import Baseline
from charlstm.evaluation.difference import (
    MIN_BLOCKS,
    ContextDifference,
    Difference,
    PairedLosses,
)
from charlstm.views.tables import print_note, print_pairs, print_rows, with_derived

# Above this fraction of a text for one context length, the others have too few characters.
_MAX_FRACTION: Final = 0.99
_SEED_NOTE: Final = (
    "The interval covers the choice of text, not the variance between training seeds."
)


def comparison_record(
    results: Sequence[CellResult], baselines: Sequence[Baseline], *, num_chars: int
) -> dict[str, Any]:
    """Return the JSON record; baselines were scored on `num_chars` characters."""
    cells = [
        with_derived(result, "bits_per_char", "spread", "chars_per_second")
        | {"runs": [with_derived(run, "bits_per_char") for run in result.runs]}
        for result in results
    ]
    baseline_records = [
        {"name": baseline.name, "bits_per_char": baseline.nats / num_chars / NATS_PER_BIT}
        for baseline in baselines
    ]
    return {"cells": cells, "baselines": baseline_records}


def show_comparison(
    results: Sequence[CellResult], baselines: Sequence[Baseline], *, num_chars: int
) -> None:
    rows: list[tuple[str, ...]] = [
        (
            result.cell,
            f"{result.hidden_size}",
            f"{result.num_parameters:,}",
            f"{result.bits_per_char:.3f}",
            f"\u00b1 {result.spread:.3f}" if len(result.runs) > 1 else "",
            f"{result.chars_per_second:,.0f}",
            f"{sum(run.half_distance for run in result.runs) / len(result.runs):.0f}",
        )
        for result in results
    ]
    rows += [
        (baseline.name, "", "", f"{baseline.nats / num_chars / NATS_PER_BIT:.3f}", "", "", "")
        for baseline in baselines
    ]
    print_rows(
        ("cell", "size", "parameters", "bits/char", "seeds", "chars/s", "context"),
        rows,
        caption="context: half of the gradient comes from this many of the last characters",
    )
    best = min(results, key=lambda result: result.bits_per_char)
    noise = noise_bits(num_chars)
    if any(
        result.cell == "lstm" and result.bits_per_char - best.bits_per_char > noise
        for result in results
    ):
        print_note(
            f"The {best.cell} is best with this budget. Simpler cells often learn faster at first; "
            "an LSTM's gates pay off with more training and over long distances: charlstm compare "
            "--recall."
        )


def recall_record(results: Sequence[RecallResult]) -> dict[str, Any]:
    return {"recall": [asdict(result) | {"reach": result.longest_distance} for result in results]}


def show_recall(results: Sequence[RecallResult]) -> None:
    """Print each model's recall accuracy by distance."""
    print_rows(
        ("cell", "units", "seed", *map(str, results[0].accuracy), f"{RECALLED_ABOVE:.0%} up to"),
        [
            (
                result.cell,
                f"{result.hidden_size}",
                f"{result.seed}",
                *(f"{accuracy:.0%}" for accuracy in result.accuracy.values()),
                f"{result.longest_distance}" if result.longest_distance else "-",
            )
            for result in results
        ],
        caption="recall accuracy by distance in characters; chance is 12%",
    )


def difference_record(difference: Difference) -> dict[str, Any]:
    """Return the JSON record: all fields and derived figures."""
    derived = ("bits_per_char", "other_bits_per_char", "difference_bits_per_char")
    record = with_derived(difference, *derived) | {"is_certain": difference.is_significant}
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
        f"{name} against {other}: {title}",
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
    elif difference.is_significant:
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
