"""Drawing characters from a model's distribution.

A filter takes log-probabilities (natural logarithms) and returns them changed, with excluded
characters at minus infinity. Filters compose: `filters_of` makes a list from the options,
`next_distribution` applies it, and the rest is renormalized once, when a character is drawn.

Shapes: B streams side by side, V symbols; filters work on the last axis.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import NATS_PER_BIT, SampleConfig
from charlstm.errors import ConfigError
from charlstm.inference.predictor import Predictor, PredictorState
from charlstm.text.alphabet import Alphabet
from charlstm.text.vocabulary import UNKNOWN

LogProbabilities = npt.NDArray[np.float64]
# On the last axis.
Filter = Callable[[LogProbabilities], LogProbabilities]

_TEXT_CHARS: Final = 500
# Only a model that has learned no end reaches it.
_MAX_ITEM_CHARS: Final = 10_000


class Drawn(NamedTuple):
    """One more character of every stream.

    Args:
        chars: one a stream; empty where the stream has ended.
        log_p_B: natural logarithms of the model's own probabilities, before temperature and
            filters, float64 [B]; NaN where the stream has ended.
    """

    chars: list[str]
    log_p_B: LogProbabilities


class Sample(NamedTuple):
    """One finished continuation.

    Args:
        text: the characters that were drawn; where a document ended, the symbol that ends it.
        log_probabilities: of each under the model, as in `Drawn`, [len(text)].
    """

    text: str
    log_probabilities: list[float]

    @property
    def bits(self) -> float:
        """What the model paid for the text."""
        return -sum(self.log_probabilities) / NATS_PER_BIT


def exclude(log_p: LogProbabilities, ids: Sequence[int]) -> LogProbabilities:
    """Exclude some characters."""
    log_p = log_p.copy()
    log_p[..., ids] = -np.inf
    return log_p


def keep_top_k(log_p: LogProbabilities, k: int) -> LogProbabilities:
    """Keep the k most likely; of equals, the first."""
    order = np.argsort(-log_p, axis=-1, kind="stable")
    return _keep(log_p, order, np.arange(log_p.shape[-1]) < k)


def keep_top_p(log_p: LogProbabilities, p: float) -> LogProbabilities:
    """Keep the fewest whose probabilities reach p of the whole (Holtzman et al. 2020).

    Of equals, the first.
    """
    order = np.argsort(-log_p, axis=-1, kind="stable")
    reached = np.cumsum(np.take_along_axis(probabilities(log_p), order, -1), -1)
    # What is reached before a symbol decides on it, so that the first to reach p is kept; against
    # rounding at p = 1.
    before = np.concatenate([np.zeros_like(reached[..., :1]), reached[..., :-1]], -1)
    return _keep(log_p, order, before < p * (1 - 1e-12))


def keep_min_p(log_p: LogProbabilities, p: float) -> LogProbabilities:
    """Keep those at least p times as probable as the most likely (Nguyen et al. 2025)."""
    least = log_p.max(-1, keepdims=True) + math.log(p)
    return np.where(log_p >= least, log_p, -np.inf)


def with_temperature(log_p: LogProbabilities, temperature: float) -> LogProbabilities:
    """Divide the logarithms by the temperature; at 0 only the most likely is left."""
    if temperature == 0:
        return keep_top_k(log_p, 1)
    # The largest at 0 first: then the smallest temperature can't overflow what matters.
    with np.errstate(over="ignore"):
        scaled: LogProbabilities = (log_p - log_p.max(-1, keepdims=True)) / temperature
    scaled[np.isneginf(log_p)] = -np.inf
    return scaled


def probabilities(log_p: LogProbabilities) -> npt.NDArray[np.float64]:
    """Exponentiate and renormalize."""
    p: npt.NDArray[np.float64] = np.exp(log_p - log_p.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p


def filters_of(config: SampleConfig, alphabet: Alphabet) -> list[Filter]:
    """Return the filters that the options ask for, in the order in which they are applied.

    The unknown character is never drawn, for it can't be written.

    Raises:
        ConfigError: when every character is forbidden.
    """
    excluded = {UNKNOWN, *alphabet.encode(alphabet.to_symbols(config.forbid)).tolist()}
    if len(excluded) == len(alphabet):
        raise ConfigError("--forbid excludes every character of the model")
    allowed = partial(exclude, ids=sorted(excluded))
    filters: list[Filter] = [allowed, *(_checked(one, allowed) for one in config.filters)]
    filters.append(partial(with_temperature, temperature=config.temperature))
    if config.top_k is not None:
        filters.append(partial(keep_top_k, k=config.top_k))
    if config.top_p is not None:
        filters.append(partial(keep_top_p, p=config.top_p))
    if config.min_p is not None:
        filters.append(partial(keep_min_p, p=config.min_p))
    return filters


def next_distribution(
    log_p: npt.NDArray[np.floating], filters: Iterable[Filter]
) -> LogProbabilities:
    """Return the model's log-probabilities after every filter."""
    filtered: LogProbabilities = log_p.astype(np.float64)
    for keep in filters:
        filtered = keep(filtered)
    return filtered


