"""An evaluation as a table or as JSON."""

import math
from dataclasses import asdict
from typing import Any, Final

from rich.text import Text

from charlstm.evaluation import Evaluation
from charlstm.terminal import escape_line
from charlstm.views.tables import print_pairs, print_rows

_DERIVED: Final = (
    "nats_per_char",
    "bits_per_char",
    "bits_per_byte",
    "perplexity",
    "accuracy",
)


def as_record(
    evaluation: Evaluation,
    *,
    dynamic: Evaluation | None = None,
    run: str,
    split: str | None,
    files: list[str],
) -> dict[str, Any]:
    """The result's fields and what follows from them; those of dynamic evaluation beneath it."""
    record = {"run": run, "split": split, "files": files, **_figures(evaluation)}
    return record if dynamic is None else record | {"dynamic": _figures(dynamic)}


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    derived = {name: getattr(evaluation, name) for name in _DERIVED}
    # JSON has no infinity.
    finite = {name: value if math.isfinite(value) else None for name, value in derived.items()}
    return asdict(evaluation) | finite


def show_evaluation(
    evaluation: Evaluation, *, title: str, dynamic: Evaluation | None = None
) -> None:
    title_text = Text(escape_line(title))
    if dynamic is None:
        print_pairs(title_text, [*_lines(evaluation), *_counts(evaluation)])
        return
    print_pairs(title_text, _counts(evaluation))
    rows = zip(_lines(evaluation), _lines(dynamic), strict=True)
    print_rows(
        ("", "static", "dynamic"),
        [(name, static, adapted) for (name, static), (_, adapted) in rows],
    )


def _lines(evaluation: Evaluation) -> list[tuple[str, str]]:
    return [
        ("bits per character", f"{evaluation.bits_per_char:.4f}"),
        ("bits per byte", f"{evaluation.bits_per_byte:.4f}"),
        ("nats per character", f"{evaluation.nats_per_char:.4f}"),
        ("perplexity", f"{evaluation.perplexity:.4g}"),
        ("accuracy", f"{evaluation.accuracy:.1%}"),
    ]


def _counts(evaluation: Evaluation) -> list[tuple[str, str]]:
    return [
        ("characters scored", f"{evaluation.num_chars:,}"),
        ("of them unknown", f"{evaluation.num_unknown:,}"),
    ]
