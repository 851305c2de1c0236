"""Sample items of a list until enough of them pass the filters."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from charlstm.config import SampleConfig
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import Sample, collect, sample_many
from charlstm.reading.patterns import found_in
from charlstm.text.tokenizer import CharTokenizer

# Parallel streams: larger matrix products are faster, up to a few thousand streams.
_MAX_STREAMS: Final = 2048
_MIN_STREAMS: Final = 64
# Give up after this number of rejected draws in a row, per requested item, but at least PATIENCE.
_PATIENCE_PER_ITEM: Final = 20
PATIENCE: Final = 2000
# PATIENCE for patterns, which may only match one in many draws.
PATIENCE_FOR_MATCHES: Final = 100_000
# Give up after this number of characters in rejected draws, about half a minute.
_MAX_REJECTED_CHARS: Final = 2_000_000

# Return whether to keep each item, given as text including prime and EOS.
ItemFilter = Callable[[list[str]], Iterable[bool]]


@dataclass(frozen=True, kw_only=True)
class DrawnItems:
    """Sampled items that passed the filters.

    Args:
        num_drawn: number of samples, including rejected ones.
        num_accepted: number of samples that passed all filters.
        problem: why there are fewer items than requested, or None.
    """

    samples: tuple[Sample, ...]
    num_drawn: int
    num_accepted: int
    problem: str | None = None


def draw_items(
    predictor: Predictor,
    prime: str,
    config: SampleConfig,
    *,
    num_items: int,
    generator: np.random.Generator,
    item_filters: Iterable[ItemFilter] = (),
    patience: int = PATIENCE,
) -> DrawnItems:
    """Sample items until `num_items` pass all filters.

    Args:
        prime: tokens that each item starts with.
        patience: minimum number of rejected draws in a row before giving up.

    Raises:
        CorpusError: when the prime contains characters outside the vocabulary.
    """
    item_filters = tuple(item_filters)
    eos = predictor.tokenizer.eos
    if item_filters and eos is not None:
        # Reject empty items and those that were cut at the maximum length.
        item_filters = (
            lambda texts: [text.endswith(eos) and text != eos for text in texts],
            *item_filters,
        )
    patience = max(patience, _PATIENCE_PER_ITEM * num_items)
    samples: list[Sample] = []
    problem = None
    num_drawn = num_rejected = rejected_chars = 0
    while len(samples) < num_items:
        if num_rejected >= patience or rejected_chars >= _MAX_REJECTED_CHARS:
            problem = (
                f"only {len(samples):,} of {num_items:,} items in {num_drawn:,} draws, none in the "
                f"last {num_rejected:,}: the model rarely generates others; try a higher "
                "--temperature or another --match"
            )
            break
        num_missing = num_items - len(samples)
        # The rarer matches are, the more streams run in parallel.
        min_streams = max(_MIN_STREAMS, num_rejected) if item_filters else 1
        num_streams = min(_MAX_STREAMS, max(num_missing, min_streams))
        steps = sample_many(predictor, prime, config, num_samples=num_streams, generator=generator)
        batch = collect(steps, num_streams)
        num_drawn += len(batch)
        num_chars = sum(len(sample.text) for sample in batch)
        for keep in item_filters:
            texts = [prime + sample.text for sample in batch]
            batch = [sample for sample, kept in zip(batch, keep(texts), strict=True) if kept]
        samples += batch
        num_rejected = 0 if batch else num_rejected + num_streams
        rejected_chars = 0 if batch else rejected_chars + num_chars
    return DrawnItems(
        samples=tuple(samples[:num_items]),
        num_drawn=num_drawn,
        num_accepted=len(samples),
        problem=problem,
    )


def matching(pattern: str, tokenizer: CharTokenizer) -> ItemFilter:
    """Return a filter that keeps items, without EOS, that fully match a regular expression."""

    def match(texts: list[str]) -> list[bool]:
        readable = [tokenizer.to_text(tokenizer.without_end(text)) for text in texts]
        return found_in(rf"\A(?:{pattern})\Z", readable)

    return match


def unique() -> ItemFilter:
    """Return a filter that keeps the first of equal items."""
    seen: set[str] = set()

    def is_first(text: str) -> bool:
        is_new = text not in seen
        seen.add(text)
        return is_new

    return lambda texts: list(map(is_first, texts))
