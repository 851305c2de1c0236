"""The effect of context length, as a table and as records."""

from collections.abc import Iterable
from typing import Any, Final

from charlstm.evaluation.scores import ContextScore
from charlstm.views.prediction import bar
from charlstm.views.tables import print_rows, with_derived

_FULL_BAR_BITS: Final = 8.0


def context_records(contexts: Iterable[ContextScore]) -> list[dict[str, Any]]:
    return [with_derived(one, "bits_per_char") for one in contexts]


def show_context(contexts: Iterable[ContextScore]) -> None:
    """Bits per character by how many characters were read before."""
    print_rows(
        ("context length", "bits/char", ""),
        [
            (f"{one.num_context:,}", f"{one.bits_per_char:.3f}", bits_bar(one.bits_per_char))
            for one in contexts
        ],
        left=(2,),
    )


def bits_bar(bits: float) -> str:
    """A bar that eight bits fill."""
    return bar(min(1.0, bits / _FULL_BAR_BITS))
