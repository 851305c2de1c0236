"""Log-linear interpolation of an LSTM and an n-gram model of its training text.

N-grams remember what followed rare contexts; the LSTM generalizes. The interpolated probability is
proportional to p_lstm^u * p_ngram^v, with weights u and v for each matched context length (Klakow
1998, "Log-linear interpolation of language models"; a product of experts: Hinton 2002). Linear
interpolation was worse on four of five texts, see tests/benchmarks/LOG.md.

Shapes: N characters, V tokens that can be predicted, K matched context lengths.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from charlstm.ngram.kneser_ney import NgramModel
from charlstm.text.vocabulary import UNKNOWN

Floats = npt.NDArray[np.float32]
Part = Literal["network", "counts"]

# The typical weights of our benchmark texts, for models without validation text.
_DEFAULT_WEIGHTS: Final = (0.7, 0.3)
_ALONE: Final[dict[Part, tuple[float, float]]] = {"network": (1.0, 0.0), "counts": (0.0, 1.0)}
# Precision of the Gaussian prior around the weights common to all context lengths.
_PRIOR: Final = 10.0
# Smaller log-probabilities are clipped, because their squares would overflow.
_MIN_LOG_P: Final = np.float32(-100.0)
# Enough for the common weights, which only serve as the prior.
_MAX_COMMON_CHARS: Final = 1 << 14
_NUM_ITERATIONS: Final = 20
_MIN_GAIN: Final = 1e-6
_CHUNK_CHARS: Final = 4096


@dataclass(frozen=True)
class LogLinearWeights:
    """Log-linear interpolation weights of the LSTM and the n-gram model.

    Args:
        weights_K2: one pair for each matched context length, float64 [K, 2].
    """

    weights_K2: npt.NDArray[np.float64]

    @classmethod
    def typical(cls, order: int) -> "LogLinearWeights":
        """Return typical weights, for models without validation text."""
        return cls.constant(_DEFAULT_WEIGHTS, order)

    @classmethod
    def constant(cls, weights: tuple[float, float], order: int) -> "LogLinearWeights":
        """Return the same weights [2] for each matched context length."""
        return cls(np.tile(weights, (order + 1, 1)))

    @property
    def only(self) -> Part | None:
        """The part that is used alone because interpolation did not help, or None."""
        parts = [part for part, weights in _ALONE.items() if (self.weights_K2 == weights).all()]
        return parts[0] if parts else None

    @classmethod
    def fit(
        cls,
        lstm_NV: Floats,
        ngram_NV: Floats,
        matched_N: npt.NDArray[np.integer],
        ids_N: npt.NDArray[np.integer],
        *,
        order: int,
    ) -> "LogLinearWeights":
        """Fit the weights by maximum likelihood.

        Args:
            lstm_NV: log-probabilities of the LSTM, in nats.
            ngram_NV: log-probabilities of the n-gram model, in nats.
            matched_N: matched context lengths.
            ids_N: the target ids.
            order: of the n-gram model.
        """
        subset = slice(None, None, 1 + len(ids_N) // _MAX_COMMON_CHARS)
        common = _fit_weights(
            lstm_NV[subset], ngram_NV[subset], ids_N[subset], np.array(_DEFAULT_WEIGHTS)
        )
        return cls(
            np.stack(
                [
                    _fit_weights(lstm_NV[place_n], ngram_NV[place_n], ids_N[place_n], common)
                    for place_n in (np.flatnonzero(matched_N == k) for k in range(order + 1))
                ]
            )
        )

    def or_better_part(
        self,
        lstm_NV: Floats,
        ngram_NV: Floats,
        matched_N: npt.NDArray[np.integer],
        ids_N: npt.NDArray[np.integer],
    ) -> "LogLinearWeights":
        """Return this interpolation if it helps on the text it was fitted on, else the better part.

        Its gain must exceed one nat for each effective parameter (Akaike 1974; their number under
        the prior as in Hastie & Tibshirani 1990, section 3.5). The arguments are those of `fit`.
        """
        place_N = np.arange(len(ids_N))
        alone: dict[Part, float] = {
            "network": -float(lstm_NV[place_N, ids_N].sum(dtype=np.float64)),
            "counts": -float(ngram_NV[place_N, ids_N].sum(dtype=np.float64)),
        }
        better = min(alone, key=lambda part: alone[part])
        gain, num_effective = alone[better], 0.0
        for k, weights in enumerate(self.weights_K2):
            place_n = np.flatnonzero(matched_N == k)
            part = lstm_NV[place_n], ngram_NV[place_n], ids_N[place_n]
            nats, _, hessian = _loss(*part, weights, weights)
            gain -= nats
            num_effective += 2 - _PRIOR * float(np.trace(np.linalg.inv(hessian)))
        if gain >= num_effective:
            return self
        return self.constant(_ALONE[better], len(self.weights_K2) - 1)

    def log_probabilities(
        self,
        lstm_NV: Floats,
        ngram_NV: Floats,
        matched_N: npt.NDArray[np.integer],
        *,
        unknown_probability: float,
    ) -> Floats:
        """Return the interpolated log-probabilities, in nats, float32 [N, V].

        Args:
            lstm_NV: log-probabilities of the LSTM, in nats.
            ngram_NV: log-probabilities of the n-gram model, in nats.
            matched_N: matched context lengths.
            unknown_probability: added to the unknown token after scaling the distribution by
                1 - unknown_probability.
        """
        weights_N2 = self.weights_K2[matched_N].astype(np.float32)
        mixed_NV: Floats = weights_N2[:, :1] * np.maximum(lstm_NV, _MIN_LOG_P)
        mixed_NV += weights_N2[:, 1:] * np.maximum(ngram_NV, _MIN_LOG_P)
        mixed_NV -= mixed_NV.max(-1, keepdims=True)
        mixed_NV -= np.log(np.exp(mixed_NV).sum(-1, keepdims=True))
        mixed_NV += np.float32(math.log1p(-unknown_probability))
        unknown = np.float32(math.log(unknown_probability))
        mixed_NV[..., UNKNOWN] = np.logaddexp(mixed_NV[..., UNKNOWN], unknown)
        return mixed_NV


@dataclass(frozen=True, kw_only=True)
class InterpolatedNgrams:
    """An n-gram model, and the weights that interpolate it with an LSTM.

    Args:
        val_nats_per_char: validation loss of the n-gram model alone, if there is validation text.
    """

    ngrams: NgramModel
    mixture: LogLinearWeights
    val_nats_per_char: float | None = None

    def interpolated(
        self, lstm_NV: Floats, ngram_NV: Floats, matched_N: npt.NDArray[np.integer]
    ) -> Floats:
        """Return the interpolated log-probabilities, in nats, float32 [N, V].

        Args:
            ngram_NV, matched_N: as returned by `NgramModel.log_probabilities`.
        """
        return self.mixture.log_probabilities(
            lstm_NV, ngram_NV, matched_N, unknown_probability=self.ngrams.unknown_probability
        )


def _fit_weights(
    lstm_NV: Floats,
    ngram_NV: Floats,
    ids_N: npt.NDArray[np.integer],
    prior: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the maximum a posteriori weights [2], by Newton's method: the loss is convex."""
    weights = prior
    loss, gradient, hessian = _loss(lstm_NV, ngram_NV, ids_N, weights, prior)
    for _ in range(_NUM_ITERATIONS):
        step = np.linalg.solve(hessian, gradient)
        for _ in range(_NUM_ITERATIONS):
            after = _loss(lstm_NV, ngram_NV, ids_N, weights - step, prior)
            if after[0] <= loss:
                break
            step = step / 2
        else:
            break
        gain = loss - after[0]
        weights = weights - step
        loss, gradient, hessian = after
        if gain <= _MIN_GAIN * (1 + abs(loss)):
            break
    return weights


