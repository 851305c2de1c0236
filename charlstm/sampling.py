"""Drawing characters from a model's distribution.

A filter takes natural logarithms of probabilities, float [V], and gives them back with some at
minus infinity; filters compose, and what is left is renormalised once, when a symbol is drawn.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from charlstm.config import SampleConfig
from charlstm.predictor import Predictor
from charlstm.vocabulary import UNKNOWN

LogProbabilities = npt.NDArray[np.float64]


def without_unknown(log_p: LogProbabilities) -> LogProbabilities:
    """Unknown is no character that could be written."""
    log_p = log_p.copy()
    log_p[UNKNOWN] = -np.inf
    return log_p


def keep_top_k(log_p: LogProbabilities, k: int) -> LogProbabilities:
    """Keep the k likeliest; of equals, the first."""
    kept = np.argsort(-log_p, kind="stable")[:k]
    filtered = np.full_like(log_p, -np.inf)
    filtered[kept] = log_p[kept]
    return filtered


def keep_top_p(log_p: LogProbabilities, p: float) -> LogProbabilities:
    """Keep the fewest whose probabilities reach p of the whole (Holtzman et al. 2020)."""
    order = np.argsort(-log_p, kind="stable")
    reached = np.cumsum(probabilities(log_p)[order])
    # The first place where p is reached is still kept, against rounding at p = 1.
    num_kept = 1 + int(np.count_nonzero(reached[:-1] < p * (1 - 1e-12)))
    return keep_top_k(log_p, num_kept)


def with_temperature(log_p: LogProbabilities, temperature: float) -> LogProbabilities:
    """Divide the logarithms by the temperature; at 0 the likeliest alone is left."""
    if temperature == 0:
        return keep_top_k(log_p, 1)
    # The largest at 0 first: then the smallest temperature can't overflow what matters.
    with np.errstate(over="ignore"):
        scaled: LogProbabilities = (log_p - log_p.max()) / temperature
    scaled[np.isneginf(log_p)] = -np.inf
    return scaled


def probabilities(log_p: LogProbabilities) -> npt.NDArray[np.float64]:
    """Exponentiate and renormalise, [V]."""
    p: npt.NDArray[np.float64] = np.exp(log_p - log_p.max())
    p /= p.sum()
    return p


def next_distribution(log_p: npt.NDArray[np.floating], config: SampleConfig) -> LogProbabilities:
    """The model's logarithms [V] after the temperature and every filter that is asked for."""
    filtered = with_temperature(without_unknown(log_p.astype(np.float64)), config.temperature)
    if config.top_k is not None:
        filtered = keep_top_k(filtered, config.top_k)
    if config.top_p is not None:
        filtered = keep_top_p(filtered, config.top_p)
    return filtered


def sample(
    predictor: Predictor, prime: str, config: SampleConfig, *, generator: np.random.Generator
) -> Iterator[str]:
    """Continue a text, character by character, for `config.length` characters.

    Args:
        prime: what comes before; empty for the beginning of a document.

    Raises:
        CorpusError: when the prime holds characters that the model never saw.
    """
    predictor.require_known(prime)
    prediction = predictor.read_text(prime, predictor.start())
    for _ in range(config.length):
        p = probabilities(next_distribution(prediction.log_p[0], config))
        drawn = np.array([generator.choice(len(p), p=p)])
        yield predictor.vocabulary.decode(drawn)
        prediction = predictor.read(drawn, prediction)
