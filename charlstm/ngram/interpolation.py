"""A network and the counts of its own training text, as one predictor.

Counting knows what followed rare stretches of text that the network has half forgotten; the network
knows all else. They are mixed in the logarithms, p proportional to p_network^u * p_counts^v, with
weights u and v for each length of context that the counts know (a product of experts with two
members: Hinton 2002; Klakow 1998, "Log-linear interpolation of language models"). Linear mixing was
worse on four of five texts, see tests/benchmarks/LOG.md.

Shapes: N characters, V symbols that can be predicted, K lengths of known context.
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

# Where there is no text to fit them on: about what most texts gave.
_USUAL_WEIGHTS: Final = (0.7, 0.3)
_ALONE: Final[dict[Part, tuple[float, float]]] = {"network": (1.0, 0.0), "counts": (0.0, 1.0)}
# As strong as so many characters: a length that is rare follows what all lengths together say.
_PRIOR: Final = 10.0
# Smaller probabilities count as this one, lest their squares overflow.
_LEAST_LOG: Final = np.float32(-100.0)
# Enough for the weights that all lengths have in common, which are only their prior.
_MAX_COMMON_CHARS: Final = 1 << 14
_NUM_ITERATIONS: Final = 20
_LEAST_GAIN: Final = 1e-6
_PART_CHARS: Final = 4096


@dataclass(frozen=True)
class Mixture:
    """How much network and counts have to say.

    Args:
        weights_K2: of both, for each length of context that the counts know, float64 [K, 2].
    """

    weights_K2: npt.NDArray[np.float64]

    @classmethod
    def usual(cls, order: int) -> "Mixture":
        return cls.constant(_USUAL_WEIGHTS, order)

    @classmethod
    def constant(cls, weights: tuple[float, float], order: int) -> "Mixture":
        """Return the mixture with the same weights [2] for each matched context length."""
        return cls(np.tile(weights, (order + 1, 1)))

    @property
    def only(self) -> Part | None:
        """The predictor that is used alone because mixing did not help; None for a mixture."""
        alone = [part for part, weights in _ALONE.items() if (self.weights_K2 == weights).all()]
        return alone[0] if alone else None

    @classmethod
    def fit(
        cls,
        network_NV: Floats,
        counts_NV: Floats,
        num_known_N: npt.NDArray[np.integer],
        ids_N: npt.NDArray[np.integer],
        *,
        order: int,
    ) -> "Mixture":
        """Choose the weights that make a text most likely.

        Args:
            network_NV: natural logarithms of the network's probabilities; `counts_NV` likewise.
            ids_N: what came.
            order: the longest context that counts can know.
        """
        some = slice(None, None, 1 + len(ids_N) // _MAX_COMMON_CHARS)
        common = _fitted(network_NV[some], counts_NV[some], ids_N[some], np.array(_USUAL_WEIGHTS))
        return cls(
            np.stack(
                [
                    _fitted(network_NV[place_n], counts_NV[place_n], ids_N[place_n], common)
                    for place_n in (np.flatnonzero(num_known_N == k) for k in range(order + 1))
                ]
            )
        )

    def or_better_part(
        self,
        network_NV: Floats,
        counts_NV: Floats,
        num_known_N: npt.NDArray[np.integer],
        ids_N: npt.NDArray[np.integer],
    ) -> "Mixture":
        """Return this mixture if it pays on the text it was fitted on, else the better part alone.

        Its gain has to exceed one nat for each effective parameter (Akaike 1974; their number under
        the prior as in Hastie & Tibshirani 1990, section 3.5).

        Args:
            network_NV, counts_NV, num_known_N, ids_N: as of `fit`.
        """
        place_N = np.arange(len(ids_N))
        alone: dict[Part, float] = {
            "network": -float(network_NV[place_N, ids_N].sum(dtype=np.float64)),
            "counts": -float(counts_NV[place_N, ids_N].sum(dtype=np.float64)),
        }
        better = min(alone, key=lambda part: alone[part])
        gain, num_effective = alone[better], 0.0
        for k, weights in enumerate(self.weights_K2):
            place_n = np.flatnonzero(num_known_N == k)
            part = network_NV[place_n], counts_NV[place_n], ids_N[place_n]
            nats, _, curvature = _cost(*part, weights, weights)
            gain -= nats
            num_effective += 2 - _PRIOR * float(np.trace(np.linalg.inv(curvature)))
        if gain >= num_effective:
            return self
        return self.constant(_ALONE[better], len(self.weights_K2) - 1)

    def log_probabilities(
        self,
        network_NV: Floats,
        counts_NV: Floats,
        num_known_N: npt.NDArray[np.integer],
        *,
        unknown_probability: float,
    ) -> Floats:
        """The mixed distributions, natural logarithms, float32 [N, V].

        Args:
            network_NV: natural logarithms of the network's probabilities; `counts_NV` likewise.
            unknown_probability: what the unknown symbol gets beside what comes of it here; the
                others share the rest.
        """
        weights_N2 = self.weights_K2[num_known_N].astype(np.float32)
        mixed_NV: Floats = weights_N2[:, :1] * np.maximum(network_NV, _LEAST_LOG)
        mixed_NV += weights_N2[:, 1:] * np.maximum(counts_NV, _LEAST_LOG)
        mixed_NV -= mixed_NV.max(-1, keepdims=True)
        mixed_NV -= np.log(np.exp(mixed_NV).sum(-1, keepdims=True))
        mixed_NV += np.float32(math.log1p(-unknown_probability))
        least = np.float32(math.log(unknown_probability))
        mixed_NV[..., UNKNOWN] = np.logaddexp(mixed_NV[..., UNKNOWN], least)
        return mixed_NV


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What is mixed with a network: the counts of its training text, and how.

    Args:
        val_nats_per_char: what the validation text costs the counts alone, where that is known.
    """

    ngrams: NgramModel
    mixture: Mixture
    val_nats_per_char: float | None = None

    def mixed(
        self, network_NV: Floats, ngrams_NV: Floats, num_known_N: npt.NDArray[np.integer]
    ) -> Floats:
        """Both distributions as one, natural logarithms, float32 [N, V].

        Args:
            ngrams_NV: as `NgramModel.log_probabilities` gives it; `num_known_N` likewise.
        """
        return self.mixture.log_probabilities(
            network_NV, ngrams_NV, num_known_N, unknown_probability=self.ngrams.unknown_probability
        )


