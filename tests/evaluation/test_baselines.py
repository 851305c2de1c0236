import lzma
import math

import numpy as np
import pytest
from conftest import tokenizer_of

from charlstm.evaluation import baselines
from charlstm.evaluation.baselines import score_baselines
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

ABC = Vocabulary("abc")


def nats_by_name(train, text, vocabulary=ABC, **reading):
    found = score_baselines(
        tokenizer_of(vocabulary, **reading),
        train=EncodedText.of([train], vocabulary),
        text=EncodedText.of([text], vocabulary),
    )
    return {baseline.name: baseline.nats for baseline in found}


def xz_nats(train, text):
    """Return what the text adds to the compressed training text."""
    before, after = (len(lzma.compress(data, preset=9)) for data in (train, train + text))
    return pytest.approx((after - before) * 8 * math.log(2))


def test_score_baselines_matches_direct_computation(vocabulary):
    train, text = "the quick brown fox. " * 50, "brown quick fox. " * 90
    found = nats_by_name(train, text, vocabulary)
    assert list(found) == ["uniform", "order 0", "xz"]
    assert found["uniform"] == pytest.approx(len(text) * math.log(len(vocabulary) + 1))
    assert found["order 0"] < found["uniform"]
    assert found["xz"] == xz_nats(train.encode(), text.encode())


def test_xz_compresses_only_the_end_of_long_training_texts(monkeypatch):
    full = nats_by_name("abcacb" * 700, "abc" * 400)
    monkeypatch.setattr(baselines, "MAX_COMPRESSED_CHARS", 40)
    ended = nats_by_name("abcacb" * 700, "abc" * 400)
    assert ended.pop("xz") != full.pop("xz")
    assert ended == full


@pytest.mark.parametrize(
    ("text", "has_xz"),
    [
        # At least a thousand characters ...
        ("a" * 999, False),
        ("a" * 1000, True),
        # ... of which less than 1 % are unknown.
        ("a" * 991 + "?" * 9, True),
        ("a" * 990 + "?" * 10, False),
    ],
)
def test_xz_is_omitted_for_short_or_unknown_texts(text, has_xz):
    assert ("xz" in nats_by_name("abc" * 500, text)) == has_xz


def test_xz_compresses_bytes_as_latin1():
    bytes_2N = np.random.default_rng(0).integers(0x60, 0x100, (2, 1500))
    train, text = ("".join(map(chr, bytes_N)) for bytes_N in bytes_2N)
    text += "?"  # an unknown byte is replaced
    found = nats_by_name(train, text, Vocabulary.of(train), level="byte")
    assert found["xz"] == xz_nats(train.encode("latin-1"), text.encode("latin-1"))
