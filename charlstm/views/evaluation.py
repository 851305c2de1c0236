"""Views of an evaluation: tables and JSON."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any, Final

from charlstm.analysis.advice import noise_bits
from charlstm.config import NATS_PER_BIT
from charlstm.evaluation.difference import WorseThanValidation
from charlstm.evaluation.report import EvaluationReport, MatchedContextScore, NgramReport
from charlstm.evaluation.scores import DocumentScore, Evaluation, SurprisingCharacter
from charlstm.text.visible import named, visible
from charlstm.views.sampling import show_context
from charlstm.views.tables import (
    bar,
    bits_bar,
    figure,
    print_note,
    print_pairs,
    print_rows,
    with_derived,
)

_DERIVED: Final = ("nats_per_char", "bits_per_char", "bits_per_byte", "perplexity", "accuracy")
_MAX_SHOWN_CHARS: Final = 60


def as_record(
    report: EvaluationReport, *, run: str, split: str | None, files: list[str]
) -> dict[str, Any]:
    """Return the JSON record: all fields and derived figures."""
    record: dict[str, Any] = {"run": run, "split": split, "files": files}
    record |= _figures(report.evaluation)
    record["upper_bits_per_char"] = report.upper_bits_per_char
    if report.dynamic is not None:
        record["dynamic"] = _figures(report.dynamic)
    if report.with_repeated is not None:
        record["with_repeated"] = _figures(report.with_repeated)
    record["network"] = _figures(report.evaluation)
    if report.counts is not None:
        record |= _counts_record(report.counts, report)
    record["baselines"] = [
        {
            "name": baseline.name,
            "is_dynamic": baseline.is_dynamic,
            **_cost_record(baseline.nats, report),
        }
        for baseline in report.baselines
    ]
    record["top_accuracy"] = {str(k): value for k, value in report.top_accuracy.items()}
    record["calibration"] = asdict(report.calibration)
    record["by_context"] = [with_derived(each, "bits_per_char") for each in report.by_context]
    record["by_kind"] = [with_derived(kind, "bits_per_char") for kind in report.by_kind]
    record["most_surprising"] = [surprise._asdict() for surprise in report.most_surprising]
    return record


def _counts_record(counts: NgramReport, report: EvaluationReport) -> dict[str, Any]:
    """Return the scores of the n-gram model and the mixture, also by matched context length."""
    return {
        "counts": {
            "order": counts.order,
            "num_ngrams": counts.num_ngrams,
            "only": counts.only,
            **_cost_record(counts.nats, report),
        },
        "both": _figures(counts.both),
        "by_known_context": [
            {"num_known": part.num_known, "num_chars": part.num_chars} | _matched_bits(part)
            for part in counts.by_matched_context
        ],
    }


def _matched_bits(part: MatchedContextScore) -> dict[str, float]:
    """Return the bits per character of model, n-grams and mixture, by their keys in JSON."""
    nats = {"network": part.lstm_nats, "counts": part.ngram_nats, "both": part.both_nats}
    return {
        f"{name}_bits_per_char": value / part.num_chars / NATS_PER_BIT
        for name, value in nats.items()
    }


def _cost_record(nats: float, report: EvaluationReport) -> dict[str, float | None]:
    cost = replace(report.evaluation, nats=nats)
    return {name: getattr(cost, name) for name in _DERIVED[:3]}


def show_report(
    report: EvaluationReport,
    *,
    title: str,
    cell: str,
    with_details: bool,
    is_chosen_on: bool,
    worse: WorseThanValidation | None,
) -> None:
    """Print the score and the baselines; with details, all other measurements.

    Args:
        cell: the model's kind of cell.
        is_chosen_on: whether n-gram order and interpolation were tuned on this text.
    """
    evaluation = report.evaluation
    print_pairs(
        title,
        [
            ("bits per character", f"{evaluation.bits_per_char:.4f}"),
            ("bits per byte", figure(evaluation.bits_per_byte, digits=4)),
            ("nats per character", f"{evaluation.nats_per_char:.4f}"),
            ("perplexity", f"{evaluation.perplexity:.4g}"),
            ("accuracy", _accuracies(report.top_accuracy)),
            ("characters scored", f"{evaluation.num_chars:,}"),
            ("unknown characters", _unknown(report)),
            *_repeated(report),
        ],
    )
    _show_predictors(report, cell.upper(), is_chosen_on=is_chosen_on)
    if worse is not None:
        print_note(
            "The test loss is "
            f"{worse.bits_per_char - worse.val_bits_per_char:.3f} bits per character higher than "
            f"the validation loss ({worse.val_bits_per_char:.3f}). The test split is another part "
            f"of the text (95 % interval for such parts: {worse.low:.2f} to {worse.high:.2f}), and "
            "the checkpoint was selected by its validation loss."
        )
    if with_details:
        _show_details(report, cell.upper())


def _show_details(report: EvaluationReport, cell: str) -> None:
    evaluation = report.evaluation
    show_context(report.by_context)
    if report.counts is not None:
        _show_by_matched_context(report.counts, evaluation, cell)
    print_rows(
        ("kind of character", "% of text", "% of bits", "bits/char"),
        [
            (
                kind.kind,
                f"{kind.num_chars / evaluation.num_chars:.1%}",
                f"{kind.nats / max(evaluation.nats, 1e-300):.1%}",
                f"{kind.bits_per_char:.3f}",
            )
            for kind in report.by_kind
        ],
    )
    calibration = report.calibration
    print_rows(
        ("confidence", "accuracy", "", "% of text"),
        [
            (
                f"{each.confidence:.0%}",
                f"{each.accuracy:.0%}",
                bar(each.accuracy),
                f"{each.num_chars / evaluation.num_chars:.1%}",
            )
            for each in calibration.bins
        ],
        left=(2,),
        caption=f"expected calibration error {calibration.expected_error:.2%}",
    )
    print_rows(
        ("position", "bits", "most surprising characters"),
        [
            (
                f"{surprise.place:,}",
                f"{surprise.bits:.1f}",
                _in_place(surprise),
            )
            for surprise in report.most_surprising
        ],
        left=(2,),
    )


def _show_by_matched_context(counts: NgramReport, evaluation: Evaluation, cell: str) -> None:
    """Print the scores of model, n-grams and mixture by matched context length."""
    print_rows(
        ("matched context", "% of text", cell, "n-grams", f"{cell} + n-grams"),
        [
            (
                f"{part.num_known} character{'' if part.num_known == 1 else 's'}",
                f"{part.num_chars / evaluation.num_chars:.1%}",
                *(f"{bits:.3f}" for bits in _matched_bits(part).values()),
            )
            for part in counts.by_matched_context
        ],
        caption="bits per character, by the longest context that occurs in the training text",
    )


def show_documents(most: Iterable[DocumentScore], least: Iterable[DocumentScore]) -> None:
    """Print the most and the least surprising documents."""
    for title, documents in (("most surprising", most), ("least surprising", least)):
        print_rows(
            ("number", "bits", "bits/char", "in training", title),
            [
                (
                    f"{document.number:,}",
                    f"{document.bits:.1f}",
                    f"{document.bits_per_char:.2f}",
                    {None: "-", True: "yes", False: "no"}[document.is_known],
                    visible(document.text[:_MAX_SHOWN_CHARS]),
                )
                for document in documents
            ],
            left=(4,),
        )


def _unknown(report: EvaluationReport) -> str:
    """Format the number of unknown characters and the score if they had to be named."""
    number = report.evaluation.num_unknown
    if not number:
        return "0"
    return (
        f"{number:,}, scored as one class; {report.upper_bits_per_char:.4f} bits per character "
        "if each had to be named"
    )


def _repeated(report: EvaluationReport) -> Iterator[tuple[str, str]]:
    """Yield the score including documents of the training text, if there are any."""
    found = report.with_repeated
    if found is not None:
        yield (
            "including training documents",
            f"{found.bits_per_char:.4f} bits per character, {found.num_chars:,} characters",
        )


def _show_predictors(report: EvaluationReport, cell: str, *, is_chosen_on: bool) -> None:
    """Print the scores of the model and the baselines, best first, with advice."""
    evaluation, counts = report.evaluation, report.counts
    costs = [(cell, evaluation)]
    if counts is not None:
        costs.append((f"{cell} + n-grams{'*' * is_chosen_on}", counts.both))
    if report.dynamic is not None:
        costs.append((f"{cell}, dynamic", report.dynamic))
    costs += [(each.name, replace(evaluation, nats=each.nats)) for each in report.baselines]
    if len(costs) == 1:
        return
    print_rows(
        ("predictor", "bits/char", "bits/byte", ""),
        [
            (
                name,
                f"{cost.bits_per_char:.4f}",
                figure(cost.bits_per_byte, digits=4),
                bits_bar(cost.bits_per_char),
            )
            for name, cost in sorted(costs, key=lambda row: row[1].nats)
        ],
        left=(3,),
    )
    if counts is None:
        return
    if counts.only is not None:
        part = "n-grams" if counts.only == "counts" else cell
        print_note(
            f"Interpolation showed no gain on validation: --with-counts only uses the {part}."
        )
    if is_chosen_on:
        print_note("* interpolation tuned on this text; the gain on another text may be smaller")
    bits = evaluation.bits_per_char - replace(evaluation, nats=counts.nats).bits_per_char
    if bits > noise_bits(evaluation.num_chars):
        print_note(
            f"The n-gram model predicts this text better than the {cell}, by {bits:.3f} bits per "
            "character. Train longer, use a larger text, or fine-tune another run with train "
            "--from; sample and predict can use the n-grams with --with-counts."
        )


def _in_place(surprise: SurprisingCharacter) -> str:
    before, char, after = map(named, (surprise.before, surprise.char, surprise.after))
    return f"{before} \u2192 {char} \u2190 {after}"


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    figures = with_derived(evaluation, *_DERIVED)
    # JSON has no infinity or NaN.
    for name in _DERIVED:
        if figures[name] is not None and not math.isfinite(figures[name]):
            figures[name] = None
    return figures


def _accuracies(top_accuracy: dict[int, float]) -> str:
    first, *others = top_accuracy.items()
    more = [f"top {k} {value:.1%}" for k, value in others]
    return f"{first[1]:.1%} ({', '.join(more)})"
