"""Results for a text: the surprisal of each character, gates and states.

Shapes: L layers, T characters of the text, H hidden size.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.analysis.inspection import Character, Trace
from charlstm.system import notebook_html
from charlstm.text.visible import named, visible
from charlstm.text.vocabulary import EOS

_STRONGEST_BITS: Final = 8.0
_NUM_IN_REPR: Final = 12
_NUM_UNITS: Final = 6
_MAX_SHOWN_CHARS: Final = 120


class Surprisals(tuple[Character, ...]):
    """A text's characters with their surprisals; shaded in a notebook."""

    __slots__ = ()

    @property
    def bits_per_char(self) -> float:
        return sum(character.bits for character in self) / len(self)

    def __repr__(self) -> str:
        shown = " ".join(f"{one.char!r} {one.bits:.1f}" for one in self[:_NUM_IN_REPR])
        more = " ..." if len(self) > _NUM_IN_REPR else ""
        return f"<{self.bits_per_char:.3f} bits per character: {shown}{more}>"

    def _repr_html_(self) -> str:
        text = notebook_html.shaded(
            [_in_lines(character.char) for character in self],
            [character.bits for character in self],
            most=_STRONGEST_BITS,
        )
        return notebook_html.titled(f"{self.bits_per_char:.3f} bits per character", text)


@dataclass(frozen=True, kw_only=True)
class Activations:
    """A model's gates and states at each character of a text.

    Args:
        text: characters in readable form.
        values: name -> float32 [L, T, H]. For an LSTM: `input`, `forget`, `output` (gates, 0 to 1),
            `candidate`, `cell` (cell state) and `hidden` (hidden state, -1 to 1). A GRU has its own
            gates, and a plain RNN only `hidden`.
        gates: the names that are gates.
    """

    text: tuple[str, ...]
    values: dict[str, npt.NDArray[np.float32]]
    gates: tuple[str, ...]

    @classmethod
    def of(cls, trace: Trace) -> "Activations":
        first = trace.layers[0]
        return cls(
            text=tuple(character.char for character in trace.characters),
            values={
                name: np.stack([layer.values[name] for layer in trace.layers])
                for name in first.values
            },
            gates=first.cell.gates,
        )

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        return self.values[name]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.values["hidden"].shape))
        return f"<{', '.join(self.values)}: {shape} each: layers, characters, units>"

    def _repr_html_(self) -> str:
        """Render the last layer's units with the most variable hidden state, and their gates."""
        shown = slice(0, _MAX_SHOWN_CHARS)
        order = np.argsort(-self.values["hidden"][-1].std(0), kind="stable")
        units = [int(unit) for unit in order[:_NUM_UNITS]]
        names = [f"unit {unit}" for unit in units]
        chars = [*map(named, self.text[shown])]
        parts = [
            notebook_html.titled(
                f"{name}, last layer",
                notebook_html.heat(
                    self.values[name][-1][shown, units],
                    chars,
                    names,
                    least=0 if name in self.gates else -1,
                ),
            )
            for name in ("hidden", *self.gates)
        ]
        return "".join(parts)


def _in_lines(char: str) -> str:
    """Return a visible character, followed by a line break if it ends a line."""
    return visible(char, keep=" ") + "\n" * (char in ("\n", EOS))
