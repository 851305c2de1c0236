"""Which of several models a text suits best."""

from collections.abc import Iterable, Iterator, Sequence

from charlstm.api.model import Model
from charlstm.errors import ConfigError
from charlstm.evaluation.items import Classified, batches_of, classified


def classify(
    lines: Iterable[str], models: Sequence[Model], *, with_counts: bool = False
) -> Iterator[Classified]:
    """Score lines by several models, as they come.

    >>> one = next(charlstm.classify(["the quick"], [model, charlstm.load("example")]))
    >>> one.best, one.posterior > 0.5
    ('tiny', True)

    Args:
        lines: as of `Model.score_lines`.
        with_counts: of the network and the counts of its training text together.

    Raises:
        ConfigError: when there are no models, or two have the same name.
        CorpusError: when there is no text to count.
    """
    by_name = {one.name: (one.alphabet, one.predictions(with_counts=with_counts)) for one in models}
    if not models or len(by_name) < len(models):
        raise ConfigError("give at least one model, each once")
    for number, texts in batches_of(lines):
        yield from classified(texts, by_name, first_number=number)
