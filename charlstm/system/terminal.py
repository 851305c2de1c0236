"""Terminal output with untrusted text escaped.

Texts, names and vocabularies can contain characters that control a terminal: move its cursor, write
to its clipboard, reverse the reading order. They are shown as code points instead.
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

# Control characters, lone surrogates, line and paragraph separators.
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e") | frozenset(
    "\u2066\u2067\u2068\u2069"
)

_PLAIN: Final = "\x1b[0m"
_ERASED_LINE: Final = "\r\x1b[K"


def escape(text: str, *, keep: str = "") -> str:
    r"""Replace control characters by \\x1b, \\u202e and the like.

    Args:
        keep: control characters to leave unchanged, such as line ends.
    """
    return "".join(
        char if char in keep or not _is_unsafe(char) else code_point(char) for char in text
    )


def escape_line(text: object) -> str:
    """Return a message as one line without control characters."""
    return escape(str(text).replace("\n", " "))


def shell_word(word: str) -> str:
    r"""Quote a word for a shell; control characters are quoted as in bash's $'a\nb'."""
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
    """Return the bytes of a character of a file name, which may not be valid UTF-8."""
    is_byte = "\udc80" <= char <= "\udcff"
    return char.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")


def is_animated(stream: IO[str]) -> bool:
    """Return whether a stream is a terminal that may show colors and redraw a line."""
    return stream.isatty() and not is_colorless()


def is_colorless() -> bool:
    """Return whether the user wants plain text (no-color.org) or the terminal is dumb."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def prepare_streams() -> None:
    """Make stdout and stderr accept any character, regardless of the locale."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: discard output
            setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="backslashreplace")
            else:
                stream.reconfigure(encoding="utf-8", errors="surrogatepass", newline="\n")


def is_escaped(*, styled: bool) -> bool:
    """Return whether results are for display and must be escaped."""
    return styled or sys.stdout.isatty()


class TextWriter(Protocol):
    """Function that writes a piece of a result; `style` is an SGR escape sequence."""

    def __call__(self, text: str, *, style: str = "") -> None: ...


@contextlib.contextmanager
def text_output(*, as_bytes: bool, styled: bool = False) -> Iterator[TextWriter]:
    """Yield a function that writes results to stdout, escaped for a terminal, raw for a pipe.

    Args:
        as_bytes: whether characters stand for bytes, as with `--level byte`; a terminal shows them
            decoded as UTF-8.
        styled: whether to also write styles, and escape the text, in a pipe.
    """
    is_shown = is_escaped(styled=styled)
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(text: str, *, style: str = "") -> None:
        data = text.encode("latin-1") if as_bytes else b""
        if is_shown:
            shown = escape(decoder.decode(data) if as_bytes else text, keep="\n\t")
            # A styled line end would color the rest of the line.
            sys.stdout.write(f"{style}{shown}{_PLAIN}" if style and shown.strip("\n") else shown)
            sys.stdout.flush()
        elif as_bytes:
            sys.stdout.buffer.write(data)
        else:
            sys.stdout.write(text)

    yield write
    sys.stdout.flush()


def say(message: str) -> None:
    """Write a line to stderr; errors are ignored, in case the terminal was closed."""
    with contextlib.suppress(OSError, ValueError):
        print(escape_line(message), file=sys.stderr, flush=True)


@contextlib.contextmanager
def waiting(activity: str, *, is_shown: bool = True) -> Iterator[None]:
    """Show a message on a terminal until the block ends."""
    has_line = is_shown and is_animated(sys.stderr)

    def write(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(text, end="", file=sys.stderr, flush=True)

    if has_line:
        write(f"{activity} ...")
    try:
        yield
    finally:
        if has_line:
            write(_ERASED_LINE)


def _is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE_CATEGORIES or char in _BIDI_CONTROLS


def code_point(char: str) -> str:
    r"""Return a character's escape sequence, such as \x1b or \u202e."""
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
