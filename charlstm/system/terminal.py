"""What comes from outside, made safe to show.

Text, names and vocabularies can hold characters that command a terminal: move its cursor, write
to its clipboard, reverse the reading order. They are shown as their code points instead.
"""

import codecs
import contextlib
import io
import os
import shlex
import sys
import unicodedata
from collections.abc import Iterator
from typing import IO, Final, Protocol

# U+061C, U+200E/F, U+202A-E, U+2066-9 turn the direction of text; the categories are control
# characters, lone surrogates, line and paragraph separators.
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e") | frozenset(
    "\u2066\u2067\u2068\u2069"
)

_PLAIN: Final = "\x1b[0m"
_ERASED_LINE: Final = "\r\x1b[K"


def escape(text: str, *, keep: str = "") -> str:
    r"""Replace what could command a terminal by \\x1b, \\u202e and the like.

    Args:
        keep: control characters to leave as they are, such as line ends.
    """
    return "".join(
        char if char in keep or not _is_unsafe(char) else code_point(char) for char in text
    )


def escape_line(text: object) -> str:
    """Make a message one safe line."""
    return escape(str(text).replace("\n", " "))


def shell_word(word: str) -> str:
    r"""Quote a word for a shell; what could command a terminal in bash's way, as in $'a\nb'."""
    if escape(word) == word:
        return shlex.quote(word)
    chars = (
        "".join(f"\\x{byte:02x}" for byte in _file_bytes(char))
        if _is_unsafe(char)
        else char.replace("\\", "\\\\").replace("'", "\\'")
        for char in word
    )
    return f"$'{''.join(chars)}'"


def _file_bytes(char: str) -> bytes:
    """Return the bytes of a character of a file's name, which need not be UTF-8."""
    is_byte = "\udc80" <= char <= "\udcff"
    return char.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")


def is_animated(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that can redraw a line."""
    return stream.isatty() and not is_colorless()


def is_colorless() -> bool:
    """Whether plain text is asked for (no-color.org), or all that the terminal can show."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def prepare_streams() -> None:
    """Let any character be written to stdout and stderr, whatever the locale says."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: what is written goes nowhere
            setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="backslashreplace")
            else:
                stream.reconfigure(encoding="utf-8", errors="surrogatepass", newline="\n")


def is_escaped(*, styled: bool) -> bool:
    """Whether results are shown to people, not handed on as they are."""
    return styled or sys.stdout.isatty()


class TextWriter(Protocol):
    """Writes a piece of a result; `style` is an SGR sequence that a terminal shows it in."""

    def __call__(self, text: str, *, style: str = "") -> None: ...


@contextlib.contextmanager
def text_output(*, as_bytes: bool, styled: bool = False) -> Iterator[TextWriter]:
    """A function that writes results to stdout: escaped where they are shown, raw elsewhere.

    Args:
        as_bytes: the characters stand for bytes, as with `--level byte`; shown is what of them is
            UTF-8.
        styled: styles are written, in a pipe too; so the text is escaped there too.
    """
    is_shown = is_escaped(styled=styled)
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(text: str, *, style: str = "") -> None:
        data = text.encode("latin-1") if as_bytes else b""
        if is_shown:
            shown = escape(decoder.decode(data) if as_bytes else text, keep="\n\t")
            # A line end would color the rest of the line.
            sys.stdout.write(f"{style}{shown}{_PLAIN}" if style and shown.strip("\n") else shown)
            sys.stdout.flush()
        elif as_bytes:
            sys.stdout.buffer.write(data)
        else:
            sys.stdout.write(text)

    yield write
    sys.stdout.flush()


def say(message: str) -> None:
    """Write a line to stderr; a terminal that is gone stops nothing."""
    with contextlib.suppress(OSError, ValueError):
        print(escape_line(message), file=sys.stderr, flush=True)


@contextlib.contextmanager
def waiting(what: str, *, is_shown: bool = True) -> Iterator[None]:
    """Show on a terminal's stderr what takes a while, until it is done.

    Args:
        is_shown: False to show nothing.
    """
    has_line = is_shown and is_animated(sys.stderr)

    def write(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(text, end="", file=sys.stderr, flush=True)

    if has_line:
        write(f"{what} ...")
    try:
        yield
    finally:
        if has_line:
            write(_ERASED_LINE)


def _is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE_CATEGORIES or char in _BIDI_CONTROLS


def code_point(char: str) -> str:
    r"""Return a character's code point as \x1b, \u202e and the like."""
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
