"""Classification of texts by the most likely of several models."""

from collections.abc import Iterable, Iterator, Sequence

from charlstm.api.model import Model
from charlstm.errors import ConfigError
from charlstm.evaluation.items import Classification, classify_items, line_batches


def classify(
    lines: Iterable[str], models: Sequence[Model], *, with_counts: bool = False
) -> Iterator[Classification]:
    """Yield the best of several models for each line, as lines arrive.

    >>> first = next(charlstm.classify(["the quick"], [model, charlstm.load("example")]))
    >>> first.best, first.posterior > 0.5
    ('tiny', True)

    Args:
        lines: see `Model.score_lines`.
        with_counts: interpolate each LSTM with an n-gram model of its training text.

    Raises:
        ConfigError: if there are no models, or two have the same name.
        CorpusError: if a training text is needed but unavailable.
    """
    by_name = {
        model.name: (model.tokenizer, model.predictions(with_counts=with_counts))
        for model in models
    }
    if not models or len(by_name) < len(models):
        raise ConfigError("give at least one model, each once")
    for number, texts in line_batches(lines):
        yield from classify_items(texts, by_name, first_number=number)
