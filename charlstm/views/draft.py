"""Screen layout of `charlstm play`: the typed text, and the model's predictions for it."""

import codecs
from collections.abc import Iterator
from functools import cache
from itertools import chain, repeat, zip_longest
from typing import Final, NamedTuple

from prompt_toolkit.utils import get_cwidth
from rich.color import Color

from charlstm.config import NATS_PER_BIT
from charlstm.inference.draft import NUM_CANDIDATES, Draft
from charlstm.reading.documents import EOS
from charlstm.text.visible import DOTTED_CIRCLE, named, visible
from charlstm.text.vocabulary import UNKNOWN
from charlstm.views.sampling import with_percentage
from charlstm.views.tables import bar, surprisal_color

# prompt_toolkit styles; terminals without colors still show bold and underline.
_DIM: Final = "ansibrightblack"
_BOLD: Final = "bold"
_UNKNOWN: Final = "underline"
CURSOR: Final = "[SetCursorPosition]"

_KEYS: Final = (
    "Tab insert",
    "^P 1-9 pick",
    "^W write a line",
    "\u2191\u2193 temperature",
    "\u2190\u2192 move",
    "^D quit",
)
_PENDING: Final = "\u2026"
_MIN_TEXT_LINES: Final = 3
# Minimum width for bars and ladder next to each other.
_MIN_COLUMNS_SIDE_BY_SIDE: Final = 72
_GAP: Final = 3
_NAME_COLUMNS: Final = 9
_NUM_LADDER_CANDIDATES: Final = 3

Piece = tuple[str, str]  # style and text
Line = list[Piece]


class Size(NamedTuple):
    """Terminal size."""

    lines: int
    columns: int


class _Cell(NamedTuple):
    """A displayed character; `nats` is its surprisal, None until the model has read it."""

    shown: str
    nats: float | None
    is_unknown: bool
    ends_line: bool


# Cell under the cursor at the end of the text.
_EMPTY_CELL: Final = _Cell(" ", None, is_unknown=False, ends_line=False)


