"""Score a text with the LSTM, the n-gram model, and their interpolation.

Shapes: N characters of the text, V tokens that can be predicted.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.evaluation.scores import CharLosses, Prediction
from charlstm.ngram.interpolation import InterpolatedNgrams, LogLinearWeights
from charlstm.ngram.order_selection import fit_ngrams
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer

# Log-probabilities that the interpolation is fitted on, 4 bytes each.
_MAX_FITTED: Final = 1 << 25
# Validation characters that it is fitted on, in parallel streams.
_MAX_FITTED_CHARS: Final = 200_000
_NUM_STREAMS: Final = 32
_MIN_STREAM_LENGTH: Final = 1024


@dataclass(frozen=True, kw_only=True)
class ScoresWithNgrams:
    """Per-character losses of the LSTM, the n-gram model, and their interpolation.

    Args:
        ngram_nats_N: losses of the n-gram model, float64.
        matched_N: matched context lengths, in tokens, int8.
    """

    lstm: CharLosses
    interpolated: CharLosses
    ngram_nats_N: npt.NDArray[np.float64]
    matched_N: npt.NDArray[np.int8]


def score_with_ngrams(
    predictions: Iterable[Prediction], text: EncodedText, counts: InterpolatedNgrams
) -> ScoresWithNgrams:
    """Score every character with each predictor, in one pass.

    Args:
        predictions: of the LSTM.

    Raises:
        CorpusError: when there are no characters.
    """
    lstm, interpolated = CharLosses.empty(text.num_chars), CharLosses.empty(text.num_chars)
    nats_N, matched_N = np.empty(text.num_chars), np.empty(text.num_chars, np.int8)
    context_NK = counts.ngrams.contexts(text)
    for place_N, lstm_NV in predictions:
        ids_N = text.ids[place_N]
        ngram_NV, matched_N[place_N] = counts.ngrams.log_probabilities(context_NK[place_N])
        nats_N[place_N] = -ngram_NV[np.arange(len(ids_N)), ids_N]
        lstm.fill(place_N, lstm_NV, ids_N)
        interpolated.fill(
            place_N, counts.interpolated(lstm_NV, ngram_NV, matched_N[place_N]), ids_N
        )
    return ScoresWithNgrams(
        lstm=lstm, interpolated=interpolated, ngram_nats_N=nats_N, matched_N=matched_N
    )


def interpolated(
    predictions: Iterable[Prediction], text: EncodedText, counts: InterpolatedNgrams
) -> Iterator[Prediction]:
    """Yield an LSTM's predictions of a text, interpolated with an n-gram model."""
    context_NK = counts.ngrams.contexts(text)
    for place_N, lstm_NV in predictions:
        ngrams = counts.ngrams.log_probabilities(context_NK[place_N])
        yield place_N, counts.interpolated(lstm_NV, *ngrams)


def fit_interpolated_ngrams(
    predict: Callable[[EncodedText], Iterable[Prediction]],
    tokenizer: CharTokenizer,
    train: EncodedText,
    val: EncodedText,
) -> InterpolatedNgrams:
    """Fit an n-gram model to a training text, and its interpolation with an LSTM.

    Args:
        predict: returns the LSTM's predictions of a text.
        val: for choosing the order and the weights; if empty, the weights are the defaults.
    """
    ngrams = fit_ngrams(train, val, tokenizer)
    if not val.num_chars:
        return InterpolatedNgrams(ngrams=ngrams, mixture=LogLinearWeights.typical(ngrams.order))
    max_chars = min(_MAX_FITTED_CHARS, _MAX_FITTED // len(tokenizer))
    num_streams = min(val.num_chars, max_chars) // _MIN_STREAM_LENGTH
    text = val.in_parallel(max(1, min(_NUM_STREAMS, num_streams)), max_chars=max_chars)
    lstm_NV = np.empty((text.num_chars, len(tokenizer)), np.float32)
    for place_N, log_p_NV in predict(text):
        lstm_NV[place_N] = log_p_NV
    ngram_NV, matched_N = ngrams.log_probabilities(ngrams.contexts(text))
    data = lstm_NV, ngram_NV, matched_N, text.ids
    mixture = LogLinearWeights.fit(*data, order=ngrams.order).or_better_part(*data)
    val_nats = float(ngrams.score(val).mean())
    return InterpolatedNgrams(ngrams=ngrams, mixture=mixture, val_nats_per_char=val_nats)
