"""Views of a cell comparison: tables and JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from charlstm.analysis.advice import noise_bits
from charlstm.analysis.comparison import CellResult
from charlstm.analysis.recall import RECALLED_ABOVE, RecallResult
from charlstm.config import NATS_PER_BIT
from charlstm.evaluation.baselines import Baseline
from charlstm.views.tables import print_note, print_rows, with_derived


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
