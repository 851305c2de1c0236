import pytest
from conftest import SMALL

from charlstm.inference.prediction import Candidate, NextCharacters
from charlstm.reading.documents import EOS
from charlstm.text.visible import named, visible


@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("a", "a"),
        (" ", "\u2423"),
        ("\n", "\u23ce"),
        ("\t", "\u21e5"),
        (EOS, "(end)"),
        (None, "(unknown)"),
        ("\u0301", "\u25cc\u0301"),
        ("\u0903", "\u25cc\u0903"),
        ("\u200d", r"\u200d"),
        ("\ufe0f", r"\ufe0f"),
        ("\u202f", r"\u202f"),
        ("\xa0", r"\xa0"),
        ("\r", r"\x0d"),
        ("\x1b", r"\x1b"),
        ("\u202e", r"\u202e"),
        ("\ud800", r"\ud800"),
    ],
)
def test_every_character_has_a_visible_form(char, shown):
    assert named(char) == shown
    prediction = NextCharacters(prefix="", entropy_bits=0.0, next=(Candidate(char, 1.0),))
    assert f">{shown}</td>" in prediction._repr_html_()


def test_combining_marks_stay_on_letters_and_spaces_can_be_kept():
    assert named("") == ""
    assert visible("e\u0301 \n", keep=" ") == "e\u0301 \u23ce"


def test_byte_level_previews_show_characters(run, here):
    (here / "bytes.txt").write_text("m\u00e5l\u00e5\n\u00e5sa\n" * 200, encoding="utf-8")
    shown = run("train", "bytes.txt", "--level", "byte", "--steps", 30, *SMALL)[2]
    for text in (shown, run("runs", "show", "bytes")[1]):
        assert "\u00e5" in text
        assert "\u00c3" not in text


def test_previews_show_the_end_of_documents(run, here):
    for number in range(5):
        (here / f"{number}.txt").write_text("so it goes. " * 9, encoding="utf-8")
    shown = run("train", ".", "--include", "*.txt", "--steps", 20, "--run", "ends", *SMALL)[2]
    for text in (shown, run("runs", "show", "ends", "--details")[1]):
        assert "(end)" in text
        assert EOS not in text
