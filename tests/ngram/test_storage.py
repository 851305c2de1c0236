from dataclasses import replace

import numpy as np
import pytest
from conftest import tokenizer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.errors import TensorFileError
from charlstm.ngram.interpolation import InterpolatedNgrams, LogLinearWeights
from charlstm.ngram.kneser_ney import NgramModel
from charlstm.ngram.order_selection import fit_ngrams_of_order
from charlstm.ngram.storage import file_owner, read_ngrams, read_val_nats, write_ngrams
from charlstm.system.tensor_file import to_bytes
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

ABC = Vocabulary("abc")
TOKENIZER = tokenizer_of(ABC)
TEXT = EncodedText.of(["abcabcabba" * 20, "cab"], ABC)


@pytest.fixture
def counts():
    ngrams = fit_ngrams_of_order(TEXT, TOKENIZER, 3)
    return InterpolatedNgrams(ngrams=ngrams, mixture=LogLinearWeights.typical(3))


def write(path, counts):
    write_ngrams(path, counts, owner="me", mode=0o666)


@pytest.fixture
def path(tmp_path, counts):
    path = tmp_path / "counts.safetensors"
    write(path, counts)
    return path


def test_read_returns_what_was_written(path, counts):
    again = read_ngrams(path, TOKENIZER, owner="me")
    np.testing.assert_array_equal(again.ngrams.score(TEXT), counts.ngrams.score(TEXT))
    np.testing.assert_array_equal(again.mixture.weights_K2, counts.mixture.weights_K2)


def test_read_rejects_files_of_another_model_or_vocabulary(path):
    with pytest.raises(TensorFileError, match="another model"):
        read_ngrams(path, TOKENIZER, owner="you")
    with pytest.raises(TensorFileError, match="damaged"):
        read_ngrams(path, tokenizer_of(Vocabulary("abcd")), owner="me")


def test_validation_loss_is_stored_and_checked(path, counts):
    assert read_val_nats(path, owner="me") is None
    write(path, replace(counts, val_nats_per_char=1.25))
    assert read_val_nats(path, owner="me") == 1.25
    assert read_ngrams(path, TOKENIZER, owner="me").val_nats_per_char == 1.25
    with pytest.raises(TensorFileError, match="another model"):
        read_val_nats(path, owner="you")
    for impossible in (-1.0, 1e9, "one", [1.0], True):
        write(path, replace(counts, val_nats_per_char=impossible))
        for read in (
            lambda: read_val_nats(path, owner="me"),
            lambda: read_ngrams(path, TOKENIZER, owner="me"),
        ):
            with pytest.raises(TensorFileError, match="damaged: its validation loss is invalid"):
                read()


@pytest.mark.parametrize("level", [0, 1])
def test_read_rejects_ngrams_that_predict_bos(path, counts, level):
    first, *longer = counts.ngrams.levels
    if level:
        # Replace the last continuation of a context by BOS.
        key_G = longer[0].key_G.copy()
        key_G[-1] = key_G[-1] // 5 * 5 + 4
        longer[0] = replace(longer[0], key_G=key_G)
    else:
        discounted_G = first.discounted_G.copy()
        discounted_G[-1] = 0.1
        first = replace(first, discounted_G=discounted_G)
    ngrams = NgramModel([first, *longer], num_tokens=4, unknown_probability=1e-4)
    write(path, InterpolatedNgrams(ngrams=ngrams, mixture=LogLinearWeights.typical(3)))
    with pytest.raises(TensorFileError, match="predict BOS"):
        read_ngrams(path, TOKENIZER, owner="me")


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_read_rejects_crafted_files_or_returns_valid_distributions(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("crafted") / "counts.safetensors"
    order = data.draw(st.integers(0, 2))
    arrays = {"mixture": np.full((order + 1, 2), data.draw(st.sampled_from([0.5, np.nan, 1e9])))}
    num_contexts = 1
    for number in range(order + 1):
        length = 5 if number == 0 else data.draw(st.integers(0, 4))
        symbols = data.draw(st.lists(st.integers(0, 6), min_size=length, max_size=length))
        if data.draw(st.booleans()):
            symbols = list(range(length))
        each = np.zeros(num_contexts, np.uint8)
        each[data.draw(st.integers(0, max(0, num_contexts - 1)))] = length
        shares = data.draw(
            st.lists(st.sampled_from([0.0, 0.1, 0.3, 2.0, -1.0, np.inf]),
                     min_size=length, max_size=length)
        )  # fmt: skip
        arrays |= {
            f"{number}.symbols": np.array(symbols, np.uint8),
            f"{number}.shares": np.array(shares, np.float32),
            f"{number}.continuations": each,
        }
        num_contexts = max(1, length)
    header = {"format": 2, "owner": "me", "order": order}
    path.write_bytes(to_bytes(arrays, header))
    try:
        counts = read_ngrams(path, TOKENIZER, owner="me")
    except TensorFileError:
        return
    context = counts.ngrams.read(np.array([1]), counts.ngrams.start())
    log_p_BV, _ = counts.ngrams.log_probabilities(context)
    assert np.exp(log_p_BV).sum() == pytest.approx(1, abs=1e-5)


def test_owner_depends_on_model_and_text():
    weights = {"a": np.zeros(3), "b": np.ones(2)}
    assert file_owner(weights, "text") == file_owner(dict(reversed(weights.items())), "text")
    others = [file_owner(weights | {"a": np.ones(3)}, "text"), file_owner(weights, "other")]
    assert file_owner(weights, "text") not in others
