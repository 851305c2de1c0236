"""Tests of the screen of `charlstm play`."""

import unicodedata

import numpy as np
import pytest
from conftest import TEXT, with_spec
from prompt_toolkit.utils import get_cwidth

from charlstm.config import ReadingConfig, SampleConfig
from charlstm.inference.draft import Draft
from charlstm.inference.prediction import predict_next
from charlstm.inference.predictor import Predictor
from charlstm.text.vocabulary import Vocabulary
from charlstm.views.draft import CURSOR, Size, screen

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


def plain(lines):
    return ["".join(text for _, text in line) for line in lines]


def shown(draft, size=(24, 80)):
    return "\n".join(plain(screen(draft, Size(*size), name="tiny")))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [(24, 80), (24, 40), (50, 200), (5, 10), (1, 1), (2, 3)])
@pytest.mark.parametrize("back", [0, 40, 10_000])
def test_screen_has_exact_size(checkpoint, text, size, back):
    draft = draft_of(checkpoint, TEXTS[text])
    draft.move(-back)
    lines = screen(draft, Size(*size), name="tiny")
    assert len(lines) == size[0]
    assert max(map(get_cwidth, plain(lines))) <= max(size[1], 2)
    assert sum(style == CURSOR for line in lines for style, _ in line) == 1
    for char in "".join(plain(lines)):
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


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
    (line,) = (
        line
        for line in screen(draft_of(checkpoint, "thezzzz"), Size(24, 80), name="tiny")
        if "".join(text for _, text in line).startswith("the")
    )
    assert all("bg:#" in style for style, text in line if text == "z")


def test_unknown_characters_are_underlined(checkpoint):
    lines = screen(draft_of(checkpoint, "qu\xc6"), Size(24, 80), name="tiny")
    assert any("underline" in style for line in lines for style, text in line if text == "\xc6")


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
