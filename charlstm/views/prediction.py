"""Predictions as bars, by context length, or as JSON."""

import json
from collections.abc import Sequence
from typing import Any, Final

from charlstm.inference.prediction import Candidate, ContextPrediction, NextCharacters
from charlstm.inference.search import Continuation
from charlstm.system.terminal import escape
from charlstm.text.visible import named, visible
from charlstm.views.tables import print_rows

_DEFAULT_TOP: Final = 10
_DEFAULT_TOP_OF_RUNG: Final = 5
_BAR_WIDTH: Final = 24
_EIGHTHS: Final = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589\u2588"
_MAX_SHOWN_PREFIX: Final = 40


def as_record(prediction: NextCharacters, *, top: int | None) -> dict[str, Any]:
    return {
        "prefix": prediction.prefix,
        "entropy_bits": prediction.entropy_bits,
        "next": [candidate._asdict() for candidate in prediction.next[:top]],
    }


def ladder_record(rung: ContextPrediction, *, top: int | None) -> dict[str, Any]:
    record = as_record(rung.prediction, top=top)
    del record["prefix"]
    return {"num_context": rung.num_context, "context": rung.context, **record}


def show_prediction(prediction: NextCharacters, *, top: int | None) -> None:
    """The ranking, with its bars."""
    shown = prediction.next[: top or _DEFAULT_TOP]
    print_rows(
        (f"after {_ending(prediction.prefix)}", f"entropy {prediction.entropy_bits:.2f} bits", ""),
        [(named(char), f"{probability:7.2%}", bar(probability)) for char, probability in shown],
        left=(2,),
    )


def show_ladder(rungs: Sequence[ContextPrediction], *, top: int | None) -> None:
    """One line for each context length."""
    print_rows(
        ("context", "characters", "entropy", "most likely next"),
        [
            (
                _ending(rung.context),
                f"{rung.num_context}",
                f"{rung.prediction.entropy_bits:.2f} bits",
                "  ".join(
                    map(with_percentage, rung.prediction.next[: top or _DEFAULT_TOP_OF_RUNG])
                ),
            )
            for rung in rungs
        ],
        left=(3,),
    )


def show_likely(found: Sequence[Continuation], *, as_json: bool) -> None:
    """Probability and text of each continuation, separated by a tab."""
    for one in found:
        if as_json:
            print(json.dumps(one._asdict()))
        else:
            print(f"{one.probability:.4%}\t{escape(one.text)}")


def bar(share: float, columns: int = _BAR_WIDTH) -> str:
    """A bar for a share from 0 to 1 of the full width, to an eighth of a character."""
    eighths = round(share * columns * 8)
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def with_percentage(candidate: Candidate) -> str:
    """Format a candidate in a few columns: `e 12%`."""
    return f"{named(candidate.char)} {candidate.probability:.0%}"


def _ending(text: str) -> str:
    shown = visible(text[-_MAX_SHOWN_PREFIX:])
    return ("\u2026" if len(text) > _MAX_SHOWN_PREFIX else "") + shown or "(no context)"
