import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import CorpusError
from charlstm.text.vocabulary import UNKNOWN, Vocabulary, least_unknown_probability

any_text = st.text(st.characters())  # lone surrogates included


@given(any_text.filter(bool))
def test_decoding_inverts_encoding(text):
    vocabulary = Vocabulary.of(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(any_text.filter(bool), any_text)
def test_exactly_the_characters_outside_the_vocabulary_are_unknown(chars, text):
    vocabulary = Vocabulary.of(chars)
    expected = [char not in chars for char in text]
    assert (vocabulary.encode(text) == UNKNOWN).tolist() == expected
    assert set(vocabulary.unknown_in(text)) == set(text) - set(chars)


def test_ids_are_in_code_point_order_with_bos_last():
    vocabulary = Vocabulary.of("cab\U0001f600")
    assert vocabulary.encode("abc\U0001f600").tolist() == [1, 2, 3, 4]
    assert vocabulary.bos_id == 5
    assert vocabulary.decode(np.array([UNKNOWN, 1, vocabulary.bos_id])) == "\ufffda"


def test_ids_have_the_smallest_integer_type():
    assert Vocabulary.of("ab").encode("ab").dtype == np.uint8
    assert Vocabulary.of("".join(map(chr, range(300)))).encode("ab").dtype == np.uint16


@pytest.mark.parametrize("characters", ["", "ba", "aa", "acb", "abb"])
def test_unsorted_and_repeated_characters_are_rejected(characters):
    with pytest.raises(CorpusError):
        Vocabulary(characters)


def test_least_unknown_probability_is_one_in_n_plus_one():
    assert least_unknown_probability(9) == pytest.approx(1 / 10)
    assert least_unknown_probability(999_999) == pytest.approx(1e-6)
