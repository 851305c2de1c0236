"""Screen of `charlstm play`: the typed text, and the model's predictions for it."""

import codecs
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from itertools import repeat
from typing import Final

from prompt_toolkit.application import get_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import (
    Container,
    Dimension,
    DynamicContainer,
    FormattedTextControl,
    HSplit,
    VSplit,
    Window,
)
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
_CURSOR: Final = "[SetCursorPosition]"

_KEYS: Final = (
    "Tab\u00a0insert  ^P\u00a01-9\u00a0pick  ^W\u00a0write\u00a0a\u00a0line  "
    "\u2191\u2193\u00a0temperature  \u2190\u2192\u00a0move  ^D\u00a0quit"
)
_PENDING: Final = "\u2026"
_MIN_TEXT_LINES: Final = 3
# Minimum width for bars and ladder next to each other.
_MIN_COLUMNS_SIDE_BY_SIDE: Final = 72
_GAP: Final = 3
_NAME_COLUMNS: Final = 9
_CANDIDATE_COLUMNS: Final = 21  # a candidate without its bar
_NUM_LADDER_CANDIDATES: Final = 3

Piece = tuple[str, str]  # style and text
Line = list[Piece]


def screen(draft: Draft, *, name: str) -> Container:
    """Return the screen, whose windows read the draft each time they are drawn.

    Args:
        name: the model's name.
    """

    def text_height() -> Dimension:
        # The text has priority on a terminal with few lines.
        num_lines = min(_MIN_TEXT_LINES, _size().rows)
        return Dimension(min=num_lines, preferred=num_lines)

    def left() -> list[Line]:
        return [[], *_candidates(draft)]

    def right() -> list[Line]:
        return [[], *_ladder(draft), [], *_gates(draft)]

    left_window = _window(left, width=lambda: Dimension.exact(_candidates_width()))
    side_by_side = VSplit([left_window, _window(right)], padding=_GAP)
    stacked = _window(lambda: left() + right())
    text = FormattedTextControl(lambda: _text(draft), focusable=True)
    return HSplit(
        [
            _window(lambda: [_title(draft, name)]),
            Window(text, height=text_height),
            DynamicContainer(lambda: side_by_side if _is_wide() else stacked),
            _window(lambda: _keys(draft)),
        ]
    )


def _window(
    lines: Callable[[], list[Line]], *, width: Callable[[], Dimension] | None = None
) -> Window:
    """Return a window as high as its lines, if there is room."""

    def fragments() -> StyleAndTextTuples:
        found: StyleAndTextTuples = []
        for line in lines():
            found += [*line, ("", "\n")]
        return found[:-1]

    return Window(FormattedTextControl(fragments), width=width, dont_extend_height=True)


def _size() -> Size:
    return get_app().output.get_size()


def _is_wide() -> bool:
    """Return whether candidates and contexts are side by side."""
    return _size().columns >= _MIN_COLUMNS_SIDE_BY_SIDE


def _candidates_width() -> int:
    columns = _size().columns
    return columns // 2 - _GAP if _is_wide() else columns


def _title(draft: Draft, name: str) -> Line:
    facts = []
    if draft.num_read < len(draft.text):
        facts.append(f"read {draft.num_read:,} of {len(draft.text):,}")
    if draft.cursor and (nats := draft.nats(draft.cursor - 1, draft.cursor)[0]) is not None:
        facts.append(f"surprisal {nats / NATS_PER_BIT:.2f} bits")
    facts.append(f"temperature {draft.config.temperature:g}")
    return [(_BOLD, visible(name, keep=" ")), *((_DIM, f"  {fact}") for fact in facts)]


def _keys(draft: Draft) -> list[Line]:
    """Return the key help, or a notice about the last action."""
    style, words = (_BOLD, draft.notice) if draft.notice else (_DIM, _KEYS)
    # Blanks within the help of a key are not broken.
    lines = textwrap.wrap(words, _size().columns)
    return [[(style, line.replace("\u00a0", " "))] for line in lines]


def _text(draft: Draft) -> StyleAndTextTuples:
    """Return the text around the cursor, as much as the screen can show before and after it."""
    size = _size()
    max_chars = size.rows * size.columns
    # Start at a line break, or else at a position that is stable while characters are typed.
    first = draft.text.rfind("\n", 0, max(0, draft.cursor - max_chars)) + 1
    first = max(first, (draft.cursor // max_chars - 1) * max_chars)
    before = [*_shaded(draft, first, draft.cursor)]
    # The cursor is at the next character, or after the text.
    after = [*_shaded(draft, draft.cursor, draft.cursor + max_chars), ("", " ")]
    after[0] = (f"{_CURSOR} {after[0][0]}", after[0][1])
    fragments: StyleAndTextTuples = []
    used = 0
    # Wrapped here: a wrapping window can lose a cursor at the start of a wrapped line.
    for style, char in before + after:
        is_mark = not get_cwidth(char)
        shown = f"{DOTTED_CIRCLE}{char}" if is_mark and not used else char  # a base for the mark
        columns = get_cwidth(shown)
        if used and used + columns > size.columns:
            fragments.append(("", "\n"))
            used = 0
        fragments.append((style, shown))
        used = 0 if shown.endswith("\n") else used + columns
    return fragments


def _shaded(draft: Draft, first: int, last: int) -> Iterator[Piece]:
    """Yield the characters between two positions; surprisals of a character's bytes add up."""
    tokenizer = draft.tokenizer
    symbols = draft.text[first:last]
    nats, ids = draft.nats(first, last), tokenizer.encode(symbols).tolist()
    place = 0
    for char, num_tokens in _characters(symbols) if tokenizer.is_byte else zip(symbols, repeat(1)):
        own = slice(place, place + num_tokens)
        byte_nats = [value for value in nats[own] if value is not None]
        style = _UNKNOWN if UNKNOWN in ids[own] else ""
        if len(byte_nats) == num_tokens and (color := surprisal_color(sum(byte_nats))) is not None:
            style += f" fg:#000000 bg:{_hex(color)}"
        # Shading makes blanks visible.
        yield style, visible(char, keep=" ") + "\n" * char.endswith(("\n", EOS))
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


@cache
def _hex(color: str) -> str:
    return Color.parse(color).get_truecolor().hex


def _candidates(draft: Draft) -> list[Line]:
    prediction = draft.prediction()
    if prediction is None:
        return [[(_DIM, _PENDING)], *([] for _ in range(NUM_CANDIDATES))]
    lines: list[Line] = [[(_DIM, f"next character, entropy {prediction.entropy_bits:.2f} bits")]]
    room = max(1, _candidates_width() - _CANDIDATE_COLUMNS)
    for number, (char, probability) in enumerate(prediction.next, start=1):
        name = named(char)
        name += " " * (_NAME_COLUMNS - get_cwidth(name))
        bars = f"{name} {probability:7.2%}  {bar(probability, room)}"
        lines.append([(_DIM, f"{number} "), ("", bars)])
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
