"""A comparison of cells as tables or as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from charlstm.analysis.comparison import CellResult
from charlstm.analysis.recall import RECALLED_ABOVE, RecallResult
from charlstm.evaluation.baselines import Baseline
from charlstm.views.prediction import bar
from charlstm.views.tables import print_rows


def comparison_record(
    results: Sequence[CellResult], baselines: Sequence[Baseline], *, num_chars: int
) -> dict[str, Any]:
    """Everything about a comparison; `num_chars` were scored for the baselines."""
    cells = [
        asdict(one)
        | {
            "bits_per_char": one.bits_per_char,
            "spread": one.spread,
            "chars_per_second": one.chars_per_second,
            "runs": [asdict(run) | {"bits_per_char": run.bits_per_char} for run in one.runs],
        }
        for one in results
    ]
    others = [
        {"name": one.name, "bits_per_char": one.nats / num_chars / math.log(2)} for one in baselines
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
            f"{sum(run.half_distance for run in one.runs) / len(one.runs):.0f} characters",
        )
        for one in results
    ]
    rows += [
        (one.name, "", "", f"{one.nats / num_chars / math.log(2):.3f}", "", "", "")
        for one in baselines
    ]
    print_rows(
        (
            "cell",
            "size",
            "parameters",
            "bits/char",
            "seeds",
            "chars/s",
            "half the gradient from the last",
        ),
        rows,
    )
    distances = sorted({d for one in results for run in one.runs for d in run.bits_by_distance})
    if not distances:
        return
    rows = []
    for distance in distances:
        bits = ([run.bits_by_distance.get(distance) for run in one.runs] for one in results)
        rows.append((f"up to {distance} characters", *map(_mean_text, bits)))
    print_rows(("closed after", *(f"{one.cell}, bits" for one in results)), rows)


def recall_record(results: Sequence[RecallResult]) -> dict[str, Any]:
    return {"recall": [asdict(one) | {"reach": one.reach} for one in results]}


def show_recall(results: Sequence[RecallResult]) -> None:
    """How often the symbol is recalled, by distance; one in eight is chance."""
    header = [f"{one.cell} ({one.hidden_size}), seed {one.seed}" for one in results]
    print_rows(
        ("distance", *header),
        [
            (f"{distance}", *(f"{one.accuracy[distance]:.0%}" for one in results))
            for distance in results[0].accuracy
        ],
        caption="share of symbols recalled; one in eight is chance",
    )
    print_rows(
        ("cell", f"recalls {RECALLED_ABOVE:.0%} up to", ""),
        [
            (name, _reach_text(one), bar(one.reach / max(one.accuracy)))
            for name, one in zip(header, results, strict=True)
        ],
        left=(2,),
    )


def _reach_text(result: RecallResult) -> str:
    return f"{result.reach} characters" if result.reach else f"not even {min(result.accuracy)}"


def _mean_text(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.2f}" if known else "-"
