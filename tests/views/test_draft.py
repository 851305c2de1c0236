"""Tests of the screen of `charlstm play`."""

import unicodedata

import numpy as np
import pytest
from conftest import TEXT, with_spec
from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import DummyInput
from prompt_toolkit.layout import Layout
from prompt_toolkit.output import DummyOutput

from charlstm.config import ReadingConfig, SampleConfig
from charlstm.inference.draft import Draft
from charlstm.inference.prediction import predict_next
from charlstm.inference.predictor import Predictor
from charlstm.text.vocabulary import Vocabulary
from charlstm.views.draft import screen

TEXTS = {
    "empty": "",
    "words": TEXT,
    "one line": "x" * 3000,
    "wide": "\u65e5\u672c" * 300,
    "marks": "\u0301e\u0301\n\u0301\u200d\u00ad" * 50,
    "commands": "\x1b[31m\x9b\u202e\ud800\x00\r\t" * 50,
}


def draft_of(checkpoint, text, *, work=100):
    predictor = Predictor(checkpoint)
    draft = Draft(predictor, SampleConfig(), generator=np.random.default_rng(0))
    draft.insert(text)
    for _ in range(work):
        draft.work()
    return draft


def rendered(draft, size=(24, 80)):
    """Return the cells of a terminal by line and column, and where the cursor is."""
    output = DummyOutput()
    output.get_size = lambda: Size(*size)
    layout = Layout(screen(draft, name="tiny"))
    app = Application(layout=layout, input=DummyInput(), output=output, full_screen=True)
    with set_app(app):
        app.renderer.render(app, layout)
    drawn = app.renderer.last_rendered_screen
    cells = [[drawn.data_buffer[y][x] for x in range(size[1])] for y in range(size[0])]
    return cells, drawn.get_cursor_position(layout.current_window)


def lines_of(draft, size=(24, 80)):
    cells, _ = rendered(draft, size)
    return ["".join(cell.char for cell in line).rstrip() for line in cells]


def shown(draft, size=(24, 80)):
    return "\n".join(lines_of(draft, size))


def styles_of(draft, char):
    """Return the styles of a character in the text, which starts on the second line."""
    cells, _ = rendered(draft)
    return [cell.style for cell in cells[1] if cell.char == char]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [(24, 80), (24, 40), (50, 200), (5, 10), (1, 1), (2, 3)])
@pytest.mark.parametrize("back", [0, 40, 10_000])
def test_screen_shows_the_text_around_the_cursor(checkpoint, text, size, back):
    draft = draft_of(checkpoint, TEXTS[text])
    draft.move(-back)
    cells, cursor = rendered(draft, size)
    assert cursor.x < size[1]
    assert cursor.y < size[0]
    at_cursor = draft.text[draft.cursor : draft.cursor + 1] or " "
    if at_cursor in "the quick日本x" and size[1] > 2:
        assert cells[cursor.y][cursor.x].char == at_cursor
    for char in shown(draft, size).replace("\n", ""):
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(("num_lines", "expected"), [(1, 1), (3, 3), (4, 3), (10, 3), (24, 11)])
def test_text_has_priority_on_few_lines(checkpoint, num_lines, expected):
    draft = draft_of(checkpoint, "x\n" * 50)
    draft.move(-100)
    assert sum(line.startswith("x") for line in lines_of(draft, (num_lines, 80))) == expected


def test_screen_shows_all_panels(checkpoint):
    draft = draft_of(checkpoint, "the quick")
    text = shown(draft)
    assert "\nthe quick" in text
    before = predict_next(Predictor(checkpoint), "the quic").next
    (probability,) = (p for char, p in before if char == "k")
    assert f"surprisal {-np.log2(probability):.2f} bits" in text
    assert f"next character, entropy {draft.prediction().entropy_bits:.2f} bits" in text
    for number, (_, probability) in enumerate(draft.prediction().next, start=1):
        assert f"\n{number} " in text
        assert f"{probability:.2%}" in text
    for num_context in (0, 1, 2, 4, 8, 9):
        assert f" {num_context}  " in text
    assert "layer 2" in text
    assert "temperature 1" in text
    assert "^D quit" in text


def test_panels_are_stacked_at_forty_columns(checkpoint):
    lines = shown(draft_of(checkpoint, "the quick"), (40, 40)).split("\n")
    (ladder,) = (number for number, line in enumerate(lines) if line.startswith("context"))
    (bars,) = (number for number, line in enumerate(lines) if line.startswith("next"))
    assert ladder > bars + 9


def test_characters_are_shaded_by_surprisal(checkpoint):
    styles = styles_of(draft_of(checkpoint, "thezzzz"), "z")
    assert len(styles) == 4
    assert all("bg:#" in style for style in styles)


def test_unknown_characters_are_underlined(checkpoint):
    (style,) = styles_of(draft_of(checkpoint, "qu\xc6"), "\xc6")
    assert "underline" in style


def test_marks_without_a_letter_get_a_dotted_circle(checkpoint):
    assert "\n\u25cc\u0301e\u0301\u23ce\n\u25cc\u0301" in shown(
        draft_of(checkpoint, "\u0301e\u0301\n\u0301")
    )


def test_screen_shows_progress_and_notices(checkpoint):
    text = shown(draft_of(checkpoint, "the quick " * 1500))
    assert "read 100 of 10,000" in text
    assert "5,000 of 15,000 omitted" in text


def test_bytes_are_decoded_for_display(checkpoint):
    vocabulary = Vocabulary("".join(map(chr, [*range(97, 123), 0xA9, 0xC3])))
    config = ReadingConfig(paths=("x",), level="byte")
    draft = draft_of(with_spec(checkpoint, corpus=config, vocabulary=vocabulary), "a\xe9\u65e5b")
    assert "\na\xe9\u65e5b" in shown(draft)
    draft.move(-1)
    draft.delete()
    assert "\na\xe9\\xe6\\x97b" in shown(draft)
