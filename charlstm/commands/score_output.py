"""Scores and classifications of rows for `charlstm score`, written as rows arrive."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from charlstm.api.model import Model
from charlstm.commands.eval_text import read_files
from charlstm.commands.rows import Rows, batched
from charlstm.errors import ConfigError
from charlstm.evaluation.items import (
    Classification,
    ItemScore,
    Predict,
    character_scores,
    classify_items,
    score_items,
)
from charlstm.system.terminal import say
from charlstm.text.tokenizer import CharTokenizer
from charlstm.views.items import (
    CHARACTER_HEADER,
    HEADER,
    Answer,
    character_row,
    classified_header,
    confusion_lines,
)

# Model name -> its tokenizer and prediction function.
Readers = dict[str, tuple[CharTokenizer, Predict]]
# Scores texts with one model or classifies them with several; also gets the first text's number.
Judge = Callable[[Sequence[str], int], Sequence[Answer]]


@dataclass(frozen=True)
class Limit:
    """Lower bound on an item's bits per character or percentile, from --above."""

    value: float
    is_percentile: bool

    @classmethod
    def parse(cls, text: str) -> "Limit":
        found = re.fullmatch(r"(p?)(\d+(?:\.\d*)?|\.\d+)", text.strip().lower())
        if found is None or (found[1] and float(found[2]) > 100):
            raise ConfigError(f"--above: {text!r} is neither bits, such as 4.5, nor p0 to p100")
        return cls(float(found[2]), bool(found[1]))

    def is_met(self, item: ItemScore) -> bool:
        value = item.percentile if self.is_percentile else item.bits_per_char
        return value is not None and value >= self.value


def judge(
    models: Sequence[Model], readers: Readers, *, with_counts: bool, needs_percentiles: bool
) -> tuple[Sequence[str], Judge]:
    """Return the names of the output columns, and the judge for one model or several.

    Raises:
        ConfigError: if percentiles are required but there are no validation items.
    """
    if len(models) > 1:
        return classified_header([*readers]), lambda texts, first: classify_items(
            texts, readers, first_number=first
        )
    (model,) = models
    reader = readers[model.name]
    percentiles = model.percentiles(with_counts=with_counts, notify=say, predict=reader[1])
    if needs_percentiles and percentiles is None:
        raise ConfigError("--above: percentiles need a validation text, and this model has none")
    return HEADER, lambda texts, first: score_items(texts, *reader, percentiles, first_number=first)


def write_rows(
    rows: Rows, judge: Judge, limit: Limit | None
) -> tuple[int, Counter[tuple[str, str]]]:
    """Write each row as soon as it is scored.

    Returns:
        The number of rows written, and counts by (label, best model) if there are several models.
    """
    num_written = 0
    counts: Counter[tuple[str, str]] = Counter()
    for batch in batched(rows.batches()):
        answers = judge([row.text for row in batch], batch[0].number)
        try:
            for row, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Classification):
                    counts[rows.label(row), answer.best] += 1
                elif limit is not None and not limit.is_met(answer):
                    continue
                sys.stdout.write(f"{rows.line(row, answer)}\n")
                num_written += 1
        finally:  # also write out the rows before a failing one
            sys.stdout.flush()
    return num_written, counts


def print_summary(
    counts: Counter[tuple[str, str]], names: Sequence[str], *, has_labels: bool
) -> None:
    """Print how often each model was the best, or with labels the confusion matrix, to stderr."""
    if has_labels:
        for line in confusion_lines(counts, names):
            say(line)
        return
    best: Counter[str] = Counter()
    for (_, name), count in counts.items():
        best[name] += count
    for name, count in best.most_common():
        say(f"{name}: {count:,} of {best.total():,}")


def write_characters(
    model: Model, predict: Predict, paths: list[str], *, header: bool, as_json: bool
) -> None:
    text = read_files(paths, model)
    if header and not as_json:
        print("\t".join(CHARACTER_HEADER))
    for score in character_scores(text.split, text.original, model.tokenizer, predict):
        print(json.dumps(score._asdict()) if as_json else character_row(score))


def print_bits(text: str, readers: Readers, *, as_json: bool) -> None:
    """Print a text's surprisal under each model, in bits."""
    names_unknown = len(readers) > 1
    bits = {
        name: score_items([text], *reader, None, names_unknown=names_unknown)[0].bits
        for name, reader in readers.items()
    }
    print(json.dumps({"bits": bits}) if as_json else "\t".join(f"{b:.3f}" for b in bits.values()))
