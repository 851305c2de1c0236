"""The symbols of a model: how a text becomes ids, and how ids become a text again.

A symbol is a character, or at the byte level the character whose number is the byte. Between a text
as people see it and ids stand `symbols`: the text in the form that the corpus was read in.
"""

import math
import reprlib
import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from charlstm.config import CorpusConfig
from charlstm.errors import ConfigError, CorpusError
from charlstm.settings import Level, Normalize
from charlstm.text.split import Split
from charlstm.text.vocabulary import (
    END,
    END_NOTICE,
    REPLACEMENT,
    Ids,
    Vocabulary,
    least_unknown_probability,
)

_MAX_NAMED: Final = 5
_REPLACEMENT_BYTES: Final = REPLACEMENT.encode().decode("latin-1")


@dataclass(frozen=True, kw_only=True)
class Alphabet:
    """A vocabulary, and the form that texts are brought to before they are encoded.

    Args:
        level: whether a symbol is a character or a byte.
        normalize: Unicode normal form.
        keep_line_ends: CR and CRLF stay as they are.
        unknown_probability: the least probability of the unknown symbol.
        are_lines: whether each document is a line.
    """

    vocabulary: Vocabulary
    level: Level
    normalize: Normalize
    keep_line_ends: bool
    unknown_probability: float
    are_lines: bool = False

    @classmethod
    def of(
        cls, config: CorpusConfig, vocabulary: Vocabulary, *, num_train_chars: int
    ) -> "Alphabet":
        """The alphabet of a corpus that was read so.

        Args:
            num_train_chars: the length of its training split.
        """
        return cls(
            vocabulary=vocabulary,
            level=config.level,
            normalize=config.normalize,
            keep_line_ends=config.keeps_line_ends,
            unknown_probability=least_unknown_probability(num_train_chars),
            are_lines=config.split_documents == "lines",
        )

    @property
    def is_byte(self) -> bool:
        return self.level == "byte"

    @property
    def boundary(self) -> int:
        """The id that begins a document; it is read and never predicted."""
        return self.vocabulary.boundary

    @property
    def end(self) -> str | None:
        """The symbol that ends a document: a line's end, or one that stands for nothing else.

        None for running text, and where training showed no end.
        """
        end = "\n" if self.are_lines else END
        return end if end in self.vocabulary.characters else None

    @cached_property
    def end_id(self) -> int | None:
        """The id of `end`."""
        return None if self.end is None else int(self.encode(self.end)[0])

    @property
    def unknown_nats(self) -> float:
        """The cost of naming an unknown symbol: all that the vocabulary lacks are equally likely.

        P(unknown) times this uniform distribution is a complete prediction, so models with
        different vocabularies can be compared.
        """
        num_symbols = 256 if self.is_byte else sys.maxunicode + 1
        return math.log(max(1, num_symbols - len(self.vocabulary)))

    def documents(self, symbols: str) -> list[str]:
        """The documents of a text, each with what ends it; running text is one."""
        if self.end is None:
            return [symbols]
        *ended, last = symbols.split(self.end)
        return [*(document + self.end for document in ended), last]

    def without_end(self, symbols: str) -> str:
        """A document without the symbol that ends it."""
        return symbols.removesuffix(self.end or "")

    def __len__(self) -> int:
        """Symbols that can be predicted: unknown and the characters."""
        return len(self.vocabulary) + 1

    @cached_property
    def readable(self) -> tuple[str | None, ...]:
        """Each symbol that can be predicted, by id, for people; None for unknown."""
        return (None, *map(self.to_text, self.vocabulary.characters))

    def to_symbols(self, text: str, notify: Callable[[str], object] = lambda _: None) -> str:
        """Return a typed text as it would have been read from a file of the corpus.

        Args:
            notify: called with what the typist may want to know.
        """
        return to_symbols(
            text,
            level=self.level,
            normalize=self.normalize,
            keep_line_ends=self.keep_line_ends,
            notify=notify,
        )

    def to_text(self, symbols: str) -> str:
        """Back to what people read; bytes that are not UTF-8 are escaped."""
        if self.is_byte:
            # Unknown bytes stand as U+FFFD, which is no byte.
            documents = symbols.replace(REPLACEMENT, _REPLACEMENT_BYTES).split(END)
            return END.join(
                document.encode("latin-1").decode("utf-8", "backslashreplace")
                for document in documents
            )
        return symbols

    def num_bytes(self, symbols: str) -> int:
        """The length of a text in a file, UTF-8."""
        symbols = symbols.replace(END, "")
        return len(symbols if self.is_byte else symbols.encode("utf-8", "surrogatepass"))

    def encode(self, symbols: str) -> Ids:
        """Ids [len(symbols)]; unknown ones become `UNKNOWN`."""
        return self.vocabulary.encode(symbols)

    def decode(self, ids: npt.NDArray[np.integer]) -> str:
        """Symbols of ids [n]; unknown becomes U+FFFD, boundary nothing."""
        return self.vocabulary.decode(ids)

    def text_of(self, ids: npt.NDArray[np.integer]) -> str:
        """The readable text of ids [n]."""
        return self.to_text(self.decode(ids))

    def split(self, documents: Iterable[str]) -> Split:
        """Encode documents, each a string of symbols; empty ones leave no trace."""
        return Split.of(documents, self.vocabulary, num_bytes=self.num_bytes)

    def without_unknown(self, symbols: str) -> str:
        """The text without the symbols outside the vocabulary."""
        unknown = set(self.vocabulary.unknown_in(symbols))
        return "".join(char for char in symbols if char not in unknown)

    def require_known(self, symbols: str) -> None:
        """Refuse a text with symbols outside the vocabulary.

        Raises:
            CorpusError: naming them.
        """
        if unknown := self.vocabulary.unknown_in(symbols):
            what = f"not in the model's vocabulary: {self.listed(unknown)}"
            if found := self.in_other_form(unknown):
                what += f"; known in another Unicode normal form: {self.listed(found)}"
            raise CorpusError(what)

    def in_other_form(self, unknown: str) -> str:
        """Return those of some unknown characters that are known composed, or decomposed."""
        if self.is_byte:
            return ""
        known = set(self.vocabulary.characters)
        parts = {part for char in known for part in unicodedata.normalize("NFD", char)[1:]}
        return "".join(
            char
            for char in unknown
            if char in parts or known.issuperset(unicodedata.normalize("NFD", char))
        )

    def listed(self, symbols: str) -> str:
        """Return the first of some symbols in words, and the number of the others."""
        shown = ", ".join(map(self._named, symbols[:_MAX_NAMED]))
        more = len(symbols) - _MAX_NAMED
        return shown + (f" and {more:,} more" if more > 0 else "")

    def _named(self, symbol: str) -> str:
        if not self.is_byte:
            return f"{symbol!r} (U+{ord(symbol):04X})"
        # Past ASCII a byte is no character: only a part of one.
        byte = f"byte 0x{ord(symbol):02X}"
        return f"{symbol!r} ({byte})" if symbol.isascii() else byte

    def settings(self) -> dict[str, Any]:
        """What another program needs, beside the vocabulary, to read texts as the model did."""
        return {
            "level": self.level,
            "normalize": self.normalize,
            "keep_line_ends": self.keep_line_ends,
            "unknown_probability": self.unknown_probability,
        }


def to_symbols(
    text: str,
    *,
    level: Level,
    normalize: Normalize,
    keep_line_ends: bool,
    notify: Callable[[str], object],
) -> str:
    """A text in the form that `Alphabet` describes.

    Raises:
        ConfigError: when it isn't a string.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a text must be a string, not {reprlib.repr(text)}")
    if level == "byte":
        # Undecodable bytes of a command line come as lone surrogates.
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            data = text.encode("utf-8", "surrogatepass")
        return data.decode("latin-1")
    if END in text:
        notify(END_NOTICE)
        text = text.replace(END, REPLACEMENT)
    if normalize == "nfc":
        text = unicodedata.normalize("NFC", text)
    return text if keep_line_ends else text.replace("\r\n", "\n").replace("\r", "\n")
