import os
from dataclasses import replace

import numpy as np
import pytest
from conftest import alphabet_of
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.errors import ContainerError
from charlstm.ngram.interpolation import Counts, Mixture
from charlstm.ngram.kneser_ney import NgramModel
from charlstm.ngram.order_selection import ngrams_of_order
from charlstm.ngram.storage import (
    owner_of,
    read_counts,
    read_val_nats,
    write_counts,
)
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary

ABC = Vocabulary("abc")
ALPHABET = alphabet_of(ABC)
TEXT = Split.of(["abcabcabba" * 20, "cab"], ABC)


@pytest.fixture
def counts():
    ngrams = ngrams_of_order(TEXT, ALPHABET, 3)
    return Counts(ngrams=ngrams, mixture=Mixture.usual(3))


@pytest.fixture
def path(tmp_path, counts):
    path = tmp_path / "counts.safetensors"
    write_counts(path, counts, owner="me", mode=0o666)
    return path


def test_read_returns_what_was_written(path, counts):
    again = read_counts(path, ALPHABET, owner="me")
    np.testing.assert_array_equal(again.ngrams.score(TEXT).nats_N, counts.ngrams.score(TEXT).nats_N)
    np.testing.assert_array_equal(again.mixture.weights_K2, counts.mixture.weights_K2)


def test_read_rejects_files_of_another_model_or_vocabulary(path):
    with pytest.raises(ContainerError, match="another model"):
        read_counts(path, ALPHABET, owner="you")
    with pytest.raises(ContainerError, match="damaged"):
        read_counts(path, alphabet_of(Vocabulary("abcd")), owner="me")


def test_validation_loss_is_stored_and_checked(path, counts):
    assert read_val_nats(path, owner="me") is None
    scored = replace(counts, val_nats_per_char=1.25)
    write_counts(path, scored, owner="me", mode=0o666)
    assert read_val_nats(path, owner="me") == 1.25
    assert read_counts(path, ALPHABET, owner="me").val_nats_per_char == 1.25
    with pytest.raises(ContainerError, match="another model"):
        read_val_nats(path, owner="you")
    for impossible in (-1.0, 1e9, "one", [1.0], True):
        write_counts(path, replace(counts, val_nats_per_char=impossible), owner="me", mode=0o666)
        for read in (
            lambda: read_val_nats(path, owner="me"),
            lambda: read_counts(path, ALPHABET, owner="me"),
        ):
            with pytest.raises(ContainerError, match="damaged: its validation loss is invalid"):
                read()


def test_read_rejects_every_changed_byte(path):
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ContainerError):
            read_counts(path, ALPHABET, owner="me")
    for length in (0, 1, 100, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ContainerError):
            read_counts(path, ALPHABET, owner="me")


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
    ngrams = NgramModel([first, *longer], num_symbols=4, unknown_probability=1e-4)
    write_counts(path, Counts(ngrams=ngrams, mixture=Mixture.usual(3)), owner="me", mode=0o666)
    with pytest.raises(ContainerError, match="predict BOS"):
        read_counts(path, ALPHABET, owner="me")


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_read_rejects_crafted_files_or_returns_valid_distributions(tmp_path_factory, data):
    from charlstm.system.container import to_bytes

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
    with open(path, "wb") as file:
        file.write(to_bytes(arrays, header))
    try:
        counts = read_counts(path, ALPHABET, owner="me")
    except ContainerError:
        return
    context = counts.ngrams.read(np.array([1]), counts.ngrams.start())
    log_p_BV, _ = counts.ngrams.log_probabilities(context)
    assert np.exp(log_p_BV).sum() == pytest.approx(1, abs=1e-5)


def test_read_rejects_pipes(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ContainerError):
        read_counts(tmp_path / "pipe", ALPHABET, owner="me")


def test_owner_depends_on_model_and_text():
    weights = {"a": np.zeros(3), "b": np.ones(2)}
    assert owner_of(weights, "text") == owner_of(dict(reversed(weights.items())), "text")
    others = [owner_of(weights | {"a": np.ones(3)}, "text"), owner_of(weights, "other")]
    assert owner_of(weights, "text") not in others
