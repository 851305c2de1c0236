import re
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import ReadingConfig
from charlstm.errors import ConfigError, PatternError
from charlstm.reading import patterns
from charlstm.reading.documents import split_documents
from charlstm.reading.patterns import found_in

# Catastrophic backtracking.
ENDLESS, LINE = "(a|aa)+$", "a" * 10_000 + "!"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(patterns, "MAX_SECONDS", 0.3)


@settings(max_examples=25)
@given(
    st.sampled_from(["^a", "^a+", "(?i)B|é$", "x*", "\\s?\\ud800", "a\nb|c", "[^\x00]{2}"]),
    st.lists(st.text("abBc é\x00\ud800\r\ufdd0", max_size=6), max_size=6),
)
def test_found_in_agrees_with_re(pattern, lines):
    assert found_in(pattern, lines) == [re.search(pattern, line) is not None for line in lines]


@pytest.mark.parametrize("pattern", [ENDLESS, r"(\w+\s?)*$", "(x+x+)+y"])
def test_catastrophic_patterns_time_out(impatient, pattern):
    line = {"(x+x+)+y": "x"}.get(pattern, "a") * 100_000 + "!"
    started = time.process_time()
    with pytest.raises(PatternError, match=r"took more than 0\.3 seconds, on line 1 "):
        found_in(pattern, [line])
    assert time.process_time() - started < 5


def test_timeout_error_names_pattern_and_line(impatient):
    with pytest.raises(
        PatternError, match=r"re:\(a\|aa\)\+\$ took .* on line 1,003 \('aaa.*'\.\.\.\)"
    ):
        found_in(ENDLESS, ["a", "b", "a", LINE, "c"], first_number=1000)


def test_time_limit_applies_to_all_lines_together(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(patterns.time, "monotonic", lambda: next(clock))
    with pytest.raises(PatternError, match="on line 6 "):
        found_in(ENDLESS, ["ab"] * 5 + [LINE] * 10)


def test_line_numbers_continue_across_pieces(impatient):
    pieces = ["a\nb\nc", "\nd\n", f"e\n{LINE}\n"]
    with pytest.raises(PatternError, match="on line 6 "):
        list(split_documents(pieces, ENDLESS))


def test_command_error_names_file_and_line(impatient, run, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("quick\n" * 50)
    (tmp_path / "texts/b.txt").write_text(f"fox\n{LINE}\n" * 50)
    err = run.fails(1, "train", "texts", "--split-documents", f"re:{ENDLESS}", "--steps", 1)
    assert re.match(r"charlstm: .*b\.txt: the pattern re:\(a\|aa\)\+\$ took .* on line 2 ", err)
    assert err.count("\n") == 1


def test_search_releases_the_interpreter_lock(impatient):
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


@pytest.mark.parametrize(
    "how",
    [
        "re:(?R)",
        "re:((a{1000}){1000}){1000}",
        "re:((a{1000}){1000}){1000}b{0}",
        "re:a{" + "9" * 5000 + "}",
        "re:(?P<x>a)(?P<x>b)",
    ],
)
def test_invalid_and_memory_hungry_patterns_are_rejected(how):
    with pytest.raises(ConfigError, match="--split-documents"):
        ReadingConfig(split_documents=how)
