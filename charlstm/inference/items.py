"""More like these: whole documents of a list, drawn until there are enough that are wanted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from charlstm.config import SampleConfig
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import Sample, collect, sample_many
from charlstm.text.alphabet import Alphabet
from charlstm.text.patterns import found_in

# Streams side by side: wider products of matrices are faster, up to a few thousand of them.
_MAX_STREAMS: Final = 2048
_MIN_STREAMS: Final = 64
# Draws without one that is wanted, for each that is asked for, until it is given up.
_PATIENCE: Final = 20
PATIENCE: Final = 2000
# The same where a pattern says what is wanted: one in so many may fit.
PATIENCE_FOR_MATCHES: Final = 100_000
# Characters in vain until it is given up, however few draws that are: about half a minute.
_MAX_CHARS_IN_VAIN: Final = 2_000_000

# Which of some items are wanted, given as whole texts, prime and end included.
ItemFilter = Callable[[list[str]], Iterable[bool]]


@dataclass(frozen=True, kw_only=True)
class Items:
    """Items that were drawn.

    Args:
        num_drawn: how many were, the unwanted ones among them; `num_wanted` passed all filters.
        problem: why there are fewer than were asked for; None where there are as many.
    """

    samples: tuple[Sample, ...]
    num_drawn: int
    num_wanted: int
    problem: str | None = None


def draw_items(
    predictor: Predictor,
    prime: str,
    config: SampleConfig,
    *,
    num_items: int,
    generator: np.random.Generator,
    filters: Iterable[ItemFilter] = (),
    patience: int = PATIENCE,
) -> Items:
    """Draw documents until so many pass all filters, or hardly any does.

    Args:
        prime: symbols that each begins with.
        patience: draws without one that passes until it is given up, at least.

    Raises:
        CorpusError: when the prime holds characters outside the vocabulary.
    """
    filters = tuple(filters)
    end = predictor.alphabet.end
    if filters and end is not None:
        # What was cut at its longest is no item.
        filters = (lambda texts: [text.endswith(end) for text in texts], *filters)
    patience = max(patience, _PATIENCE * num_items)
    samples: list[Sample] = []
    num_drawn = num_in_vain = chars_in_vain = 0
    while len(samples) < num_items:
        if num_in_vain >= patience or chars_in_vain >= _MAX_CHARS_IN_VAIN:
            problem = (
                f"only {len(samples):,} of {num_items:,} items in {num_drawn:,} draws, none in the "
                f"last {num_in_vain:,}: the model hardly writes others; a higher --temperature or "
                "another --match may help"
            )
            return Items(
                samples=tuple(samples),
                num_drawn=num_drawn,
                num_wanted=len(samples),
                problem=problem,
            )
        wanted = num_items - len(samples)
        # The rarer what is wanted, the more at once.
        least = max(_MIN_STREAMS, num_in_vain) if filters else 1
        num_streams = min(_MAX_STREAMS, max(wanted, least))
        drawn = sample_many(predictor, prime, config, num_samples=num_streams, generator=generator)
        found = collect(drawn, num_streams)
        num_drawn += len(found)
        num_chars = sum(len(one.text) for one in found)
        for is_wanted in filters:
            texts = [prime + one.text for one in found]
            found = [one for one, fits in zip(found, is_wanted(texts), strict=True) if fits]
        samples += found
        num_in_vain = 0 if found else num_in_vain + num_streams
        chars_in_vain = 0 if found else chars_in_vain + num_chars
    return Items(samples=tuple(samples[:num_items]), num_drawn=num_drawn, num_wanted=len(samples))


def matching(pattern: str, alphabet: Alphabet) -> ItemFilter:
    """Passes what a valid regular expression matches in full, without what ends it."""

    def match(texts: list[str]) -> list[bool]:
        readable = [alphabet.to_text(alphabet.without_end(text)) for text in texts]
        return found_in(rf"\A(?:{pattern})\Z", readable)

    return match


def unique() -> ItemFilter:
    """Passes what was not seen before."""
    seen: set[str] = set()

    def is_first(text: str) -> bool:
        is_new = text not in seen
        seen.add(text)
        return is_new

    return lambda texts: list(map(is_first, texts))
