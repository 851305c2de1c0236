"""Tests of keys, errors and signals of `charlstm play`, without a terminal."""

import signal

import numpy as np
import pytest
from conftest import posix
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from charlstm.config import SampleConfig
from charlstm.errors import CheckpointError
from charlstm.inference.draft import Draft
from charlstm.inference.predictor import Predictor
from charlstm.views.play import play


@pytest.fixture
def draft(checkpoint):
    return Draft(Predictor(checkpoint), SampleConfig(), generator=np.random.default_rng(0))


@pytest.fixture
def typed(draft):
    """Return a function (keys) -> resulting text."""

    def typed(keys):
        with create_pipe_input() as source:
            source.send_text(keys)
            with create_app_session(input=source, output=DummyOutput()):
                play(draft, name="tiny")
        return draft.text

    return typed


@pytest.mark.parametrize(
    ("keys", "left"),
    [
        ("a\x01\x0b\x1b[2~\x1b[15;5~b", "ab"),  # Ctrl-A, Ctrl-K, Insert, Ctrl-F5
        ("\x1bxy", "xy"),  # Alt-x
        ("ab\x1b[D\x1b[Dc\x1b[C\r", "ca\nb"),
        ("ab\x1b[D\x1b[D\x1b[Fc\x1b[Hd", "dabc"),  # End, Home
        ("\x1b[200~two\rlines\x1b[201~", "two\nlines"),
        ("ab\x1b[3~\x7f\x08\x7f", ""),
    ],
)
def test_keys_without_binding_insert_nothing(typed, keys, left):
    assert typed(f"{keys}\x04") == left


def test_ctrl_c_raises_keyboard_interrupt(typed, draft, capsys):
    with pytest.raises(KeyboardInterrupt):
        typed("quick\x03")
    assert draft.text == "quick"
    assert capsys.readouterr().out == "quick\n"


def test_escape_and_ctrl_p_wait_for_the_next_key(typed):
    left = typed("\x1011\x1b2\x1bOP\x1bqx")
    assert (len(left), left[1]) == (4, "1")


@pytest.mark.parametrize("where", ["work", "gates", "insert"])
def test_error_quits_and_prints_the_text(typed, draft, monkeypatch, capsys, where):
    method = getattr(draft, where)

    def fail(*arguments):
        if len(draft.text) > 2:
            raise CheckpointError("the weights are too large")
        return method(*arguments)

    monkeypatch.setattr(draft, where, fail)
    with pytest.raises(CheckpointError, match="too large"):
        typed("quick")
    assert capsys.readouterr().out.startswith("qui")


def test_closed_terminal_quits(draft):
    with create_pipe_input() as source:
        source.close()
        with create_app_session(input=source, output=DummyOutput()):
            play(draft, name="tiny")


@posix
def test_signal_is_raised_after_terminal_is_restored(typed, draft, monkeypatch):
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    monkeypatch.setattr(draft, "gates", lambda: signal.raise_signal(signal.SIGTERM) or [{}])
    try:
        typed("")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
