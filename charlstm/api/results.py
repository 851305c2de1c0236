"""Result for a text: the surprisal of each character."""

from typing import Final

from charlstm.analysis.inspection import Character
from charlstm.reading.documents import EOS
from charlstm.system import notebook_html
from charlstm.text.visible import visible

_STRONGEST_BITS: Final = 8.0
_NUM_IN_REPR: Final = 12


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


def _in_lines(char: str) -> str:
    """Return a visible character, followed by a line break if it ends a line."""
    return visible(char, keep=" ") + "\n" * (char in ("\n", EOS))
