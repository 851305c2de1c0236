"""Guess the encoding of bytes that couldn't be decoded; only messages use it."""

from typing import Final

# Of encodings that are equally likely, the first.
_ENCODINGS: Final = (
    "cp1252", "cp1250", "cp1251", "cp1253", "gb18030", "big5", "cp932", "euc_jp", "cp949",
    "iso8859_2", "koi8_r", "cp866", "mac_roman", "cp437", "utf_16_le", "utf_16_be",
)  # fmt: skip
_SAMPLE_BYTES: Final = 1 << 12
# charset-normalizer's measures: of disorder, from 0, and of likeness to a language, up to 1.
_MOST_CHAOS: Final = 0.1
_CLOSE_CHAOS: Final = 0.05
_CLOSE_COHERENCE: Final = 0.15
_MAX_NAMED: Final = 3
_CHARS_BEFORE: Final = 10
_CHARS_AFTER: Final = 20


def likely_encodings(data: bytes) -> dict[str, str]:
    """Return the encodings that a text may be in, each with a piece of the text decoded by it.

    Several where they are about as likely, none where nothing is.
    """
    from charset_normalizer import from_bytes  # takes time, and is needed for errors only

    if b"\0" not in data:  # else a line end may have more than one byte
        data = b"\n".join(line for line in data.split(b"\n") if not line.isascii())
    matches = list(from_bytes(data[:_SAMPLE_BYTES], cp_isolation=list(_ENCODINGS)))
    if not matches or matches[0].chaos > _MOST_CHAOS:
        return {}
    close = {
        min(match.could_be_from_charset, key=_rank): _piece(str(match))
        for match in matches
        if match.chaos <= matches[0].chaos + _CLOSE_CHAOS
        and match.coherence >= matches[0].coherence - _CLOSE_COHERENCE
    }
    return {name: close[name] for name in sorted(close, key=_rank)[:_MAX_NAMED]}


def _rank(encoding: str) -> int:
    return _ENCODINGS.index(encoding) if encoding in _ENCODINGS else len(_ENCODINGS)


def _piece(text: str) -> str:
    """Return the surroundings of the first character that isn't ASCII."""
    place = next((i for i, char in enumerate(text) if not char.isascii()), 0)
    return text[max(0, place - _CHARS_BEFORE) : place + _CHARS_AFTER]
