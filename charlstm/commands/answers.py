"""What `charlstm score` says of rows, by one model or several, written as rows come."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from charlstm.api.model import Model
from charlstm.commands.rows import Rows, in_memory
from charlstm.commands.scored import read_files
from charlstm.errors import ConfigError
from charlstm.evaluation.items import (
    Classified,
    ItemScore,
    Predict,
    character_scores,
    classified,
    score_items,
)
from charlstm.system.terminal import say
from charlstm.text.alphabet import Alphabet
from charlstm.views.items import (
    CHARACTER_HEADER,
    HEADER,
    Answer,
    character_row,
    classified_header,
    confusion_lines,
)

# Each model's alphabet, and what predicts by it, by the model's name.
Readers = dict[str, tuple[Alphabet, Predict]]


@dataclass(frozen=True)
class Limit:
    """What an item must cost at least to be written."""

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


class Judge(NamedTuple):
    """One model that scores texts, or several between which it chooses.

    Args:
        columns: the names of what it says.
        answers: to texts, the first of which has this number.
    """

    columns: Sequence[str]
    answers: Callable[[Sequence[str], int], Sequence[Answer]]


def judge(models: Sequence[Model], readers: Readers, *, with_counts: bool, needs: bool) -> Judge:
    """Return what scores texts.

    Args:
        needs: whether percentiles are needed.

    Raises:
        ConfigError: when they are, and there is nothing to compare with.
    """
    if len(models) > 1:
        return Judge(
            classified_header([*readers]),
            lambda texts, first: classified(texts, readers, first_number=first),
        )
    (model,) = models
    percentiles = model.percentiles(with_counts=with_counts, notify=say)
    if needs and percentiles is None:
        raise ConfigError("--above: there is no validation text to compare with")
    reader = readers[model.name]
    return Judge(
        HEADER, lambda texts, first: score_items(texts, *reader, percentiles, first_number=first)
    )


def write_rows(
    rows: Rows, judge: Judge, limit: Limit | None
) -> tuple[int, Counter[tuple[str, str]]]:
    """Write each row as soon as it is there.

    Returns:
        The number of rows written, and how often each label got each of several models.
    """
    number = 0
    counts: Counter[tuple[str, str]] = Counter()
    for some in in_memory(rows.batches()):
        answers = judge.answers([row.text for row in some], some[0].number)
        try:
            for row, answer in zip(some, answers, strict=True):
                if isinstance(answer, Classified):
                    counts[rows.label(row), answer.best] += 1
                elif limit is not None and not limit.is_met(answer):
                    continue
                sys.stdout.write(f"{rows.line(row, answer)}\n")
                number += 1
        finally:  # the rows before one that can't be written
            sys.stdout.flush()
    return number, counts


def say_counts(counts: Counter[tuple[str, str]], names: Sequence[str], *, expected: bool) -> None:
    """Say how often each of several models was the best, or the expected one."""
    if expected:
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
    for one in character_scores(text.split, text.original, model.alphabet, predict):
        print(json.dumps(one._asdict()) if as_json else character_row(one))


def print_bits(text: str, readers: Readers, *, as_json: bool) -> None:
    """Print what one text costs each model."""
    several = len(readers) > 1
    bits = {
        name: score_items([text], *one, None, names_unknown=several)[0].bits
        for name, one in readers.items()
    }
    print(
        json.dumps({"bits": bits}) if as_json else "\t".join(f"{one:.3f}" for one in bits.values())
    )
