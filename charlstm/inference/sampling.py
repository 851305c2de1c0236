"""Sample characters from a model's distribution.

A filter maps log-probabilities (in nats) to log-probabilities, with excluded characters at minus
infinity. `build_filters` makes a list of filters from the options, and `next_distribution` applies
it; the result is renormalized once, when a character is drawn.

Shapes: B parallel streams, V tokens; filters work on the last axis.
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
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import UNKNOWN

LogProbabilities = npt.NDArray[np.float64]
Filter = Callable[[LogProbabilities], LogProbabilities]

_TEXT_CHARS: Final = 500
# Safety limit for models that never generate EOS.
_MAX_ITEM_CHARS: Final = 10_000


class DrawnCharacters(NamedTuple):
    """The next character of every stream.

    Args:
        chars: one per stream; empty if the stream has ended.
        log_p_B: log-probabilities under the model before temperature and filters, in nats, float64
            [B]; NaN if the stream has ended.
    """

    chars: list[str]
    log_p_B: LogProbabilities


class Sample(NamedTuple):
    """A finished continuation.

    Args:
        text: the sampled characters, including EOS.
        log_probabilities: log-probability of each, as in `DrawnCharacters.log_p_B`, [len(text)].
    """

    text: str
    log_probabilities: list[float]

    @property
    def bits(self) -> float:
        """Surprisal of the text under the model."""
        return -sum(self.log_probabilities) / NATS_PER_BIT


def exclude(log_p: LogProbabilities, ids: Sequence[int]) -> LogProbabilities:
    """Exclude some characters."""
    log_p = log_p.copy()
    log_p[..., ids] = -np.inf
    return log_p


def keep_top_k(log_p: LogProbabilities, k: int) -> LogProbabilities:
    """Keep the k most likely; among equals, the first."""
    order = np.argsort(-log_p, axis=-1, kind="stable")
    return _keep(log_p, order, np.arange(log_p.shape[-1]) < k)


def keep_top_p(log_p: LogProbabilities, p: float) -> LogProbabilities:
    """Keep the smallest set with a total probability of at least p (Holtzman et al. 2020).

    Among equals, keep the first.
    """
    order = np.argsort(-log_p, axis=-1, kind="stable")
    reached = np.cumsum(np.take_along_axis(probabilities(log_p), order, -1), -1)
    # Compare the sum before each token, so that the token that reaches p is kept; the factor guards
    # against rounding at p = 1.
    before = np.concatenate([np.zeros_like(reached[..., :1]), reached[..., :-1]], -1)
    return _keep(log_p, order, before < p * (1 - 1e-12))


def keep_min_p(log_p: LogProbabilities, p: float) -> LogProbabilities:
    """Keep those at least p times as probable as the most likely (Nguyen et al. 2025)."""
    threshold = log_p.max(-1, keepdims=True) + math.log(p)
    return np.where(log_p >= threshold, log_p, -np.inf)


def with_temperature(log_p: LogProbabilities, temperature: float) -> LogProbabilities:
    """Divide log-probabilities by the temperature; 0 keeps only the most likely."""
    if temperature == 0:
        return keep_top_k(log_p, 1)
    # Shift the maximum to 0, so that low temperatures only overflow negligible values.
    with np.errstate(over="ignore"):
        scaled: LogProbabilities = (log_p - log_p.max(-1, keepdims=True)) / temperature
    scaled[np.isneginf(log_p)] = -np.inf
    return scaled


def probabilities(log_p: LogProbabilities) -> npt.NDArray[np.float64]:
    """Exponentiate and renormalize."""
    p: npt.NDArray[np.float64] = np.exp(log_p - log_p.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p


def build_filters(config: SampleConfig, tokenizer: CharTokenizer) -> list[Filter]:
    """Return the filters for the options, in the order of application.

    The unknown token is always excluded.

    Raises:
        ConfigError: when every character is forbidden.
    """
    excluded = {UNKNOWN, *tokenizer.encode(tokenizer.to_chars(config.forbid)).tolist()}
    if len(excluded) == len(tokenizer):
        raise ConfigError("--forbid excludes every character of the model's vocabulary")
    allowed = partial(exclude, ids=sorted(excluded))
    filters: list[Filter] = [allowed, *(_checked(custom, allowed) for custom in config.filters)]
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
    """Apply all filters to the model's log-probabilities."""
    filtered: LogProbabilities = log_p.astype(np.float64)
    for keep in filters:
        filtered = keep(filtered)
    return filtered


def _checked(custom: Filter, allowed: Filter) -> Filter:
    """Wrap a user's filter to check that it leaves a distribution of allowed characters."""

    def keep(log_p: LogProbabilities) -> LogProbabilities:
        filtered = np.asarray(custom(log_p.copy()), np.float64)
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
    """Draw one token per stream [B] by inverse transform sampling.

    Args:
        log_p: log-probabilities in nats [B, V].
        u_B: uniform random numbers in [0, 1).
    """
    cumulative = np.cumsum(probabilities(log_p), -1)
    total = cumulative[:, -1]
    # Stay below the total despite rounding, so that excluded tokens at the end are never drawn.
    threshold = np.minimum(u_B * total, np.nextafter(total, 0.0))
    ids: npt.NDArray[np.intp] = np.count_nonzero(cumulative <= threshold[:, None], axis=-1)
    return ids


