import numpy as np
import pytest
from conftest import tokenizer_of
from hypothesis import given
from hypothesis import strategies as st

from charlstm.text import duplicates
from charlstm.text.duplicates import DocumentHashes, copied_fraction
from charlstm.text.vocabulary import Vocabulary

TOKENIZER = tokenizer_of(Vocabulary.of("abc\n"), split_documents="lines")
documents = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=30)


@given(documents, documents)
def test_have_finds_exactly_the_shared_documents(some, others):
    seen = DocumentHashes(TOKENIZER.encode_documents([item + "\n" for item in others]), TOKENIZER)
    # With or without EOS.
    for end in ("\n", ""):
        found = seen.have(TOKENIZER.encode_documents([item + end for item in some]))
        assert found.tolist() == [item in others for item in some]


@pytest.mark.parametrize("piece_chars", [7, 1 << 16])
def test_have_finds_long_and_short_documents_with_or_without_eos(monkeypatch, piece_chars):
    monkeypatch.setattr(duplicates, "_PIECE_CHARS", piece_chars)
    long = "abc" * 3000
    seen = DocumentHashes(
        TOKENIZER.encode_documents([long, "a\n", "b\n", long[:-1], "ab\n"]), TOKENIZER
    )
    asked = ["a", long + "\n", "c\n", long[1:], "b", long[:-1], "ba\n"]
    assert seen.have(TOKENIZER.encode_documents(asked)).tolist() == [1, 1, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("length", [1, 10_000])
def test_documents_with_unknown_characters_are_never_found(monkeypatch, length):
    monkeypatch.setattr(duplicates, "_PIECE_CHARS", 100)
    seen = DocumentHashes(TOKENIZER.encode_documents(["a" * length + "x\n", "b\n"]), TOKENIZER)
    asked = TOKENIZER.encode_documents(["a" * length + "y\n", "a" * length + "x\n", "b\n"])
    assert seen.have(asked).tolist() == [False, False, True]


def test_an_empty_text_contains_no_documents():
    nothing = TOKENIZER.encode_documents([])
    assert DocumentHashes(nothing, TOKENIZER).have(TOKENIZER.encode_documents(["a"])).tolist() == [
        False
    ]
    assert DocumentHashes(nothing, TOKENIZER).have(nothing).tolist() == []


@pytest.mark.parametrize("piece_chars", [7, 100, 1 << 22])
def test_copied_fraction_estimates_the_copied_part(monkeypatch, piece_chars):
    monkeypatch.setattr(duplicates, "_PIECE_CHARS", piece_chars)
    own, other = np.random.default_rng(0).integers(1, 30, (2, 5000), np.uint8)
    assert copied_fraction(own[777:3210], own) == pytest.approx(1, abs=0.02)
    assert copied_fraction(
        np.append(own[:1001], other[:3003]).astype(np.uint16), own
    ) == pytest.approx(0.25, abs=0.02)
    for text, other_text in ((other, own), (own[:31], own), (own, own[:31]), (own[:0], own[:0])):
        assert copied_fraction(text, other_text) == 0