def _fitted(
    network_NV: Floats,
    counts_NV: Floats,
    ids_N: npt.NDArray[np.integer],
    prior: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The best weights [2] of some characters, by Newton's method: the cost is convex."""
    weights = prior
    cost, slope, curvature = _cost(network_NV, counts_NV, ids_N, weights, prior)
    for _ in range(_NUM_ITERATIONS):
        step = np.linalg.solve(curvature, slope)
        for _ in range(_NUM_ITERATIONS):
            found = _cost(network_NV, counts_NV, ids_N, weights - step, prior)
            if found[0] <= cost:
                break
            step = step / 2
        else:
            break
        gain = cost - found[0]
        weights = weights - step
        cost, slope, curvature = found
        if gain <= _LEAST_GAIN * (1 + abs(cost)):
            break
    return weights


def _cost(
    network_NV: Floats,
    counts_NV: Floats,
    ids_N: npt.NDArray[np.integer],
    weights: npt.NDArray[np.float64],
    prior: npt.NDArray[np.float64],
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Nats of the characters and of the weights themselves; gradient; Hessian."""
    distance = weights - prior
    cost = _PRIOR / 2 * float(distance @ distance)
    slope = _PRIOR * distance
    curvature = _PRIOR * np.eye(2)
    for first in range(0, len(ids_N), _PART_CHARS):
        part = slice(first, first + _PART_CHARS)
        both_2NV = np.maximum(np.stack([network_NV[part], counts_NV[part]]), _LEAST_LOG)
        mixed_NV = np.tensordot(weights.astype(np.float32), both_2NV, 1)
        mixed_NV -= mixed_NV.max(-1, keepdims=True)
        p_NV = np.exp(mixed_NV)
        sum_N1 = p_NV.sum(-1, keepdims=True)
        p_NV /= sum_N1
        seen = (np.arange(len(p_NV)), ids_N[part])
        cost += float((np.log(sum_N1[:, 0]) - mixed_NV[seen]).sum(dtype=np.float64))
        weighted_2NV = both_2NV * p_NV
        mean_2N = weighted_2NV.sum(-1)
        seen_2N = both_2NV[:, seen[0], seen[1]]
        slope = slope + (mean_2N - seen_2N).sum(-1, dtype=np.float64)
        curvature = curvature - mean_2N @ mean_2N.T
        curvature += weighted_2NV.reshape(2, -1) @ both_2NV.reshape(2, -1).T
    return cost, slope, curvature
