"""What simpler predictors make of the same text, learned from the same training text.

A model's figure says little alone: these say what is due to the letters' frequencies, to short
stretches of text, and to plain repetition.

Shapes: N characters of the scored text.
"""

import lzma
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from charlstm.config import NATS_PER_BIT
from charlstm.ngram.kneser_ney import NgramModel
from charlstm.ngram.order_selection import learn_ngrams, ngrams_of_order
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN

# A longer training text is compressed from its end only: xz takes memory and time.
MAX_COMPRESSED_CHARS: Final = 16_000_000
_MIN_XZ_CHARS: Final = 1000
_MAX_UNKNOWN_SHARE: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple predictor's cost of a text.

    Args:
        is_dynamic: whether it learns from the text as it reads it.
    """

    name: str
    nats: float
    is_dynamic: bool = False


def ngram_baseline(ngrams: NgramModel, nats: float) -> Baseline:
    """What n-grams of the training text make of a text, which cost them so much."""
    return Baseline(name=f"n-gram (order {ngrams.order}, Kneser-Ney)", nats=nats)


def score_baselines(alphabet: Alphabet, *, train: Split, text: Split) -> list[Baseline]:
    """Score a text by what can be had without counting and without a network.

    Args:
        train: what everything is learned from.
    """
    frequencies = ngrams_of_order(train, alphabet, 0)
    baselines = [
        Baseline(name="uniform", nats=text.num_chars * math.log(len(alphabet))),
        Baseline(name="order 0", nats=float(frequencies.score(text).nats_N.sum())),
    ]
    # xz counts in steps of 4 bytes.
    if text.num_chars >= _MIN_XZ_CHARS and _can_be_compressed(text):
        nats = _compressed_nats(alphabet, _end(train), text)
        baselines.append(Baseline(name="xz", nats=nats, is_dynamic=True))
    return baselines


def all_baselines(alphabet: Alphabet, *, train: Split, val: Split, text: Split) -> list[Baseline]:
    """Score a text by every simpler predictor, n-grams among them.

    Args:
        train, val: as of `learn_ngrams`.
    """
    ngrams = learn_ngrams(train, val, alphabet)
    return [
        *score_baselines(alphabet, train=train, text=text),
        ngram_baseline(ngrams, float(ngrams.score(text).nats_N.sum())),
    ]


def _end(train: Split) -> Split:
    return train.part(max(0, train.num_chars - MAX_COMPRESSED_CHARS))


def _can_be_compressed(text: Split) -> bool:
    """Unknown characters all look alike to a compressor."""
    return bool(np.count_nonzero(text.ids == UNKNOWN) < _MAX_UNKNOWN_SHARE * text.num_chars)


def _compressed_nats(alphabet: Alphabet, train: Split, text: Split) -> float:
    """By how much the text makes the compressed training text longer."""
    encoding = "latin-1" if alphabet.is_byte else "utf-8"

    def num_bytes(*splits: Split) -> int:
        data = b"".join(alphabet.decode(one.ids).encode(encoding, "replace") for one in splits)
        return len(lzma.compress(data, preset=9))

    return 8 * (num_bytes(train, text) - num_bytes(train)) * NATS_PER_BIT
