"""Baselines: simpler predictors trained and scored on the same texts.

They show how much of a model's performance is due to character frequencies, short contexts and
repetition.

Shapes: N characters of the scored text.
"""

import lzma
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from charlstm.config import NATS_PER_BIT
from charlstm.ngram.kneser_ney import NgramModel
from charlstm.ngram.order_selection import fit_ngrams, fit_ngrams_of_order
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import UNKNOWN

# Of longer training texts only the end is compressed, to limit memory and time.
MAX_COMPRESSED_CHARS: Final = 16_000_000
_MIN_XZ_CHARS: Final = 1000
_MAX_UNKNOWN_FRACTION: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple predictor's loss on a text.

    Args:
        is_dynamic: whether it adapts to the text while reading it.
    """

    name: str
    nats: float
    is_dynamic: bool = False


def ngram_baseline(ngrams: NgramModel, nats: float) -> Baseline:
    """Return an n-gram model's loss of `nats` as a baseline."""
    return Baseline(name=f"n-gram (order {ngrams.order}, Kneser-Ney)", nats=nats)


def score_baselines(
    tokenizer: CharTokenizer, *, train: EncodedText, text: EncodedText
) -> list[Baseline]:
    """Score a text with the baselines other than n-gram models."""
    frequencies = fit_ngrams_of_order(train, tokenizer, 0)
    baselines = [
        Baseline(name="uniform", nats=text.num_chars * math.log(len(tokenizer))),
        Baseline(name="order 0", nats=float(frequencies.score(text).sum())),
    ]
    # xz output has a granularity of 4 bytes, too coarse for short texts.
    if text.num_chars >= _MIN_XZ_CHARS and _can_be_compressed(text):
        nats = _compressed_nats(tokenizer, _end(train), text)
        baselines.append(Baseline(name="xz", nats=nats, is_dynamic=True))
    return baselines


def all_baselines(
    tokenizer: CharTokenizer, *, train: EncodedText, val: EncodedText, text: EncodedText
) -> list[Baseline]:
    """Score a text with all baselines.

    Args:
        val: for choosing the n-gram model's order, as in `fit_ngrams`.
    """
    ngrams = fit_ngrams(train, val, tokenizer)
    return [
        *score_baselines(tokenizer, train=train, text=text),
        ngram_baseline(ngrams, float(ngrams.score(text).sum())),
    ]


def _end(train: EncodedText) -> EncodedText:
    return train.part(max(0, train.num_chars - MAX_COMPRESSED_CHARS))


def _can_be_compressed(text: EncodedText) -> bool:
    """Return whether few characters are unknown, since these all look alike to a compressor."""
    return bool(np.count_nonzero(text.ids == UNKNOWN) < _MAX_UNKNOWN_FRACTION * text.num_chars)


def _compressed_nats(tokenizer: CharTokenizer, train: EncodedText, text: EncodedText) -> float:
    """Return by how much appending the text lengthens the compressed training text, in nats."""
    encoding = "latin-1" if tokenizer.is_byte else "utf-8"

    def num_bytes(*texts: EncodedText) -> int:
        data = b"".join(tokenizer.decode(text.ids).encode(encoding, "replace") for text in texts)
        return len(lzma.compress(data, preset=9))

    return 8 * (num_bytes(train, text) - num_bytes(train)) * NATS_PER_BIT
