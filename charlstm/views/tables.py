"""Tables, bars and colors on stdout, dictionaries for JSON, and command lines to suggest."""

import contextlib
import io
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from charlstm.config import DEFAULT_STORE, NATS_PER_BIT
from charlstm.system.terminal import escape_line, is_colorless, shell_word

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PIPE_WIDTH: Final = 1000
_PLAIN_WIDTH: Final = 100
_NARROW: Final = 60
_BAR_WIDTH: Final = 24
_EIGHTHS: Final = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589\u2588"
_FULL_BAR_BITS: Final = 8.0
# (upper limit of a surprisal in bits, background in the 256-color palette); None is no background.
# Letters are black, readable on dark and light terminals.
_SHADES: Final = ((0.5, None), (1.5, 230), (3.0, 222), (5.0, 215), (8.0, 209), (math.inf, 203))


def with_derived(result: "DataclassInstance", *names: str) -> dict[str, Any]:
    """Return a result's fields and some of its properties, for JSON."""
    return asdict(result) | {name: getattr(result, name) for name in names}


def figure(value: float | None, *, digits: int = 3) -> str:
    """Format a number for a table; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def command_line(arguments: Iterable[str], store: Path) -> str:
    """Return a charlstm command for the shell; it names the store unless that is the default."""
    where = () if store == DEFAULT_STORE else ("--checkpoints", str(store))
    return " ".join(map(shell_word, ["charlstm", *arguments, *where]))


def bar(fraction: float, columns: int = _BAR_WIDTH) -> str:
    """Return a bar for a fraction (0 to 1) of the full width, in eighths of a character."""
    eighths = round(fraction * columns * 8)
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def bits_bar(bits: float) -> str:
    """Return a bar for a number of bits; 8 bits fill it."""
    return bar(min(1.0, bits / _FULL_BAR_BITS))


def surprisal_color(nats: float) -> str | None:
    """Return Rich's name of the background color for a surprisal in nats; None for none."""
    number = _shade_number(nats)
    return None if number is None else f"color({number})"


def legend() -> list[tuple[str, str]]:
    """Return (surprisals in bits, Rich's name of the background color) for each background."""
    return [
        (f"{low:g} to {high:g}" if high < math.inf else f"over {low:g}", f"color({color})")
        for (low, _), (high, color) in pairwise(_SHADES)
    ]


def shade(nats: float) -> str:
    """Return the SGR escape sequence for a surprisal in nats; empty for none."""
    color = _shade_number(nats)
    return f"\x1b[38;5;16;48;5;{color}m" if color is not None else ""


def _shade_number(nats: float) -> int | None:
    bits = nats / NATS_PER_BIT
    return next((color for limit, color in _SHADES if bits < limit), None)


def print_pairs(title: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Print a title followed by names with values."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), Text(escape_line(value)))
    with _console() as console:
        console.print(Text(escape_line(title)), style="bold")
        console.print(table)


def print_rows(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: Sequence[int] = (),
    caption: str | None = None,
) -> None:
    """Print a table.

    The first column and those in `left` are text and left-aligned. If the table is too wide for
    the terminal, columns without a name, which hold bars, are dropped; on a narrow terminal each
    value gets its own line.
    """
    # Text instead of str, so that rich doesn't interpret markup.
    cells = [[Text(escape_line(cell)) for cell in row] for row in rows]

    def table_of(numbers: Sequence[int]) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        if caption is not None:
            table.caption = Text(caption)
        for number in numbers:
            is_text = number == 0 or number in left
            justify: Literal["left", "right"] = "left" if is_text else "right"
            table.add_column(Text(header[number]), justify=justify, overflow="fold")
        for row in cells:
            table.add_row(*(row[number] for number in numbers))
        return table

    with _console() as console:
        options = console.options.update(max_width=_PIPE_WIDTH)
        table = table_of(range(len(header)))
        does_fit = console.width >= console.measure(table, options=options).maximum
        if does_fit or console.width >= _NARROW:
            named_columns = [number for number, name in enumerate(header) if name or not number]
            console.print(table if does_fit else table_of(named_columns))
            return
        # Narrow columns would be unreadable.
        for row in cells:
            console.print(row[0], style="bold")
            for name, cell in zip(header[1:], row[1:], strict=True):
                if cell.plain.strip():
                    console.print(Text(f"  {name}  ", style="dim") + cell)
        if caption is not None:
            console.print(Text(caption))


def print_note(text: str) -> None:
    """Print a note, wrapped between words."""
    with _console() as console:
        console.print(Text(escape_line(text)))


def print_text(text: Text | str = "", style: str = "") -> None:
    """Print lines without wrapping; `style` is that of a str."""
    with _console() as console:
        styled = Text(text, style) if isinstance(text, str) else text
        console.print(styled, no_wrap=True, crop=False)


def width() -> int:
    """Return the width of stdout in columns."""
    if not sys.stdout.isatty():
        return _PLAIN_WIDTH
    with _console() as console:
        return console.width


@contextlib.contextmanager
def _console() -> Iterator[Console]:
    """Yield a console for stdout; in a pipe it doesn't wrap, and strips trailing blanks."""
    force_terminal = False if is_colorless() else None
    options: dict[str, Any] = {"highlight": False, "emoji": False}
    if sys.stdout.isatty():
        yield Console(force_terminal=force_terminal, **options)
        return
    written = io.StringIO()
    yield Console(file=written, width=_PIPE_WIDTH, **options)
    sys.stdout.write(re.sub(r" +$", "", written.getvalue(), flags=re.MULTILINE))
