import numpy as np
import pytest
from conftest import TEXT, tokenizer_of
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import CorpusError
from charlstm.text.vocabulary import UNKNOWN, Vocabulary


def of(characters, **options):
    return tokenizer_of(Vocabulary.of(characters), unknown_probability=0.01, **options)


BYTES = "".join(map(chr, range(256)))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_round_trip(text):
    tokenizer = of(BYTES, level="byte")
    symbols = tokenizer.to_chars(text)
    assert symbols.encode("latin-1") == text.encode()
    assert tokenizer.text_of(tokenizer.encode(symbols)) == text
    assert tokenizer.num_bytes(symbols) == len(text.encode())


@given(st.text())
def test_any_text_can_be_normalized_and_split_into_documents(text):
    for options in ({}, {"level": "byte"}, {"normalize": "nfc"}, {"keep_line_ends": True}):
        tokenizer = of(TEXT, **options)
        symbols = tokenizer.to_chars(text)
        split = tokenizer.encode_documents([symbols, "", symbols])
        assert split.num_chars == 2 * len(symbols)
        assert split.num_bytes == 2 * tokenizer.num_bytes(symbols)
        kept = tokenizer.without_unknown(symbols)
        tokenizer.require_known(kept)
        assert not np.any(tokenizer.encode(kept) == UNKNOWN)


def test_line_ends_are_normalized_like_the_corpus():
    assert of("ab").to_chars("a\r\nb\r") == "a\nb\n"
    for kept in (of("ab", keep_line_ends=True), of("ab", level="byte")):
        assert kept.to_chars("a\r\nb\r") == "a\r\nb\r"
        assert kept.settings()["keep_line_ends"]


def test_at_most_five_unknown_characters_are_named():
    with pytest.raises(CorpusError, match=r"'A' \(U\+0041\).*'E' \(U\+0045\) and 2 more"):
        of("ab").require_known("AaBbCDEFG")


def test_readable_has_a_text_for_each_predictable_id():
    assert of("ab").readable == (None, "a", "b")
    assert of("a\xff", level="byte").readable == (None, "a", "\\xff")
    assert len(of("ab")) == 3
    assert of("ab").bos_id == 3
    assert of("ab").unknown_probability == 0.01
