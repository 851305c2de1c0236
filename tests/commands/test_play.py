"""Tests of `charlstm play` in a pseudo-terminal."""

import re
import sys
from types import SimpleNamespace

import pytest
from conftest import posix

STARTED = b"\x1b[?1049h"
DRAWN = b"^D quit"


@pytest.fixture
def play(stored, here):
    from pseudo_terminal import in_a_terminal

    def play(*keys, options=(), **more):
        """Return what remains on the terminal, and everything written to it."""
        written = in_a_terminal(here, ["play", *options], keys=[(DRAWN, b""), *keys], **more)
        _, left = written.rsplit("\x1b[?1049l", 1)
        left = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", left).replace("\r\n", "\n")
        return left.removesuffix("\n"), written

    return play


@posix
def test_keys_insert_move_and_quit(play):
    keys = b"qX\x7fu" + b"\x1b[D" * 2 + b"a" + b"\x1b[F" + b"\t" + b"\x102" + b"\x1b1" + b"\x04"
    left, written = play((b"", keys), options=["--prime", "the "])
    assert re.fullmatch(r"the aqu...", left, re.DOTALL)
    assert STARTED.decode() in written


@posix
def test_ctrl_w_writes_a_line_that_remains(play):
    keys = [(b"", b"\x1b[B\x17"), ("\u23ce".encode(), b"\x1bq")]
    left, _ = play(*keys, options=["--temperature", "1", "--seed", "1", "--prime", "qu"])
    assert left.startswith("qu")
    assert left.endswith("\n")


@posix
def test_ctrl_c_exits_with_130_and_prints_the_text(play):
    left, _ = play((b"", b"quick\x03"), code=130)
    assert left == "quick"


@posix
def test_pasted_escape_sequences_never_reach_the_terminal(play):
    pasted = b"\x1b[200~a\x1b]52;c;eA==\x07\xe2\x80\xae\xff\rb\x1b[201~\x04"
    left, written = play((b"", pasted), NO_COLOR="1")
    assert left == r"a\x1b]52;c;eA==\x07\u202e\udcff" + "\nb"
    assert "\x1b]52" not in written
    assert "\u202e" not in written
    assert "\x1b[48;5" not in written


def test_play_without_terminal_is_an_error(run):
    err = run.fails(2, "play")
    assert err == "charlstm: play needs a terminal; in a pipe use charlstm predict or sample\n"


def pretend_a_terminal(monkeypatch, term):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", term)


def test_play_with_dumb_terminal_is_an_error(run, monkeypatch):
    pretend_a_terminal(monkeypatch, "dumb")
    err = run.fails(2, "play")
    assert err == "charlstm: TERM=dumb: play needs a terminal that can move its cursor\n"


def test_play_without_extra_names_it(run, monkeypatch):
    pretend_a_terminal(monkeypatch, "xterm")
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    assert "pip install 'charlstm[play]'" in run.fails(2, "play")
