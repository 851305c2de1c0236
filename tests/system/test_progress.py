import contextlib
import io
import re
import sys

import pytest

from charlstm.system.progress import character_bar, move, progress_bar
from charlstm.system.terminal import waiting


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _color_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("stream", "is_shown", "shows"),
    [
        (Terminal, None, True),
        (io.StringIO, None, False),
        (io.StringIO, True, True),
        (Terminal, False, False),
    ],
)
def test_progress_bar_is_shown_in_a_terminal_or_on_request(monkeypatch, stream, is_shown, shows):
    monkeypatch.setattr(sys, "stderr", stream())
    with progress_bar(is_shown=is_shown, mininterval=0, leave=True) as bar:
        move(bar, 0.25, "5k chars/s, 0:30 left")
        move(bar, 0.5, "6k chars/s, 0:20 left")
    written = sys.stderr.getvalue()
    assert bool(re.search(r" 50% \|.*\| 6k chars/s, 0:20 left", written)) == shows
    assert bool(written) == shows


def test_character_bar_appears_after_a_second(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with character_bar(100, "scored") as progress:
        progress(50)
    assert "scored" not in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("stream", "is_shown", "shows"),
    [(Terminal, True, True), (io.StringIO, True, False), (Terminal, False, False)],
)
def test_waiting_message_is_shown_until_the_block_ends(monkeypatch, stream, is_shown, shows):
    monkeypatch.setattr(sys, "stderr", stream())
    with contextlib.suppress(ValueError), waiting("reading", is_shown=is_shown):
        assert sys.stderr.getvalue() == "reading ..." * shows
        raise ValueError("the line is also erased after an error")
    assert sys.stderr.getvalue() == "reading ...\r\x1b[K" * shows
