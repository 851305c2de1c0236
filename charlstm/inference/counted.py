"""A model's counts: learned from its training text, fitted to its network, kept beside it."""

from typing import Final

import numpy as np

from charlstm.inference.predictor import Predictor
from charlstm.ngram.interpolation import Counts, Mixture
from charlstm.ngram.kneser_ney import NgramModel
from charlstm.ngram.order_selection import learn_ngrams
from charlstm.text.split import Split

# Characters that the mixture is fitted on: as many as make its weights sure, in seconds; in
# streams side by side; and as many numbers as their distributions may take, 4 bytes each.
_MAX_FITTED_CHARS: Final = 1 << 16
_MAX_FITTED_NUMBERS: Final = 1 << 25
_NUM_STREAMS: Final = 32
_MIN_STREAM_LENGTH: Final = 1024


def count(predictor: Predictor, train: Split, val: Split, *, max_ngrams: int) -> Counts:
    """Count a training text, and fit the mixture to a network.

    Args:
        predictor: the network alone.
        val: what decides about lengths and weights; what usually fits where it is empty.
        max_ngrams: the rarest beyond so many are left out.
    """
    ngrams = learn_ngrams(train, val, predictor.alphabet).pruned(max_ngrams)
    return Counts(
        ngrams=ngrams,
        mixture=fit_mixture(predictor, ngrams, val),
        val_nats_per_char=float(ngrams.score(val).nats_N.mean()) if val.num_chars else None,
    )


def fit_mixture(predictor: Predictor, ngrams: NgramModel, val: Split) -> Mixture:
    """The mixture that suits a text best; the usual one, where it is empty."""
    if not val.num_chars:
        return Mixture.usual(ngrams.order)
    max_chars = min(_MAX_FITTED_CHARS, _MAX_FITTED_NUMBERS // len(predictor.alphabet))
    num_chars = min(val.num_chars, max_chars)
    num_streams = max(1, min(_NUM_STREAMS, num_chars // _MIN_STREAM_LENGTH))
    text = val.in_parallel(num_streams, max_chars=max_chars)
    network_NV = predictor.log_probabilities(text)
    p_NV, num_known_N = ngrams.predict(ngrams.contexts(text))
    return Mixture.fit(
        network_NV, np.log(p_NV, dtype=np.float32), num_known_N, text.ids, order=ngrams.order
    )


def fit_by_halves(
    predictor: Predictor, ngrams: NgramModel, text: Split
) -> tuple[Mixture, Mixture, int]:
    """For a text that is itself to be scored: the mixtures that suit its halves.

    Returns:
        Of the first half, of the second, and where that begins.
    """
    edge = text.num_chars // 2
    first, second = text.part(0, edge), text.part(edge)
    return fit_mixture(predictor, ngrams, first), fit_mixture(predictor, ngrams, second), edge
