"""What a model made of a text: the surprise of each character, gates and states.

Shapes: L layers, T characters of the text, H hidden size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from charlstm.analysis.inspection import Trace
from charlstm.inference.prediction import Candidate
from charlstm.system import markup
from charlstm.text.visible import named, visible
from charlstm.text.vocabulary import END

_STRONGEST_BITS: Final = 8.0
_NUM_IN_REPR: Final = 12
_NUM_UNITS: Final = 6
_MAX_SHOWN_CHARS: Final = 120


class CharacterSurprise(NamedTuple):
    """One character of a text.

    Args:
        char: readable.
        bits: what it cost, -log2 of its probability.
        probability: that the model gave it.
        candidates: the most likely ones at its place.
    """

    char: str
    bits: float
    probability: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Surprises(Sequence[CharacterSurprise]):
    """The characters of a text and what each cost; a sequence, shaded in a notebook."""

    characters: tuple[CharacterSurprise, ...]

    @overload
    def __getitem__(self, index: int) -> CharacterSurprise: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CharacterSurprise, ...]: ...
    def __getitem__(self, index: int | slice) -> CharacterSurprise | tuple[CharacterSurprise, ...]:
        return self.characters[index]

    def __len__(self) -> int:
        return len(self.characters)

    def __iter__(self) -> Iterator[CharacterSurprise]:
        return iter(self.characters)

    @property
    def bits_per_char(self) -> float:
        return sum(one.bits for one in self) / len(self)

    def __repr__(self) -> str:
        shown = " ".join(f"{one.char!r} {one.bits:.1f}" for one in self[:_NUM_IN_REPR])
        more = " ..." if len(self) > _NUM_IN_REPR else ""
        return f"<{self.bits_per_char:.3f} bits per character: {shown}{more}>"

    def _repr_html_(self) -> str:
        text = markup.shaded(
            [_in_lines(one.char) for one in self], [one.bits for one in self], most=_STRONGEST_BITS
        )
        return markup.titled(f"{self.bits_per_char:.3f} bits per character", text)


@dataclass(frozen=True, kw_only=True)
class Activations:
    """What a model did while it read a text.

    Args:
        text: readable.
        values: by name, float32 [L, T, H] each: of an LSTM `input`, `forget`, `output` (gates,
            0 to 1), `candidate`, `cell` (the state that is kept) and `hidden` (what it shows,
            -1 to 1); a GRU has its own gates, a plain RNN `hidden` alone.
        gates: which of the names are gates.
    """

    text: tuple[str, ...]
    values: dict[str, npt.NDArray[np.float32]]
    gates: tuple[str, ...]

    @classmethod
    def of(cls, trace: Trace) -> "Activations":
        first = trace.layers[0]
        return cls(
            text=tuple(one.char for one in trace.characters),
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
        """The units of the last layer whose hidden state varies most, and their gates."""
        shown = slice(0, _MAX_SHOWN_CHARS)
        order = np.argsort(-self.values["hidden"][-1].std(0), kind="stable")
        units = [int(unit) for unit in order[:_NUM_UNITS]]
        names = [f"unit {unit}" for unit in units]
        chars = [*map(named, self.text[shown])]
        parts = [
            markup.titled(
                f"{name}, last layer",
                markup.heat(
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
    """Show a character of a text that keeps its lines."""
    return visible(char, keep=" ") + "\n" * (char in ("\n", END))
