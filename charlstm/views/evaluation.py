"""An evaluation as a table or as JSON."""

import math
from dataclasses import asdict
from typing import Any

from rich.text import Text

from charlstm.evaluation import Evaluation
from charlstm.terminal import escape_line
from charlstm.views.tables import print_pairs


def as_record(
    evaluation: Evaluation, *, run: str, split: str | None, files: list[str]
) -> dict[str, Any]:
    """The result's fields and what follows from them."""
    derived = ("nats_per_char", "bits_per_char", "bits_per_byte", "perplexity", "accuracy")
    return {
        "run": run,
        "split": split,
        "files": files,
        **asdict(evaluation),
        # JSON has no infinity.
        **{
            name: value if math.isfinite(value := getattr(evaluation, name)) else None
            for name in derived
        },
    }


def show_evaluation(evaluation: Evaluation, *, title: str) -> None:
    print_pairs(
        Text(escape_line(title)),
        [
            ("bits per character", f"{evaluation.bits_per_char:.4f}"),
            ("bits per byte", f"{evaluation.bits_per_byte:.4f}"),
            ("nats per character", f"{evaluation.nats_per_char:.4f}"),
            ("perplexity", f"{evaluation.perplexity:.4g}"),
            ("accuracy", f"{evaluation.accuracy:.1%}"),
            ("characters scored", f"{evaluation.num_chars:,}"),
            ("of them unknown", f"{evaluation.num_unknown:,}"),
        ],
    )