def _loss(
    lstm_NV: Floats,
    ngram_NV: Floats,
    ids_N: npt.NDArray[np.integer],
    weights: npt.NDArray[np.float64],
    prior: npt.NDArray[np.float64],
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the loss in nats, prior included, with its gradient [2] and Hessian [2, 2]."""
    distance = weights - prior
    loss = _PRIOR / 2 * float(distance @ distance)
    gradient = _PRIOR * distance
    hessian = _PRIOR * np.eye(2)
    for first in range(0, len(ids_N), _CHUNK_CHARS):
        part = slice(first, first + _CHUNK_CHARS)
        both_2NV = np.maximum(np.stack([lstm_NV[part], ngram_NV[part]]), _MIN_LOG_P)
        mixed_NV = np.tensordot(weights.astype(np.float32), both_2NV, 1)
        mixed_NV -= mixed_NV.max(-1, keepdims=True)
        p_NV = np.exp(mixed_NV)
        sum_N1 = p_NV.sum(-1, keepdims=True)
        p_NV /= sum_N1
        targets = (np.arange(len(p_NV)), ids_N[part])
        loss += float((np.log(sum_N1[:, 0]) - mixed_NV[targets]).sum(dtype=np.float64))
        weighted_2NV = both_2NV * p_NV
        mean_2N = weighted_2NV.sum(-1)
        target_2N = both_2NV[:, targets[0], targets[1]]
        gradient = gradient + (mean_2N - target_2N).sum(-1, dtype=np.float64)
        hessian = hessian - mean_2N @ mean_2N.T
        hessian += weighted_2NV.reshape(2, -1) @ both_2NV.reshape(2, -1).T
    return loss, gradient, hessian
