"""Score a text with the LSTM, the n-gram model, and their interpolation.

Shapes: N characters of the text, V tokens that can be predicted.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from charlstm.evaluation.scores import Prediction, Scores
from charlstm.ngram.interpolation import Counts, Mixture
from charlstm.ngram.order_selection import learn_ngrams
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split

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

    network: Scores
    mixed: Scores
    ngram_nats_N: npt.NDArray[np.float64]
    matched_N: npt.NDArray[np.int8]


def score_with_ngrams(
    predictions: Iterable[Prediction], text: Split, counts: Counts
) -> ScoresWithNgrams:
    """Score every character with each predictor, in one pass.

    Args:
        predictions: of the LSTM.

    Raises:
        CorpusError: when there are no characters.
    """
    network, mixed = Scores.empty(text.num_chars), Scores.empty(text.num_chars)
    nats_N, matched_N = np.empty(text.num_chars), np.empty(text.num_chars, np.int8)
    context_NK = counts.ngrams.contexts(text)
    for place_N, lstm_NV in predictions:
        ids_N = text.ids[place_N]
        ngram_NV, matched_N[place_N] = counts.ngrams.log_probabilities(context_NK[place_N])
        nats_N[place_N] = -ngram_NV[np.arange(len(ids_N)), ids_N]
        network.put(place_N, lstm_NV, ids_N)
        mixed.put(place_N, counts.mixed(lstm_NV, ngram_NV, matched_N[place_N]), ids_N)
    return ScoresWithNgrams(network=network, mixed=mixed, ngram_nats_N=nats_N, matched_N=matched_N)


def mixed(predictions: Iterable[Prediction], text: Split, counts: Counts) -> Iterator[Prediction]:
    """Yield an LSTM's predictions of a text, interpolated with an n-gram model."""
    context_NK = counts.ngrams.contexts(text)
    for place_N, lstm_NV in predictions:
        ngrams = counts.ngrams.log_probabilities(context_NK[place_N])
        yield place_N, counts.mixed(lstm_NV, *ngrams)


def count(
    predict: Callable[[Split], Iterable[Prediction]], alphabet: Alphabet, train: Split, val: Split
) -> Counts:
    """Fit an n-gram model to a training text, and its interpolation with an LSTM.

    Args:
        predict: returns the LSTM's predictions of a text.
        val: for choosing the order and the weights; if empty, the weights are the defaults.
    """
    ngrams = learn_ngrams(train, val, alphabet)
    if not val.num_chars:
        return Counts(ngrams=ngrams, mixture=Mixture.usual(ngrams.order))
    max_chars = min(_MAX_FITTED_CHARS, _MAX_FITTED // len(alphabet))
    num_streams = min(val.num_chars, max_chars) // _MIN_STREAM_LENGTH
    text = val.in_parallel(max(1, min(_NUM_STREAMS, num_streams)), max_chars=max_chars)
    lstm_NV = np.empty((text.num_chars, len(alphabet)), np.float32)
    for place_N, log_p_NV in predict(text):
        lstm_NV[place_N] = log_p_NV
    ngram_NV, matched_N = ngrams.log_probabilities(ngrams.contexts(text))
    data = lstm_NV, ngram_NV, matched_N, text.ids
    mixture = Mixture.fit(*data, order=ngrams.order).or_better_part(*data)
    val_nats = float(ngrams.score(val).nats_N.mean())
    return Counts(ngrams=ngrams, mixture=mixture, val_nats_per_char=val_nats)