def screen(draft: Draft, size: Size, *, name: str) -> list[Line]:
    """Return the lines of the screen; an empty fragment with style `CURSOR` marks the cursor.

    Args:
        name: the model's name.
    """
    # The text has priority on a terminal with few lines.
    title = [_title(draft, name)][: size.lines // 4]
    keys = _keys(draft, size.columns)[: size.lines // 6]
    panel = _panel(draft, size.columns)
    space = size.lines - len(title) - len(keys)
    num_text_lines = max(min(space, _MIN_TEXT_LINES), space - len(panel))
    text = _text(draft, Size(num_text_lines, size.columns))
    lines = [*title, *text, *panel[: space - num_text_lines], *keys]
    return [_cut(line, size.columns) for line in lines]


def _title(draft: Draft, name: str) -> Line:
    facts = []
    if draft.num_read < len(draft.text):
        facts.append(f"read {draft.num_read:,} of {len(draft.text):,}")
    if draft.cursor and (nats := draft.nats(draft.cursor - 1, draft.cursor)[0]) is not None:
        facts.append(f"surprisal {nats / NATS_PER_BIT:.2f} bits")
    facts.append(f"temperature {draft.config.temperature:g}")
    return [(_BOLD, visible(name, keep=" ")), *((_DIM, f"  {fact}") for fact in facts)]


def _keys(draft: Draft, columns: int) -> list[Line]:
    """Return the key help, or a notice about the last action."""
    lines = [""]
    for word in (draft.notice,) if draft.notice else _KEYS:
        if lines[-1] and get_cwidth(f"{lines[-1]}  {word}") > columns:
            lines.append("")
        lines[-1] += f"  {word}" if lines[-1] else word
    return [[(_BOLD if draft.notice else _DIM, line)] for line in lines]


def _text(draft: Draft, size: Size) -> list[Line]:
    """Return `size.lines` lines of the text around the cursor."""
    max_cells = size.lines * size.columns
    # Start above the visible part: at a line break, or else at a position that is stable while
    # characters are typed.
    first = draft.text.rfind("\n", 0, max(0, draft.cursor - max_cells)) + 1
    first = max(first, (draft.cursor // max_cells - 1) * max_cells)
    lines: list[Line] = [[]]
    used = 0
    cursor_line = 0

    def put(cell: _Cell, *, at_cursor: bool = False) -> None:
        nonlocal used, cursor_line
        columns = get_cwidth(cell.shown)
        if used and used + columns > size.columns:
            lines.append([])
            used = 0
        if at_cursor:
            cursor_line = len(lines) - 1
            lines[-1].append((CURSOR, ""))
        # A combining mark without a base character.
        shown = cell.shown if columns or used else f"{DOTTED_CIRCLE}{cell.shown}"
        lines[-1].append((_style(cell), shown))
        used += get_cwidth(shown)
        if cell.ends_line:
            lines.append([])
            used = 0

    for cell in _cells(draft, first, draft.cursor):
        put(cell)
    after = chain(_cells(draft, draft.cursor, draft.cursor + max_cells), [_EMPTY_CELL])
    put(next(after), at_cursor=True)
    for cell in after:
        if len(lines) > cursor_line + size.lines:
            break
        put(cell)
    top = max(0, min(cursor_line - size.lines // 2, len(lines) - size.lines))
    shown = lines[top : top + size.lines]
    return shown + [[] for _ in range(size.lines - len(shown))]


def _cells(draft: Draft, first: int, last: int) -> Iterator[_Cell]:
    """Yield the characters between two positions; surprisals of a character's bytes add up."""
    tokenizer = draft.tokenizer
    symbols = draft.text[first:last]
    nats, ids = draft.nats(first, last), tokenizer.encode(symbols).tolist()
    place = 0
    for char, num_tokens in _characters(symbols) if tokenizer.is_byte else zip(symbols, repeat(1)):
        own = slice(place, place + num_tokens)
        byte_nats = [value for value in nats[own] if value is not None]
        yield _Cell(
            shown=visible(char, keep=" "),  # shading makes blanks visible
            nats=sum(byte_nats) if len(byte_nats) == num_tokens else None,
            is_unknown=UNKNOWN in ids[own],
            ends_line=char.endswith(("\n", EOS)),
        )
        place += num_tokens


def _characters(symbols: str) -> Iterator[tuple[str, int]]:
    """Decode UTF-8 and yield (character, number of bytes); invalid bytes are escaped."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    num_tokens = 0
    for place, symbol in enumerate(symbols, start=1):
        num_tokens += 1
        if symbol == EOS:
            yield decoder.decode(b"", final=True) + EOS, num_tokens
        elif text := decoder.decode(symbol.encode("latin-1"), final=place == len(symbols)):
            yield text, num_tokens
        else:
            continue
        num_tokens = 0


def _style(cell: _Cell) -> str:
    style = _UNKNOWN if cell.is_unknown else ""
    color = None if cell.nats is None else surprisal_color(cell.nats)
    if color is None:
        return style
    return f"{style} fg:#000000 bg:{_hex(color)}"


@cache
def _hex(color: str) -> str:
    return Color.parse(color).get_truecolor().hex


def _panel(draft: Draft, columns: int) -> list[Line]:
    """Lay out candidates, ladder and gates, side by side if they fit."""
    if columns < _MIN_COLUMNS_SIDE_BY_SIDE:
        return [[], *_candidates(draft, columns), [], *_ladder(draft), [], *_gates(draft)]
    left_columns = columns // 2
    left = _candidates(draft, left_columns - _GAP)
    right = [*_ladder(draft), [], *_gates(draft)]
    nothing: Line = []
    rows = zip_longest(left, right, fillvalue=nothing)
    return [[], *(_pad(left_line, left_columns) + right_line for left_line, right_line in rows)]


def _candidates(draft: Draft, columns: int) -> list[Line]:
    prediction = draft.prediction()
    if prediction is None:
        return [[(_DIM, _PENDING)], *([] for _ in range(NUM_CANDIDATES))]
    lines: list[Line] = [[(_DIM, f"next character, entropy {prediction.entropy_bits:.2f} bits")]]
    for number, (char, probability) in enumerate(prediction.next, start=1):
        name = _pad([("", named(char))], _NAME_COLUMNS)
        percentage = f" {probability:7.2%}  "
        room = columns - 2 - _NAME_COLUMNS - len(percentage)
        probability_bar = bar(probability, max(1, room))
        lines.append([(_DIM, f"{number} "), *name, ("", percentage + probability_bar)])
    return lines


def _ladder(draft: Draft) -> list[Line]:
    lines: list[Line] = [[(_DIM, "context  bits  most likely")]]
    for num_context, prediction in draft.ladder():
        line = f"{num_context:7,}  "
        if prediction is None:
            line += _PENDING
        else:
            line += f"{prediction.entropy_bits:4.2f}  "
            line += "  ".join(map(with_percentage, prediction.next[:_NUM_LADDER_CANDIDATES]))
        lines.append([("", line)])
    return lines


def _gates(draft: Draft) -> list[Line]:
    layers = draft.gates()
    if not layers[0]:
        return []
    names = "".join(f"{name:>9}" for name in layers[0])
    return [
        [(_DIM, f"gates, mean{names}")],
        *(
            [("", f"layer {number:<5}" + "".join(f"{mean:9.0%}" for mean in layer.values()))]
            for number, layer in enumerate(layers, start=1)
        ),
    ]


def _pad(line: Line, columns: int) -> Line:
    """Return a line cut or padded to a number of columns."""
    line = _cut(line, columns)
    return [*line, ("", " " * (columns - sum(get_cwidth(text) for _, text in line)))]


def _cut(line: Line, columns: int) -> Line:
    """Truncate a line to a number of columns."""
    kept: Line = []
    for style, text in line:
        fitting = text
        while get_cwidth(fitting) > columns:
            fitting = fitting[:-1]
        kept.append((style, fitting))
        columns -= get_cwidth(fitting)
    return kept
