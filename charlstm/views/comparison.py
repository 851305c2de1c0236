"""A comparison of cells as tables or as JSON."""

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
    """Everything about a comparison; `num_chars` were scored for the baselines."""
    cells = [
        with_derived(one, "bits_per_char", "spread", "chars_per_second")
        | {"runs": [with_derived(run, "bits_per_char") for run in one.runs]}
        for one in results
    ]
    others = [
        {"name": one.name, "bits_per_char": one.nats / num_chars / NATS_PER_BIT}
        for one in baselines
    ]
    return {"cells": cells, "baselines": others}


def show_comparison(
    results: Sequence[CellResult], baselines: Sequence[Baseline], *, num_chars: int
) -> None:
    rows: list[tuple[str, ...]] = [
        (
            one.cell,
            f"{one.hidden_size}",
            f"{one.num_parameters:,}",
            f"{one.bits_per_char:.3f}",
            f"\u00b1 {one.spread:.3f}" if len(one.runs) > 1 else "",
            f"{one.chars_per_second:,.0f}",
            f"{sum(run.half_distance for run in one.runs) / len(one.runs):.0f}",
        )
        for one in results
    ]
    rows += [
        (one.name, "", "", f"{one.nats / num_chars / NATS_PER_BIT:.3f}", "", "", "")
        for one in baselines
    ]
    print_rows(
        ("cell", "size", "parameters", "bits/char", "seeds", "chars/s", "context"),
        rows,
        caption="context: the last characters, which carry half of the gradient",
    )
    best = min(results, key=lambda one: one.bits_per_char)
    noise = noise_bits(num_chars)
    if any(
        one.cell == "lstm" and one.bits_per_char - best.bits_per_char > noise for one in results
    ):
        print_note(
            f"The {best.cell} is ahead after this budget. Simpler cells often learn faster at "
            "first; an LSTM's gates pay with more training, and where distance matters: "
            "charlstm compare --recall."
        )


def recall_record(results: Sequence[RecallResult]) -> dict[str, Any]:
    return {"recall": [asdict(one) | {"reach": one.longest_distance} for one in results]}


def show_recall(results: Sequence[RecallResult]) -> None:
    """How often each model recalls the symbol, by distance."""
    print_rows(
        ("cell", "units", "seed", *map(str, results[0].accuracy), f"{RECALLED_ABOVE:.0%} up to"),
        [
            (
                one.cell,
                f"{one.hidden_size}",
                f"{one.seed}",
                *(f"{share:.0%}" for share in one.accuracy.values()),
                f"{one.longest_distance}" if one.longest_distance else "-",
            )
            for one in results
        ],
        caption="share of symbols recalled, by distance in characters; chance is 12%",
    )
