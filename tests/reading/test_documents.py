import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import ReadingConfig
from charlstm.errors import ConfigError
from charlstm.reading import documents
from charlstm.reading.documents import EOS, documents_in, split_documents, with_eos

pieces = st.lists(st.text("ab \n", max_size=7), max_size=6)


def found(pieces, how):
    """Return the documents as strings."""
    text, starts = "", []
    for piece, begins in split_documents(pieces, how):
        starts += [len(text) + begin for begin in begins]
        text += piece
    assert text == "".join(pieces)
    assert starts == sorted(set(starts))
    ends = [*starts[1:], len(text)][: len(starts)]
    texts = [text[a:b] for a, b in zip(starts, ends, strict=True)]
    assert documents_in(text, how) == texts
    return texts


@given(pieces)
def test_without_a_rule_the_text_is_one_document(pieces):
    text = "".join(pieces)
    assert found(pieces, None) == ([text] if text else [])


STARTS = {
    "lines": lambda line, before: True,
    "blank-lines": lambda line, before: bool(line.strip()) and not before.strip(),
    "^a": lambda line, before: line.startswith("a"),
}


@pytest.mark.parametrize("how", STARTS)
@given(pieces)
def test_rules_decide_which_lines_start_documents(how, pieces):
    lines = re.findall(r"[^\n]*\n|[^\n]+", "".join(pieces))
    expected = lines[:1]
    for before, line in pairwise(lines):
        if STARTS[how](line, before):
            expected.append(line)
        else:
            expected[-1] += line
    assert found(pieces, how) == expected


@pytest.mark.parametrize("how", ["lines", "blank-lines", "^b"])
@pytest.mark.parametrize("length", [3, 7, 30])
def test_endless_lines_are_processed_in_parts(monkeypatch, how, length):
    monkeypatch.setattr(documents, "_MAX_HELD_CHARS", 10)
    seen = []

    def pieces():
        for _ in range(100):
            seen.append("b" * length)
            yield seen[-1]

    for number, (text, starts) in enumerate(split_documents(pieces(), how)):
        assert starts == ([0] if number == 0 else [])
        assert len(text) <= 10 + length
        assert sum(map(len, seen)) <= (number + 1) * (10 + length) + length


def test_matches_don_t_depend_on_piece_boundaries(monkeypatch):
    monkeypatch.setattr(documents, "_MAX_HELD_CHARS", 10)
    pieces = ["first line\nsec", "ond\nthird line\n", "second\n"]
    assert found(pieces, "^second$") == ["first line\n", "second\nthird line\n", "second\n"]


def test_a_line_in_parts_is_blank_only_if_all_parts_are(monkeypatch):
    monkeypatch.setattr(documents, "_MAX_HELD_CHARS", 4)
    pieces = ["abcdefgh", "\n", "second\n", "       ", " \n", "third"]
    assert found(pieces, "blank-lines") == ["abcdefgh\nsecond\n        \n", "third"]


@given(pieces, st.sampled_from([None, "blank-lines", "^a"]))
def test_with_eos_adds_one_eos_per_document(pieces, how):
    marked, starts = "", []
    for piece, begins in with_eos(split_documents(pieces, how)):
        starts += [len(marked) + begin for begin in begins]
        marked += piece
    expected = documents_in("".join(pieces), how)
    assert marked == "".join(document + EOS for document in expected)
    assert [marked[a:b] for a, b in zip(starts, [*starts[1:], None], strict=False)] == [
        document + EOS for document in expected
    ]


def test_with_eos_shifts_the_starts_of_many_documents():
    (marked, starts), (last, none) = with_eos(split_documents(["ab\nc\ndef\ng\n"], "lines"))
    assert marked + last == "".join(f"{line}\n{EOS}" for line in ("ab", "c", "def", "g"))
    assert starts == [0, 4, 7, 12]
    assert (last, none) == (EOS, [])


@pytest.mark.parametrize(
    ("lines", "is_list"),
    [
        (["a"] * 199 + [""], False),
        (["a"] * 200 + [""], True),
        (["a" * 40] * 200 + [""], True),
        (["a" * 41] * 200 + [""], False),
        # The last complete line counts; the rest may be truncated.
        (["a"] * 200 + ["b" * 41, ""], False),
        (["a"] * 200 + ["b" * 41], True),
        (["anna", ""] * 300, False),
    ],
)
def test_looks_like_list_needs_many_short_lines(lines, is_list):
    assert documents.looks_like_list("\n".join(lines)) == is_list


@pytest.mark.parametrize(
    ("rule", "documents"),
    [
        ("lines", ["a\n", "lines\n", "x word\n", "two words"]),
        ("blank-lines", ["a\nlines\nx word\ntwo words"]),
        ("^x", ["a\nlines\n", "x word\ntwo words"]),
        ("re:word", ["a\nlines\n", "x word\n", "two words"]),
        ("re:lines", ["a\n", "lines\nx word\ntwo words"]),
        ("two words", ["a\nlines\nx word\n", "two words"]),
    ],
)
def test_document_rule_is_a_name_or_a_pattern(rule, documents):
    assert ReadingConfig(split_documents=rule).split_documents == rule
    assert documents_in("a\nlines\nx word\ntwo words", rule) == documents


@pytest.mark.parametrize("slip", ["line", "blank_lines", "blank-line", "re"])
def test_plain_word_is_rejected_as_a_document_rule(slip):
    with pytest.raises(ConfigError, match=f"'{slip}' is neither .* write re:{slip}$"):
        ReadingConfig(split_documents=slip)
