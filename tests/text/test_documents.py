import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import CorpusConfig
from charlstm.errors import ConfigError
from charlstm.text import documents
from charlstm.text.documents import (
    documents_in,
    split_documents,
    with_ends,
)
from charlstm.text.vocabulary import END

pieces = st.lists(st.text("ab \n", max_size=7), max_size=6)


def found(pieces, how):
    """The documents as strings."""
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
def test_a_whole_text_is_one_document(pieces):
    text = "".join(pieces)
    assert found(pieces, None) == ([text] if text else [])


@given(pieces)
def test_lines(pieces):
    assert found(pieces, "lines") == re.findall(r"[^\n]*\n|[^\n]+", "".join(pieces))


@given(pieces)
def test_behind_blank_lines(pieces):
    text = "".join(pieces)
    expected, blank = [], False
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if not expected or (blank and line.strip()):
            expected.append("")
        expected[-1] += line
        blank = not line.strip()
    assert found(pieces, "blank-lines") == expected


@given(pieces)
def test_at_lines_where_a_pattern_is_found(pieces):
    text = "".join(pieces)
    expected = []
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if not expected or re.search("^a", line):
            expected.append("")
        expected[-1] += line
    assert found(pieces, "^a") == expected


@pytest.mark.parametrize("how", ["lines", "blank-lines", "^b"])
@pytest.mark.parametrize("length", [3, 7, 30])
def test_an_endless_line_is_not_held(monkeypatch, how, length):
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


def test_a_line_is_matched_whole_wherever_the_pieces_end(monkeypatch):
    monkeypatch.setattr(documents, "_MAX_HELD_CHARS", 10)
    pieces = ["first line\nsec", "ond\nthird line\n", "second\n"]
    assert found(pieces, "^second$") == ["first line\n", "second\nthird line\n", "second\n"]


def test_a_line_that_comes_in_parts_is_blank_only_if_all_of_it_is(monkeypatch):
    monkeypatch.setattr(documents, "_MAX_HELD_CHARS", 4)
    pieces = ["abcdefgh", "\n", "second\n", "       ", " \n", "third"]
    assert found(pieces, "blank-lines") == ["abcdefgh\nsecond\n        \n", "third"]


@given(pieces, st.sampled_from([None, "blank-lines", "^a"]))
def test_each_document_gets_its_end(pieces, how):
    marked, starts = "", []
    for piece, begins in with_ends(split_documents(pieces, how)):
        starts += [len(marked) + begin for begin in begins]
        marked += piece
    expected = documents_in("".join(pieces), how)
    assert marked == "".join(document + END for document in expected)
    assert [marked[a:b] for a, b in zip(starts, [*starts[1:], None], strict=False)] == [
        document + END for document in expected
    ]


def test_each_of_many_documents_in_one_piece_gets_its_end_and_its_place():
    (marked, starts), (last, none) = with_ends(split_documents(["ab\nc\ndef\ng\n"], "lines"))
    assert marked + last == "".join(f"{line}\n{END}" for line in ("ab", "c", "def", "g"))
    assert starts == [0, 4, 7, 12]
    assert (last, none) == (END, [])


def test_a_list_is_made_of_short_lines():
    assert documents.looks_like_list("anna\n" * 300)
    assert documents.looks_like_list("anna\n" * 300 + "be")
    assert not documents.looks_like_list("anna\n" * 50)
    assert documents.looks_like_list("a\n" * 200)
    assert not documents.looks_like_list("a\n" * 199)
    assert documents.looks_like_list(("a" * 40 + "\n") * 200)
    assert not documents.looks_like_list(("a" * 41 + "\n") * 200)
    # The last full line counts, what stands after it may be cut.
    assert not documents.looks_like_list("a\n" * 200 + "b" * 41 + "\n")
    assert documents.looks_like_list("a\n" * 200 + "b" * 41)
    assert not documents.looks_like_list("anna\n\n" * 300)
    assert not documents.looks_like_list("a line of a book, which is longer than names\n" * 300)


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
    assert CorpusConfig(split_documents=rule).split_documents == rule
    assert documents_in("a\nlines\nx word\ntwo words", rule) == documents


@pytest.mark.parametrize("slip", ["line", "blank_lines", "blank-line", "re"])
def test_plain_word_is_rejected_as_a_document_rule(slip):
    with pytest.raises(ConfigError, match=f"'{slip}' is neither .* needs re:{slip}$"):
        CorpusConfig(split_documents=slip)
