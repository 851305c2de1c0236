import re
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.errors import PatternError
from charlstm.text import patterns
from charlstm.text.documents import split_documents
from charlstm.text.patterns import found_in

# Tries 2 ** 40 ways.
ENDLESS, LINE = "(a+)+$", "a" * 40 + "!"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(patterns, "MAX_SECONDS", 1.0)


@settings(max_examples=25)
@given(
    st.sampled_from(["^a", "^a+", "(?i)B|é$", "x*", "\\s?\\ud800", "a\nb|c", "[^\x00]{2}"]),
    st.lists(st.text("abBc é\x00\ud800\r\ufdd0", max_size=6), max_size=6),
)
def test_another_process_finds_what_re_finds(pattern, lines):
    assert found_in(pattern, lines) == [re.search(pattern, line) is not None for line in lines]


def test_it_is_asked_again_and_again_in_batches(monkeypatch):
    monkeypatch.setattr(patterns, "_BATCH_CHARS", 10)
    lines = ["ab", "", "b" * 30, "aa", "x", "a", "aab", "b"]
    assert found_in("a+", lines) == ["a" in line for line in lines]


def test_what_takes_too_long_is_named(impatient):
    with pytest.raises(
        PatternError, match=r"re:\(a\+\)\+\$ took .* on line 1,003 \('aaa.*'\.\.\.\)"
    ):
        found_in(ENDLESS, ["a", "b", "a", LINE, "c"], first_number=1000)


def test_lines_are_counted_through_all_pieces(impatient):
    pieces = ["a\nb\nc", "\nd\n", f"e\n{LINE}\n"]
    with pytest.raises(PatternError, match="on line 6 "):
        list(split_documents(pieces, ENDLESS))


def test_a_command_names_the_file_and_the_line(impatient, run, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("quick\n" * 50)
    (tmp_path / "texts/b.txt").write_text(f"fox\n{LINE}\n" * 50)
    code, out, err = run("train", "texts", "--split-documents", f"re:{ENDLESS}", "--steps", 1)
    assert (code, out) == (1, "")
    assert re.match(r"charlstm: .*b\.txt: the pattern re:\(a\+\)\+\$ took more .* on line 2 ", err)
    assert err.count("\n") == 1


def test_other_threads_go_on_meanwhile(impatient):
    """Searched here, it would hold the interpreter's lock."""
    caught = []

    def search():
        try:
            found_in(ENDLESS, [LINE])
        except PatternError as error:
            caught.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    num_turns = 0
    while thread.is_alive():
        num_turns += 1
        time.sleep(0.01)
    assert len(caught) == 1
    assert num_turns > 3


@pytest.mark.parametrize("executable", ["", "/nowhere/python", "false"])
def test_where_there_is_no_other_process_it_is_searched_here(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    assert found_in("a+", ["a", "b"]) == [True, False]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert found_in("a+", ["a", "b"]) == [True, False]


def test_a_pattern_that_cannot_take_long_needs_no_process(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(patterns.subprocess, "run", refuse)
    assert found_in("^X:", ["X: 1", "Y"]) == [True, False]
    with pytest.raises(AssertionError):
        found_in("^X: ?", ["X: 1"])