def _checked(filter_of_user: Filter, allowed: Filter) -> Filter:
    """Guard a user's filter: it must leave a distribution of allowed characters."""

    def keep(log_p: LogProbabilities) -> LogProbabilities:
        filtered = np.asarray(filter_of_user(log_p.copy()), np.float64)
        if filtered.shape != log_p.shape or np.isnan(filtered).any() or (filtered > 1e300).any():
            raise ConfigError(
                f"a filter must return log-probabilities {log_p.shape}, not {filtered.shape} or NaN"
            )
        filtered = allowed(filtered)
        if np.isneginf(filtered).all(-1).any():
            raise ConfigError("the filters exclude every character")
        return filtered

    return keep


def draw(log_p: LogProbabilities, u_B: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """One symbol a stream [B]: where the cumulated probability [B, V] first passes u in [0, 1)."""
    cumulated = np.cumsum(probabilities(log_p), -1)
    whole = cumulated[:, -1]
    # Below the whole, whatever the rounding: what has no probability is never passed last.
    passed = np.minimum(u_B * whole, np.nextafter(whole, 0.0))
    symbols: npt.NDArray[np.intp] = np.count_nonzero(cumulated <= passed[:, None], axis=-1)
    return symbols


def sample(
    predictor: Predictor,
    prime: str,
    config: SampleConfig,
    *,
    generator: np.random.Generator,
    restarts: bool = False,
) -> Iterator[str]:
    """Continue a text, character by character; as `sample_many` does, once."""
    for drawn in sample_many(
        predictor, prime, config, num_samples=1, generator=generator, restarts=restarts
    ):
        yield drawn.chars[0]


def sample_many(
    predictor: Predictor,
    prime: str | Sequence[str],
    config: SampleConfig,
    *,
    num_samples: int,
    generator: np.random.Generator,
    restarts: bool = False,
) -> Iterator[Drawn]:
    """Continue a text several times, all streams in one pass.

    A stream ends after `config.length` characters or `config.max_lines`, after the first of
    `config.until` in what it wrote, or with its document.

    Args:
        prime: symbols that come before, of all streams or of each; empty for the beginning of a
            document.
        restarts: after a document begins the next one, from a zero state.

    Raises:
        CorpusError: when the prime holds characters outside the vocabulary.
        ConfigError: when a filter of the user's leaves no character.
    """
    alphabet = predictor.alphabet
    primes = [prime] * num_samples if isinstance(prime, str) else prime
    prediction = _after_primes(predictor, primes)
    stops = tuple(map(alphabet.to_symbols, config.stops))
    max_lines = math.inf if config.max_lines is None else config.max_lines
    has_stops = bool(stops) or max_lines < math.inf
    filters = filters_of(config, alphabet)
    endings = [""] * num_samples
    num_lines = [0] * num_samples
    open_B = np.arange(num_samples)
    for _ in range(max_chars(config, alphabet)):
        # One number for every stream, open or not: none depends on when another ends.
        u_B = generator.random(num_samples)[open_B]
        ids_B = draw(next_distribution(prediction.log_p, filters), u_B)
        chars = [""] * num_samples
        log_p_B = np.full(num_samples, np.nan)
        log_p_B[open_B] = np.take_along_axis(prediction.log_p, ids_B[:, None], -1)[:, 0]
        for stream, char in zip(open_B, alphabet.decode(ids_B), strict=True):
            chars[stream] = char
        yield Drawn(chars, log_p_B)
        has_ended_B = np.zeros(len(ids_B), np.bool_)
        if alphabet.end_id is not None:
            has_ended_B = ids_B == alphabet.end_id
        is_open_B = np.full(len(ids_B), fill_value=True) if restarts else ~has_ended_B
        for place, stream in enumerate(open_B if has_stops else ()):
            endings[stream] = (endings[stream] + chars[stream])[-max(map(len, stops), default=1) :]
            num_lines[stream] += chars[stream] == "\n"
            has_stopped = num_lines[stream] >= max_lines or endings[stream].endswith(stops)
            is_open_B[place] &= not has_stopped
        if not is_open_B.any():
            return
        if not is_open_B.all():
            prediction = prediction.of_streams(np.flatnonzero(is_open_B))
            ids_B, open_B, has_ended_B = ids_B[is_open_B], open_B[is_open_B], has_ended_B[is_open_B]
        prediction = predictor.read(ids_B, prediction)
        if has_ended_B.any():
            prediction = prediction.restarted(has_ended_B, predictor.start())


def max_chars(config: SampleConfig, alphabet: Alphabet) -> int:
    """Return the most characters of a sample: an item of a list ends by itself."""
    default = _MAX_ITEM_CHARS if alphabet.are_lines else _TEXT_CHARS
    return default if config.length is None else config.length


def num_cut(samples: Iterable[str], config: SampleConfig, alphabet: Alphabet) -> int:
    """Count the documents that reached the most characters instead of an end."""
    if alphabet.end is None:
        return 0
    line_end = () if config.max_lines is None else ("\n",)
    ends = (alphabet.end, *map(alphabet.to_symbols, config.stops), *line_end)
    most = max_chars(config, alphabet)
    return sum(len(text) >= most and not text.endswith(ends) for text in samples)


def _after_primes(predictor: Predictor, primes: Sequence[str]) -> PredictorState:
    """Return the prediction after each prime, in as many streams."""
    numbers = {prime: number for number, prime in enumerate(dict.fromkeys(primes))}
    for prime in numbers:
        predictor.alphabet.require_known(prime)
    states = (predictor.read_text(prime, predictor.start()) for prime in numbers)
    together = functools.reduce(PredictorState.joined, states)
    return together.of_streams(np.array([numbers[prime] for prime in primes], np.intp))


def collect(drawn: Iterable[Drawn], num_samples: int) -> list[Sample]:
    """Put together what was drawn for each stream."""
    chars: list[list[str]] = [[] for _ in range(num_samples)]
    log_p: list[list[float]] = [[] for _ in range(num_samples)]
    for drawn_chars, log_p_B in drawn:
        for stream, char in enumerate(drawn_chars):
            if char:
                chars[stream].append(char)
                log_p[stream].append(float(log_p_B[stream]))
    return [Sample("".join(text), logs) for text, logs in zip(chars, log_p, strict=True)]


def _keep(
    log_p: LogProbabilities, order: npt.NDArray[np.intp], is_kept_in_order: npt.NDArray[np.bool_]
) -> LogProbabilities:
    is_kept = np.empty(log_p.shape, np.bool_)
    np.put_along_axis(is_kept, order, np.broadcast_to(is_kept_in_order, log_p.shape), -1)
    return np.where(is_kept, log_p, -np.inf)
