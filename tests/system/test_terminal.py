import os
import subprocess
import unicodedata

import pytest
from conftest import posix
from hypothesis import given
from hypothesis import strategies as st

from charlstm.system.terminal import escape, escape_line, shell_word


@given(st.text(st.characters()))
def test_escaped_text_has_no_control_characters(text):
    shown = escape(text)
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in shown)
    assert not any(unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRI"} for c in shown)
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode ☃", "plain ünïcode ☃"),
        ("\x1b]52;c;AAAA\x07", r"\x1b]52;c;AAAA\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eabc", r"\u202eabc"),
        ("a\rb\n", r"a\x0db\x0a"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
    ],
)
def test_control_characters_are_shown_as_code_points(text, shown):
    assert escape(text) == shown


def test_escape_keeps_given_characters_and_escape_line_joins_lines():
    assert escape("a\n\tb\r", keep="\n\t") == "a\n\tb\\x0d"
    assert escape_line("two\nlines") == "two lines"


@posix
@pytest.mark.parametrize(
    "word", ["plain", "two words", "it's", "a\nb'\\n", "\x1b[31m\x9b", "\u202eab", "\udcff\udc80 x"]
)
def test_shell_word_is_one_bash_word_without_control_characters(word):
    quoted = shell_word(word)
    assert escape(quoted) == quoted
    done = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True)
    assert done.stdout == os.fsencode(word)
