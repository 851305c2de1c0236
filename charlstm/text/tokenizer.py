"""Character and byte tokenizer: text <-> ids.

Encoding has two steps: text -> `chars`, a string with one character per token, normalized like the
training text -> ids. At the byte level, each character of `chars` stands for one byte (Latin-1).
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

from charlstm.config import ReadingConfig
from charlstm.errors import ConfigError, CorpusError
from charlstm.reading.documents import EOS, EOS_NOTICE, REPLACEMENT
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Ids, Vocabulary, least_unknown_probability

_MAX_NAMED: Final = 5
_REPLACEMENT_BYTES: Final = REPLACEMENT.encode().decode("latin-1")


@dataclass(frozen=True, kw_only=True)
class CharTokenizer:
    """A vocabulary, and the normalization applied before encoding.

    Args:
        config: how the training text was read.
        num_train_chars: length of the training split.
    """

    vocabulary: Vocabulary
    config: ReadingConfig
    num_train_chars: int

    @property
    def unknown_probability(self) -> float:
        """Lower bound for the probability of the unknown token."""
        return least_unknown_probability(self.num_train_chars)

    @property
    def is_byte(self) -> bool:
        """Whether tokens are bytes instead of characters."""
        return self.config.level == "byte"

    @property
    def documents_are_lines(self) -> bool:
        """Whether each document is a line, so that LF is EOS."""
        return self.config.split_documents == "lines"

    @property
    def bos_id(self) -> int:
        """BOS: the id before a document's first character; an input only, never predicted."""
        return self.vocabulary.bos_id

    @property
    def eos(self) -> str | None:
        """End-of-document character: LF if documents are lines, else U+FDD0; None without one."""
        eos = "\n" if self.documents_are_lines else EOS
        return eos if eos in self.vocabulary.characters else None

    @cached_property
    def eos_id(self) -> int | None:
        """The id of EOS; None if there is none."""
        return None if self.eos is None else int(self.encode(self.eos)[0])

    @property
    def unknown_nats(self) -> float:
        """Surprisal, in nats, of one particular character given that it is unknown.

        Characters outside the vocabulary are taken to be equally likely. P(unknown) times this
        uniform distribution completes the prediction, so that models with different vocabularies
        can be compared.
        """
        num_possible = 256 if self.is_byte else sys.maxunicode + 1
        return math.log(max(1, num_possible - len(self.vocabulary)))

    def documents(self, chars: str) -> list[str]:
        """Cut a text after each EOS; without EOS, return it as one document."""
        if self.eos is None:
            return [chars]
        *ended, last = chars.split(self.eos)
        return [*(document + self.eos for document in ended), last]

    def without_end(self, chars: str) -> str:
        """Return a document without its EOS."""
        return chars.removesuffix(self.eos or "")

    def __len__(self) -> int:
        """Return the number of ids that can be predicted: unknown and the characters."""
        return len(self.vocabulary) + 1

    @cached_property
    def readable(self) -> tuple[str | None, ...]:
        """Display text of each id that can be predicted; None for unknown."""
        return (None, *map(self.to_text, self.vocabulary.characters))

    def to_chars(self, text: str, notify: Callable[[str], object] = lambda _: None) -> str:
        """Normalize a text like the files of the corpus.

        Args:
            notify: called with a notice if characters were replaced.
        """
        return to_chars(text, self.config, notify)

    def to_text(self, chars: str) -> str:
        """Return readable text; bytes that are not valid UTF-8 are escaped."""
        if self.is_byte:
            # Unknown bytes are U+FFFD, which Latin-1 can't encode.
            documents = chars.replace(REPLACEMENT, _REPLACEMENT_BYTES).split(EOS)
            return EOS.join(
                document.encode("latin-1").decode("utf-8", "backslashreplace")
                for document in documents
            )
        return chars

    def num_bytes(self, chars: str) -> int:
        """Return the text's size in a UTF-8 file, without EOS characters."""
        chars = chars.replace(EOS, "")
        return len(chars if self.is_byte else chars.encode("utf-8", "surrogatepass"))

    def encode(self, chars: str) -> Ids:
        """Return ids [len(chars)]; characters outside the vocabulary become `UNKNOWN`."""
        return self.vocabulary.encode(chars)

    def decode(self, ids: npt.NDArray[np.integer]) -> str:
        """Return the characters of ids [n]; unknown becomes U+FFFD, BOS is dropped."""
        return self.vocabulary.decode(ids)

    def text_of(self, ids: npt.NDArray[np.integer]) -> str:
        """Return the readable text of ids [n]."""
        return self.to_text(self.decode(ids))

    def encode_documents(self, documents: Iterable[str]) -> EncodedText:
        """Encode documents; empty ones are dropped."""
        return EncodedText.of(documents, self.vocabulary, num_bytes=self.num_bytes)

    def without_unknown(self, chars: str) -> str:
        """Return the text without characters outside the vocabulary."""
        unknown = set(self.vocabulary.unknown_in(chars))
        return "".join(char for char in chars if char not in unknown)

    def require_known(self, chars: str) -> None:
        """Refuse a text with characters outside the vocabulary.

        Raises:
            CorpusError: naming them.
        """
        if unknown := self.vocabulary.unknown_in(chars):
            message = f"not in the model's vocabulary: {self.listed(unknown)}"
            if found := self.in_other_form(unknown):
                message += f"; known in another Unicode normal form: {self.listed(found)}"
            raise CorpusError(message)

    def in_other_form(self, unknown: str) -> str:
        """Return the unknown characters whose composed or decomposed form is in the vocabulary."""
        if self.is_byte:
            return ""
        vocabulary = set(self.vocabulary.characters)
        marks = {mark for char in vocabulary for mark in unicodedata.normalize("NFD", char)[1:]}
        return "".join(
            char
            for char in unknown
            if char in marks or vocabulary.issuperset(unicodedata.normalize("NFD", char))
        )

    def listed(self, chars: str) -> str:
        """Describe the first few characters, and count the others."""
        shown = ", ".join(map(self._named, chars[:_MAX_NAMED]))
        more = len(chars) - _MAX_NAMED
        return shown + (f" and {more:,} more" if more > 0 else "")

    def _named(self, char: str) -> str:
        if not self.is_byte:
            return f"{char!r} (U+{ord(char):04X})"
        # Beyond ASCII, a byte is only a part of a character.
        byte = f"byte 0x{ord(char):02X}"
        return f"{char!r} ({byte})" if char.isascii() else byte

    def settings(self) -> dict[str, Any]:
        """Return the settings, apart from the vocabulary, that another program needs to encode."""
        return {
            "level": self.config.level,
            "normalize": self.config.normalize,
            "keep_line_ends": self.config.keeps_line_ends,
            "unknown_probability": self.unknown_probability,
        }


def to_chars(text: str, config: ReadingConfig, notify: Callable[[str], object]) -> str:
    """Normalize a text like the files of a corpus.

    Args:
        notify: called with a notice if characters were replaced.

    Raises:
        ConfigError: if the text isn't a string.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a text must be a string, not {reprlib.repr(text)}")
    if config.level == "byte":
        # Undecodable bytes on a command line arrive as lone surrogates.
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            data = text.encode("utf-8", "surrogatepass")
        return data.decode("latin-1")
    if EOS in text:
        notify(EOS_NOTICE)
        text = text.replace(EOS, REPLACEMENT)
    if config.normalize == "nfc":
        text = unicodedata.normalize("NFC", text)
    return text if config.keep_line_ends else text.replace("\r\n", "\n").replace("\r", "\n")
