"""A character's surprise as a color.

Pale to red, from the 256 colors that terminals share, with black letters on them: readable on
dark and on light backgrounds.
"""

import math
from typing import Final

from charlstm.config import NATS_PER_BIT

# Upper limit in bits, and the background up to it; none below the first.
_STEPS: Final = ((0.5, None), (1.5, 230), (3.0, 222), (5.0, 215), (8.0, 209), (math.inf, 203))


def surprise_color(nats: float) -> str | None:
    """Rich's name of the background for a character's cost in nats; None for none."""
    number = _number(nats)
    return None if number is None else f"color({number})"


def shade(nats: float) -> str:
    """The SGR sequence for a character's cost in nats; empty for none."""
    color = _number(nats)
    return f"\x1b[38;5;16;48;5;{color}m" if color is not None else ""


def _number(nats: float) -> int | None:
    bits = nats / NATS_PER_BIT
    return next((color for limit, color in _STEPS if bits < limit), None)
