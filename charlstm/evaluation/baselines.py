"""What simpler predictors make of the same text, learned from the same training text.

A model's figure says little alone: these say what is due to the letters' frequencies, to short
stretches of text, and to plain repetition.

Shapes: N characters of the scored text.
"""

import lzma
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.ngram.kneser_ney import NgramModel
from charlstm.ngram.order_selection import learn_ngrams, ngrams_of_order
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN

# A longer training text is compressed from its end only: xz takes memory and time.
MAX_COMPRESSED_CHARS: Final = 16_000_000
_MIN_XZ_CHARS: Final = 1000
_MAX_UNKNOWN_SHARE: Final = 0.01
# PPMd, Shkarin's variant H, as 7-Zip has it: orders to choose from, and bytes of memory.
_PPMD_ORDERS: Final = (4, 6, 8, 12, 16)
_PPMD_BYTES: Final = 1 << 28
# Parts of the scored text after each of which what was read is counted.
_NUM_ADAPTIVE_PARTS: Final = 50
_MIN_ADAPTIVE_PART: Final = 500
# Where nothing was read yet: what recent counts are trusted, as strong as so many characters.
_USUAL_SHARE: Final = 0.2
_PRIOR_CHARS: Final = 20.0
_NUM_ITERATIONS: Final = 20
_MAX_NATS: Final = 50.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple predictor's cost of a text.

    Args:
        is_dynamic: whether it learns from the text as it reads it.
    """

    name: str
    nats: float
    is_dynamic: bool = False


def ngram_name(ngrams: NgramModel) -> str:
    return f"n-gram (order {ngrams.order}, Kneser-Ney)"


def score_baselines(
    alphabet: Alphabet,
    *,
    train: Split,
    val: Split,
    text: Split,
    ngrams: NgramModel | None = None,
) -> list[Baseline]:
    """Score a text by what can be had without a network.

    Args:
        train: what everything is learned from.
        val: what the order of the n-grams is chosen on; empty where it is itself scored.
        text: what is scored.
        ngrams: learned from these already; None to learn them.
    """
    if ngrams is None:
        ngrams = learn_ngrams(train, val, alphabet)
    baselines = [
        Baseline(name="uniform", nats=text.num_chars * math.log(len(alphabet))),
        _by_ngrams("order 0", ngrams_of_order(train, alphabet, 0), text),
    ]
    if ngrams.order:
        baselines.append(_by_ngrams(ngram_name(ngrams), ngrams, text))
    # xz counts in steps of 4 bytes.
    if text.num_chars >= _MIN_XZ_CHARS and _can_be_compressed(text):

        def num_bytes(data: bytes) -> int:
            return len(lzma.compress(data, preset=9))

        nats = _compressed_nats(num_bytes, alphabet, _end(train), text)
        baselines.append(Baseline(name="xz", nats=nats, is_dynamic=True))
    return baselines


def score_adaptive_baselines(
    alphabet: Alphabet, *, train: Split, val: Split, text: Split, ngrams: NgramModel
) -> list[Baseline]:
    """Score a text by what learns from it while it is read, as dynamic evaluation does.

    Args:
        val: what PPMd's order is chosen on, and the end of the training text where it is empty.
        ngrams: of the training text.
    """
    name = f"{ngram_name(ngrams)}, counting on"
    nats = float(_counting_on(alphabet, ngrams, text).sum())
    found = [Baseline(name=name, nats=nats, is_dynamic=True)]
    if _can_be_compressed(text) and (ppmd := _ppmd()) is not None:
        if val.num_chars and _can_be_compressed(val):
            chosen_by, chosen_on = _end(train), val
        else:
            edge = max(1, train.num_chars * 9 // 10)
            chosen_by, chosen_on = _end(train.part(0, edge)), train.part(edge)
        order = min(
            _PPMD_ORDERS,
            key=lambda order: _compressed_nats(ppmd(order), alphabet, chosen_by, chosen_on),
        )
        nats = _compressed_nats(ppmd(order), alphabet, _end(train), text)
        found.append(Baseline(name=f"PPMd (order {order})", nats=nats, is_dynamic=True))
    return found


def has_ppmd() -> bool:
    """Whether the library that PPMd comes from is installed."""
    return _ppmd() is not None


def _by_ngrams(name: str, ngrams: NgramModel, text: Split) -> Baseline:
    return Baseline(name=name, nats=float(ngrams.score(text).nats_N.sum()))


def _counting_on(alphabet: Alphabet, ngrams: NgramModel, text: Split) -> Floats:
    """Nats of each character by n-grams of the training text and of what was read of this text.

    Both the recent counts and how they are mixed are learned anew after each part of the text.
    """
    static_N = ngrams.score(text).nats_N
    nats_N = static_N.copy()
    recent_N, num_known_N = np.empty(text.num_chars), np.zeros(text.num_chars, np.int8)
    length = max(_MIN_ADAPTIVE_PART, -(-text.num_chars // _NUM_ADAPTIVE_PARTS))
    for first in range(length, text.num_chars, length):
        part = slice(first, first + length)
        read = ngrams_of_order(text.part(0, first), alphabet, ngrams.order)
        # From the beginning of its document, so that nothing of its context is lost.
        begin = int(text.starts[np.searchsorted(text.starts, first, "right") - 1])
        scores = read.score(text.part(begin, first + length))
        recent_N[part] = scores.nats_N[first - begin :]
        num_known_N[part] = scores.num_known_N[first - begin :]
        learned = slice(length, first)
        share_K = _shares(static_N[learned], recent_N[learned], num_known_N[learned], ngrams.order)
        share_N = share_K[num_known_N[part]]
        nats_N[part] = -np.logaddexp(
            np.log1p(-share_N) - static_N[part], np.log(share_N) - recent_N[part]
        )
    return nats_N


def _shares(
    static_N: Floats, recent_N: Floats, num_known_N: npt.NDArray[np.int8], order: int
) -> Floats:
    """How much recent counts should have to say, by how much of the context they know, [K].

    By expectation maximization on costs, in nats, that both had.
    """
    share_K = np.full(order + 1, _USUAL_SHARE)
    odds_N = np.exp(np.clip(static_N - recent_N, -_MAX_NATS, _MAX_NATS))
    num_chars_K = np.bincount(num_known_N, minlength=order + 1)
    for _ in range(_NUM_ITERATIONS):
        share_N = share_K[num_known_N]
        due_N = share_N * odds_N / (share_N * odds_N + 1 - share_N)
        due_K = np.bincount(num_known_N, due_N, order + 1)
        share_K = (due_K + _PRIOR_CHARS * _USUAL_SHARE) / (num_chars_K + _PRIOR_CHARS)
    return share_K


def _end(train: Split) -> Split:
    return train.part(max(0, train.num_chars - MAX_COMPRESSED_CHARS))


def _can_be_compressed(text: Split) -> bool:
    """Unknown characters all look alike to a compressor."""
    return bool(np.count_nonzero(text.ids == UNKNOWN) < _MAX_UNKNOWN_SHARE * text.num_chars)


def _compressed_nats(
    num_bytes: Callable[[bytes], int], alphabet: Alphabet, train: Split, text: Split
) -> float:
    """By how much the text makes the compressed training text longer."""
    encoding = "latin-1" if alphabet.is_byte else "utf-8"

    def as_bytes(split: Split) -> bytes:
        return alphabet.decode(split.ids).encode(encoding, "replace")

    before, scored = as_bytes(train), as_bytes(text)
    return 8 * (num_bytes(before + scored) - num_bytes(before)) * math.log(2)


def _ppmd() -> Callable[[int], Callable[[bytes], int]] | None:
    """For an order the length of compressed data; None where the library isn't installed."""
    try:
        from pyppmd import Ppmd7Encoder
    except ImportError:
        return None

    def of_order(order: int) -> Callable[[bytes], int]:
        def num_bytes(data: bytes) -> int:
            encoder = Ppmd7Encoder(order, _PPMD_BYTES)
            return len(encoder.encode(data)) + len(encoder.flush())

        return num_bytes

    return of_order
