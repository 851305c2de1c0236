"""An assessment as tables, as JSON, or character by character."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from rich.text import Text

from charlstm.analysis.advice import noise_bits
from charlstm.config import NATS_PER_BIT
from charlstm.evaluation.assessment import Assessment, CountsAssessment
from charlstm.evaluation.difference import WorseThanValidation
from charlstm.evaluation.scores import DocumentScore, Evaluation, Surprise
from charlstm.system.terminal import escape_line
from charlstm.text.visible import named, visible
from charlstm.views.context import bits_bar, context_records, show_context
from charlstm.views.prediction import bar
from charlstm.views.tables import figure, print_note, print_pairs, print_rows, with_derived

_DERIVED: Final = ("nats_per_char", "bits_per_char", "bits_per_byte", "perplexity", "accuracy")
_MAX_SHOWN_CHARS: Final = 60


def as_record(
    assessment: Assessment, *, run: str, split: str | None, files: list[str]
) -> dict[str, Any]:
    """All fields of the results, and figures derived from them."""
    record: dict[str, Any] = {"run": run, "split": split, "files": files}
    record |= _figures(assessment.evaluation)
    record["upper_bits_per_char"] = assessment.upper_bits_per_char
    if assessment.dynamic is not None:
        record["dynamic"] = _figures(assessment.dynamic)
    if assessment.with_repeated is not None:
        record["with_repeated"] = _figures(assessment.with_repeated)
    record["network"] = _figures(assessment.evaluation)
    if assessment.counts is not None:
        record |= _counts_record(assessment.counts, assessment)
    record["baselines"] = [
        {
            "name": baseline.name,
            "is_dynamic": baseline.is_dynamic,
            **_cost_record(baseline.nats, assessment),
        }
        for baseline in assessment.baselines
    ]
    record["top_accuracy"] = {str(k): value for k, value in assessment.top_accuracy.items()}
    record["calibration"] = asdict(assessment.calibration)
    record["by_context"] = context_records(assessment.by_context)
    record["by_kind"] = [with_derived(kind, "bits_per_char") for kind in assessment.by_kind]
    record["most_surprising"] = [surprise._asdict() for surprise in assessment.most_surprising]
    return record


def _counts_record(counts: CountsAssessment, assessment: Assessment) -> dict[str, Any]:
    """Counts alone, network and counts together, and all three by known context."""
    return {
        "counts": {
            "order": counts.order,
            "num_ngrams": counts.num_ngrams,
            "only": counts.only,
            **_cost_record(counts.nats, assessment),
        },
        "both": _figures(counts.both),
        "by_known_context": [
            {
                "num_known": one.num_known,
                "num_chars": one.num_chars,
                "network_bits_per_char": one.network_nats / one.num_chars / NATS_PER_BIT,
                "counts_bits_per_char": one.counts_nats / one.num_chars / NATS_PER_BIT,
                "both_bits_per_char": one.both_nats / one.num_chars / NATS_PER_BIT,
            }
            for one in counts.by_known
        ],
    }


def _cost_record(nats: float, assessment: Assessment) -> dict[str, float | None]:
    return {
        "nats_per_char": nats / assessment.evaluation.num_chars,
        "bits_per_char": _bits_per_char(nats, assessment),
        "bits_per_byte": _bits_per_byte(nats, assessment),
    }


def show_assessment(
    assessment: Assessment,
    *,
    title: str,
    with_details: bool,
    is_chosen_on: bool,
    worse: WorseThanValidation | None,
) -> None:
    """Print the score and the baselines; with details, all other measurements.

    Args:
        is_chosen_on: whether n-grams and mixture were chosen on this very text.
    """
    evaluation = assessment.evaluation
    print_pairs(
        Text(escape_line(title)),
        [
            ("bits per character", f"{evaluation.bits_per_char:.4f}"),
            ("bits per byte", figure(evaluation.bits_per_byte, digits=4)),
            ("nats per character", f"{evaluation.nats_per_char:.4f}"),
            ("perplexity", f"{evaluation.perplexity:.4g}"),
            ("accuracy", _accuracies(assessment.top_accuracy)),
            ("characters scored", f"{evaluation.num_chars:,}"),
            ("unknown characters", _unknown(assessment)),
            *_repeated(assessment),
        ],
    )
    _show_others(assessment, is_chosen_on=is_chosen_on)
    if worse is not None:
        print_note(
            f"Test costs {worse.bits_per_char - worse.val_bits_per_char:.3f} bits per character "
            f"more than validation ({worse.val_bits_per_char:.3f}). It is a different stretch of "
            f"text (95 % interval for such stretches: {worse.low:.2f} to {worse.high:.2f}), and "
            "the checkpoint was chosen where validation was lowest."
        )
    if with_details:
        _show_details(assessment)


def _show_details(assessment: Assessment) -> None:
    evaluation = assessment.evaluation
    show_context(assessment.by_context)
    if assessment.counts is not None:
        _show_by_known(assessment.counts, evaluation)
    print_rows(
        ("kind of character", "share of text", "share of bits", "bits/char"),
        [
            (
                kind.kind,
                f"{kind.num_chars / evaluation.num_chars:.1%}",
                f"{kind.nats / max(evaluation.nats, 1e-300):.1%}",
                f"{kind.bits_per_char:.3f}",
            )
            for kind in assessment.by_kind
        ],
    )
    calibration = assessment.calibration
    print_rows(
        ("confidence", "accuracy", "", "share of text"),
        [
            (
                f"{one.confidence:.0%}",
                f"{one.accuracy:.0%}",
                bar(one.accuracy),
                f"{one.num_chars / evaluation.num_chars:.1%}",
            )
            for one in calibration.bins
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
            for surprise in assessment.most_surprising
        ],
        left=(2,),
    )


def _show_by_known(counts: CountsAssessment, evaluation: Evaluation) -> None:
    """Print the figures of network, counts and both, by the length of known context."""

    def bits(nats: float, num_chars: int) -> str:
        return f"{nats / num_chars / NATS_PER_BIT:.3f}"

    print_rows(
        ("context known to counts", "share of text", "network", "counts", "both"),
        [
            (
                f"{one.num_known} character{'' if one.num_known == 1 else 's'}",
                f"{one.num_chars / evaluation.num_chars:.1%}",
                bits(one.network_nats, one.num_chars),
                bits(one.counts_nats, one.num_chars),
                bits(one.both_nats, one.num_chars),
            )
            for one in counts.by_known
        ],
        caption="bits per character, by the longest context that the training text continues",
    )


def show_documents(most: Iterable[DocumentScore], least: Iterable[DocumentScore]) -> None:
    """The most and the least surprising documents."""
    for title, documents in (("most surprising", most), ("least surprising", least)):
        print_rows(
            ("number", "bits", "bits/char", "in training", title),
            [
                (
                    f"{one.number:,}",
                    f"{one.bits:.1f}",
                    f"{one.bits_per_char:.2f}",
                    {None: "-", True: "yes", False: "no"}[one.is_known],
                    visible(one.text[:_MAX_SHOWN_CHARS]),
                )
                for one in documents
            ],
            left=(4,),
        )


def _unknown(assessment: Assessment) -> str:
    """Return how many characters are unknown, and what naming them would cost."""
    number = assessment.evaluation.num_unknown
    if not number:
        return "0"
    return (
        f"{number:,}, scored as one class; with each of them named "
        f"{assessment.upper_bits_per_char:.4f} bits per character"
    )


def _repeated(assessment: Assessment) -> Iterator[tuple[str, str]]:
    """Yield the figure for all documents, if the training text contains some of them."""
    found = assessment.with_repeated
    if found is not None:
        yield (
            "with documents of the training text",
            f"{found.bits_per_char:.4f} bits per character, {found.num_chars:,} characters",
        )


def _show_others(assessment: Assessment, *, is_chosen_on: bool) -> None:
    """Print the model and the baselines, the best first, with advice."""
    costs = [("this model", assessment.evaluation.nats)]
    counts = assessment.counts
    if counts is not None:
        costs.append((f"this model + counts{'*' * is_chosen_on}", counts.both.nats))
    if assessment.dynamic is not None:
        costs.append(("this model, dynamic", assessment.dynamic.nats))
    costs += [(baseline.name, baseline.nats) for baseline in assessment.baselines]
    if len(costs) == 1:
        return
    print_rows(
        ("predictor", "bits/char", "bits/byte", ""),
        [
            (
                name,
                f"{_bits_per_char(nats, assessment):.4f}",
                figure(_bits_per_byte(nats, assessment), digits=4),
                bits_bar(_bits_per_char(nats, assessment)),
            )
            for name, nats in sorted(costs, key=lambda cost: cost[1])
        ],
        left=(3,),
    )
    if counts is None:
        return
    if counts.only is not None:
        print_note(
            f"Mixing showed no gain on validation: --with-counts uses the {counts.only} alone."
        )
    if is_chosen_on:
        print_note("* mixed as suits this very text: on another one it may gain less")
    bits = _bits_per_char(assessment.evaluation.nats - counts.nats, assessment)
    if bits > noise_bits(assessment.evaluation.num_chars):
        print_note(
            f"Counting n-grams predicts this text better than the network, by {bits:.3f} bits per "
            "character. What may help: more training, a larger text, or train --from another "
            "run. Until then sample and predict take --with-counts."
        )


def _in_place(surprise: Surprise) -> str:
    before, char, after = map(named, (surprise.before, surprise.char, surprise.after))
    return f"{before} \u2192 {char} \u2190 {after}"


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    figures = with_derived(evaluation, *_DERIVED)
    # JSON has no infinity.
    for name in _DERIVED:
        if figures[name] is not None and not math.isfinite(figures[name]):
            figures[name] = None
    return figures


def _accuracies(top_accuracy: dict[int, float]) -> str:
    first, *others = top_accuracy.items()
    more: Sequence[str] = [f"top {k} {value:.1%}" for k, value in others]
    return f"{first[1]:.1%} ({', '.join(more)})"


def _bits_per_char(nats: float, assessment: Assessment) -> float:
    return nats / assessment.evaluation.num_chars / NATS_PER_BIT


def _bits_per_byte(nats: float, assessment: Assessment) -> float | None:
    return replace(assessment.evaluation, nats=nats).bits_per_byte