def sample(
    predictor: Predictor,
    prime: str,
    config: SampleConfig,
    *,
    generator: np.random.Generator,
    restarts: bool = False,
) -> Iterator[str]:
    """Continue a text, character by character: `sample_many` with one stream."""
    for step in sample_many(
        predictor, prime, config, num_samples=1, generator=generator, restarts=restarts
    ):
        yield step.chars[0]


def sample_many(
    predictor: Predictor,
    prime: str | Sequence[str],
    config: SampleConfig,
    *,
    num_samples: int,
    generator: np.random.Generator,
    restarts: bool = False,
) -> Iterator[DrawnCharacters]:
    """Continue a text several times, in parallel streams.

    A stream ends after `config.length` characters, `config.max_lines` lines, the first of
    `config.until`, or EOS.

    Args:
        prime: tokens before the continuation, for all streams or one for each; empty for the start
            of a document.
        restarts: whether to start the next document, from a zero state, after EOS.

    Raises:
        CorpusError: when the prime contains characters outside the vocabulary.
        ConfigError: when a user's filter excludes every character.
    """
    tokenizer = predictor.tokenizer
    primes = [prime] * num_samples if isinstance(prime, str) else prime
    state = _after_primes(predictor, primes)
    stops = tuple(map(tokenizer.to_chars, config.until or ()))
    max_lines = math.inf if config.max_lines is None else config.max_lines
    has_stops = bool(stops) or max_lines < math.inf
    filters = build_filters(config, tokenizer)
    endings = [""] * num_samples
    num_lines = [0] * num_samples
    open_B = np.arange(num_samples)
    for _ in range(max_chars(config, tokenizer)):
        # Draw a number for every stream, also for ended ones, so that streams are independent.
        u_B = generator.random(num_samples)[open_B]
        ids_B = draw(next_distribution(state.log_p, filters), u_B)
        chars = [""] * num_samples
        log_p_B = np.full(num_samples, np.nan)
        log_p_B[open_B] = np.take_along_axis(state.log_p, ids_B[:, None], -1)[:, 0]
        for stream, char in zip(open_B, tokenizer.decode(ids_B), strict=True):
            chars[stream] = char
        yield DrawnCharacters(chars, log_p_B)
        has_ended_B = np.zeros(len(ids_B), np.bool_)
        if tokenizer.eos_id is not None:
            has_ended_B = ids_B == tokenizer.eos_id
        is_open_B = np.full(len(ids_B), fill_value=True) if restarts else ~has_ended_B
        for row, stream in enumerate(open_B if has_stops else ()):
            endings[stream] = (endings[stream] + chars[stream])[-max(map(len, stops), default=1) :]
            num_lines[stream] += chars[stream] == "\n"
            has_stopped = num_lines[stream] >= max_lines or endings[stream].endswith(stops)
            is_open_B[row] &= not has_stopped
        if not is_open_B.any():
            return
        if not is_open_B.all():
            state = state.of_streams(np.flatnonzero(is_open_B))
            ids_B, open_B, has_ended_B = ids_B[is_open_B], open_B[is_open_B], has_ended_B[is_open_B]
        state = predictor.read(ids_B, state)
        if has_ended_B.any():
            state = state.restarted(has_ended_B, predictor.start())


def max_chars(config: SampleConfig, tokenizer: CharTokenizer) -> int:
    """Return the maximum length of a sample in characters; items of a list usually end earlier."""
    default = _MAX_ITEM_CHARS if tokenizer.documents_are_lines else _TEXT_CHARS
    return default if config.length is None else config.length


def num_cut(samples: Iterable[str], config: SampleConfig, tokenizer: CharTokenizer) -> int:
    """Count the samples that were cut at the maximum length."""
    if tokenizer.eos is None:
        return 0
    line_end = () if config.max_lines is None else ("\n",)
    ends = (tokenizer.eos, *map(tokenizer.to_chars, config.until or ()), *line_end)
    limit = max_chars(config, tokenizer)
    return sum(len(text) >= limit and not text.endswith(ends) for text in samples)


def _after_primes(predictor: Predictor, primes: Sequence[str]) -> PredictorState:
    """Return the state after each prime, one stream per prime."""
    numbers = {prime: number for number, prime in enumerate(dict.fromkeys(primes))}
    for prime in numbers:
        predictor.tokenizer.require_known(prime)
    states = (predictor.read_all(prime, predictor.start()) for prime in numbers)
    joined = functools.reduce(PredictorState.joined, states)
    return joined.of_streams(np.array([numbers[prime] for prime in primes], np.intp))


def collect(steps: Iterable[DrawnCharacters], num_samples: int) -> list[Sample]:
    """Collect the characters of each stream into samples."""
    chars: list[list[str]] = [[] for _ in range(num_samples)]
    log_p: list[list[float]] = [[] for _ in range(num_samples)]
    for step_chars, log_p_B in steps:
        for stream, char in enumerate(step_chars):
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
