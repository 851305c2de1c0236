"""Encoding detection for error messages about undecodable files."""

from typing import Final

# In order of preference.
_ENCODINGS: Final = (
    "cp1252", "cp1250", "cp1251", "cp1253", "gb18030", "big5", "cp932", "euc_jp", "cp949",
    "iso8859_2", "koi8_r", "cp866", "mac_roman", "cp437", "utf_16_le", "utf_16_be",
)  # fmt: skip
_SAMPLE_BYTES: Final = 1 << 12
# charset-normalizer's scores: chaos (0 is best) and coherence with a language (1 is best).
_MOST_CHAOS: Final = 0.1
_CLOSE_CHAOS: Final = 0.05
_CLOSE_COHERENCE: Final = 0.15
_MAX_NAMED: Final = 3
_CHARS_BEFORE: Final = 10
_CHARS_AFTER: Final = 20


def likely_encodings(data: bytes) -> dict[str, str]:
    """Return the likely encodings of a text, each with an excerpt decoded with it.

    Several if they are about equally likely, none if no encoding fits.
    """
    from charset_normalizer import from_bytes  # slow to import, and only needed for errors

    if b"\0" not in data:  # with NUL bytes, a line end may have more than one byte
        data = b"\n".join(line for line in data.split(b"\n") if not line.isascii())
    matches = list(from_bytes(data[:_SAMPLE_BYTES], cp_isolation=list(_ENCODINGS)))
    if not matches or matches[0].chaos > _MOST_CHAOS:
        return {}
    close = {
        min(match.could_be_from_charset, key=_rank): _excerpt(str(match))
        for match in matches
        if match.chaos <= matches[0].chaos + _CLOSE_CHAOS
        and match.coherence >= matches[0].coherence - _CLOSE_COHERENCE
    }
    return {name: close[name] for name in sorted(close, key=_rank)[:_MAX_NAMED]}


def _rank(encoding: str) -> int:
    return _ENCODINGS.index(encoding) if encoding in _ENCODINGS else len(_ENCODINGS)


def _excerpt(text: str) -> str:
    """Return the text around the first non-ASCII character."""
    position = next((i for i, char in enumerate(text) if not char.isascii()), 0)
    return text[max(0, position - _CHARS_BEFORE) : position + _CHARS_AFTER]
