"""Views of the effect of context length: table and JSON."""

from collections.abc import Iterable
from typing import Any, Final

from charlstm.evaluation.scores import ContextScore
from charlstm.views.prediction import bar
from charlstm.views.tables import print_rows, with_derived

_FULL_BAR_BITS: Final = 8.0


def context_records(contexts: Iterable[ContextScore]) -> list[dict[str, Any]]:
    return [with_derived(context, "bits_per_char") for context in contexts]


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


def bits_bar(bits: float) -> str:
    """Return a bar for a number of bits; 8 bits fill it."""
    return bar(min(1.0, bits / _FULL_BAR_BITS))
