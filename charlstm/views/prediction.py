"""Views of predictions and the effect of context: tables and JSON."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from charlstm.evaluation.scores import ContextScore
from charlstm.inference.prediction import Candidate, ContextPrediction, NextCharacters
from charlstm.inference.search import Continuation
from charlstm.system.terminal import escape
from charlstm.text.visible import named, visible
from charlstm.views.tables import bar, bits_bar, print_rows

_DEFAULT_TOP: Final = 10
_DEFAULT_TOP_IN_LADDER: Final = 5
_MAX_SHOWN_PREFIX: Final = 40


def as_record(prediction: NextCharacters, *, top: int | None) -> dict[str, Any]:
    return {
        "prefix": prediction.prefix,
        "entropy_bits": prediction.entropy_bits,
        "next": [candidate._asdict() for candidate in prediction.next[:top]],
    }


def ladder_record(context: ContextPrediction, *, top: int | None) -> dict[str, Any]:
    record = as_record(context.prediction, top=top)
    del record["prefix"]
    return {
        "num_context": context.num_context,
        "context": context.context,
        **record,
    }


def show_prediction(prediction: NextCharacters, *, top: int | None) -> None:
    """Print the most likely characters with bars."""
    shown = prediction.next[: top or _DEFAULT_TOP]
    print_rows(
        (f"after {_ending(prediction.prefix)}", f"entropy {prediction.entropy_bits:.2f} bits", ""),
        [(named(char), f"{probability:7.2%}", bar(probability)) for char, probability in shown],
        left=(2,),
    )


def show_ladder(contexts: Sequence[ContextPrediction], *, top: int | None) -> None:
    """Print a line per context length."""
    print_rows(
        ("context", "characters", "entropy", "most likely next"),
        [
            (
                _ending(context.context),
                f"{context.num_context}",
                f"{context.prediction.entropy_bits:.2f} bits",
                "  ".join(
                    map(
                        with_percentage,
                        context.prediction.next[: top or _DEFAULT_TOP_IN_LADDER],
                    )
                ),
            )
            for context in contexts
        ],
        left=(3,),
    )


def show_likely(continuations: Sequence[Continuation], *, as_json: bool) -> None:
    """Print the probability and text of each continuation, tab-separated or as JSON lines."""
    for continuation in continuations:
        if as_json:
            print(json.dumps(continuation._asdict()))
        else:
            print(f"{continuation.probability:.4%}\t{escape(continuation.text)}")


def show_context(contexts: Iterable[ContextScore]) -> None:
    """Print bits per character by context length."""
    print_rows(
        ("context length", "bits/char", ""),
        [
            (f"{each.num_context:,}", f"{each.bits_per_char:.3f}", bits_bar(each.bits_per_char))
            for each in contexts
        ],
        left=(2,),
    )


def with_percentage(candidate: Candidate) -> str:
    """Format a candidate in a few columns: `e 12%`."""
    return f"{named(candidate.char)} {candidate.probability:.0%}"


def _ending(text: str) -> str:
    shown = visible(text[-_MAX_SHOWN_PREFIX:])
    return ("\u2026" if len(text) > _MAX_SHOWN_PREFIX else "") + shown or "(no context)"
