"""Colors for surprisals.

Backgrounds from pale yellow to red in the 256-color palette, with black letters: readable on dark
and light terminals.
"""

import math
from itertools import pairwise
from typing import Final

from charlstm.config import NATS_PER_BIT

# (upper limit in bits, background); None is no background.
_STEPS: Final = ((0.5, None), (1.5, 230), (3.0, 222), (5.0, 215), (8.0, 209), (math.inf, 203))


def surprisal_color(nats: float) -> str | None:
    """Return Rich's name of the background color for a surprisal in nats; None for none."""
    number = _number(nats)
    return None if number is None else f"color({number})"


def legend() -> list[tuple[str, str]]:
    """Return (surprisals in bits, Rich's name of the background color) for each background."""
    return [
        (f"{low:g} to {high:g}" if high < math.inf else f"over {low:g}", f"color({color})")
        for (low, _), (high, color) in pairwise(_STEPS)
    ]


def shade(nats: float) -> str:
    """Return the SGR escape sequence for a surprisal in nats; empty for none."""
    color = _number(nats)
    return f"\x1b[38;5;16;48;5;{color}m" if color is not None else ""


def _number(nats: float) -> int | None:
    bits = nats / NATS_PER_BIT
    return next((color for limit, color in _STEPS if bits < limit), None)
