"""Results as tables on stdout, or as dictionaries for JSON."""

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from charlstm.system.terminal import escape_line, is_colorless

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PIPE_WIDTH: Final = 1000
_PLAIN_WIDTH: Final = 100
_NARROW: Final = 60


def with_derived(result: "DataclassInstance", *names: str) -> dict[str, Any]:
    """Return a result's fields and some of its properties, for JSON."""
    return asdict(result) | {name: getattr(result, name) for name in names}


def figure(value: float | None, *, digits: int = 3) -> str:
    """Format a figure of a table; a dash if it is unknown."""
    return "-" if value is None else f"{value:.{digits}f}"


def print_pairs(title: Text, pairs: Iterable[tuple[str, str]]) -> None:
    """A title and under it names with values."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), Text(escape_line(value)))
    with _console() as console:
        console.print(title, style="bold")
        console.print(table)


def print_rows(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: Sequence[int] = (),
    caption: str | None = None,
) -> None:
    """Rows under a header; the first column and those in `left` are text, the others figures.

    On a terminal that they don't fit, without columns that have no name, which hold bars; on a
    narrow one, one figure a line.
    """
    # Text, never a plain string: rich would read markup in it.
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
            named = [number for number, name in enumerate(header) if name or not number]
            console.print(table if does_fit else table_of(named))
            return
        # Folded into narrow columns nothing could be read, or copied.
        for row in cells:
            console.print(row[0], style="bold")
            for name, cell in zip(header[1:], row[1:], strict=True):
                if cell.plain.strip():
                    console.print(Text(f"  {name}  ", style="dim") + cell)
        if caption is not None:
            console.print(Text(caption))


def print_note(text: str) -> None:
    """A sentence or two about a table, folded between words."""
    with _console() as console:
        console.print(Text(escape_line(text)))


def print_text(text: Text) -> None:
    """A line that is never folded."""
    with _console() as console:
        console.print(text, no_wrap=True, crop=False)


def width() -> int:
    """The columns that there are to write in."""
    if not sys.stdout.isatty():
        return _PLAIN_WIDTH
    with _console() as console:
        return console.width


@contextlib.contextmanager
def _console() -> Iterator[Console]:
    """Writes to stdout; into a pipe nothing is folded, and lines have no blanks at their end."""
    force_terminal = False if is_colorless() else None
    options: dict[str, Any] = {"highlight": False, "emoji": False}
    if sys.stdout.isatty():
        yield Console(force_terminal=force_terminal, **options)
        return
    written = io.StringIO()
    yield Console(file=written, width=_PIPE_WIDTH, **options)
    sys.stdout.write(re.sub(r" +$", "", written.getvalue(), flags=re.MULTILINE))
