"""Rows of `charlstm score`: read from texts or a table, scored and written as they arrive."""

import codecs
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from charlstm.api.model import Model
from charlstm.arguments.texts import pieces_of, read_files
from charlstm.config import STDIN, ReadingConfig
from charlstm.errors import ConfigError, CorpusError
from charlstm.evaluation.items import (
    Classification,
    ItemScore,
    Predict,
    character_scores,
    classify_items,
    score_items,
)
from charlstm.reading.lines import complete_lines
from charlstm.reading.tables import Row, Table
from charlstm.settings import ReadingSettings
from charlstm.system.terminal import escape, is_animated, say
from charlstm.text.tokenizer import CharTokenizer
from charlstm.views.items import (
    CHARACTER_HEADER,
    HEADER,
    Answer,
    as_cells,
    character_row,
    classified_header,
    columns,
    confusion_lines,
    marked,
    record,
    shown,
)

# Model name -> its tokenizer and prediction function.
Readers = dict[str, tuple[CharTokenizer, Predict]]
# Scores texts with one model or classifies them with several; also gets the first text's number.
Scorer = Callable[[Sequence[str], int], Sequence[Answer]]

_PIECE_BYTES: Final = 1 << 16
# Characters in a batch of rows that are scored together.
_BATCH_CHARS: Final = 1 << 19


class TextRows:
    """Lines or documents of texts, written after the models' columns.

    Args:
        models: the first one's settings decide how texts are decoded and split. Undecodable bytes
            are kept if a model is byte-level, else replaced.
        show: highlight the most surprising passage on a terminal.
    """

    def __init__(
        self,
        paths: Sequence[str],
        models: Sequence[Model],
        *,
        documents: bool,
        show: bool,
        as_json: bool,
    ) -> None:
        self._paths = paths
        self._model = models[0]
        has_bytes = any(model.tokenizer.is_byte for model in models)
        self._errors = "surrogateescape" if has_bytes else "replace"
        self._documents = documents
        self._as_json = as_json
        self._is_terminal = sys.stdout.isatty()
        self._is_marked = show and is_animated(sys.stdout)

    def batches(self) -> Iterator[Iterable[Row]]:
        """Yield batches of the rows available so far."""
        numbers = count(1)
        for path in self._paths:
            for batch in self._documents_of(path) if self._documents else self._lines_of(path):
                yield (Row(next(numbers), text) for text in batch)

    def header(self, names: Sequence[str]) -> str | None:
        """Return the header line, with the models' column `names`; None for JSON."""
        return None if self._as_json else "\t".join((*names, "text"))

    def line(self, row: Row, answer: Answer) -> str:
        """Return the output line for a row and its answer."""
        if self._as_json:
            return json.dumps(record(answer))
        if self._is_marked and isinstance(answer, ItemScore):
            text = marked(answer)
        else:
            text = shown(row.text, self._is_terminal)
        return "\t".join((*as_cells(columns(answer)).values(), text))

    def label(self, _row: Row) -> str:
        """Return the name of the correct model for a row; empty without labels."""
        return ""

    def _lines_of(self, path: str) -> Iterator[Iterable[str]]:
        pieces = _pieces(path, self._model.checkpoint.spec.corpus, self._errors)
        for lines in complete_lines(path, pieces):
            yield (line.removesuffix("\n") for line in lines)

    def _documents_of(self, path: str) -> Iterator[Iterable[str]]:
        """Yield a file's documents, split as the model's corpus was."""
        tokenizer = self._model.tokenizer
        other = read_files([path], self._model, self._errors)
        spans = zip(other.split.starts.tolist(), other.split.lengths.tolist(), strict=True)
        symbols = (other.original(start, start + length) for start, length in spans)
        texts = map(tokenizer.without_end, symbols)
        yield map(_decode_bytes, texts) if tokenizer.is_byte else texts


class TableRows:
    """Rows of a table, written in its own format with the models' columns appended.

    The methods are those of `TextRows`.

    Args:
        expect: name of the label column, or None.
    """

    def __init__(
        self, path: str, model: Model, reading: ReadingSettings, expect: str | None
    ) -> None:
        # Cells keep their line ends here; models normalize texts themselves.
        config = ReadingConfig(encoding=model.checkpoint.spec.corpus.encoding, keep_line_ends=True)
        self._table = Table(path, _pieces(path, config), reading.column or "", reading.format)
        self.batches = self._table.rows
        self._expect = expect

    def header(self, names: Sequence[str]) -> str | None:
        header = self._table.header(names)
        return header and _safe(header)

    def line(self, row: Row, answer: Answer) -> str:
        appended: dict[str, Any] = columns(answer)
        return _safe(
            self._table.line(row, as_cells(appended) if self._table.has_header else appended)
        )

    def label(self, row: Row) -> str:
        return "" if self._expect is None else self._table.cell(row, self._expect)


Rows = TextRows | TableRows


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


def build_scorer(
    models: Sequence[Model], readers: Readers, *, with_counts: bool, needs_percentiles: bool
) -> tuple[Sequence[str], Scorer]:
    """Return the names of the output columns, and a function that scores or classifies texts.

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
    rows: Rows, scorer: Scorer, limit: Limit | None
) -> tuple[int, Counter[tuple[str, str]]]:
    """Write each row as soon as it is scored.

    Returns:
        The number of rows written, and counts by (label, best model) if there are several models.
    """
    num_written = 0
    counts: Counter[tuple[str, str]] = Counter()
    for batch in _batched(rows.batches()):
        answers = scorer([row.text for row in batch], batch[0].number)
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
    for (_, name), number in counts.items():
        best[name] += number
    for name, number in best.most_common():
        say(f"{name}: {number:,} of {best.total():,}")


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


def _batched(batches: Iterable[Iterable[Row]]) -> Iterator[list[Row]]:
    """Collect rows into batches of limited size."""
    for rows in batches:
        collected: list[Row] = []
        num_chars = 0
        for row in rows:
            if num_chars > _BATCH_CHARS:
                yield collected
                collected, num_chars = [], 0
            collected.append(row)
            num_chars += len(row.text) + 1
        if collected:
            yield collected


def _pieces(path: str, config: ReadingConfig, errors: str = "replace") -> Iterator[str]:
    """Yield the text of a file or stdin, decoded with the model's settings."""
    if path == STDIN:
        yield from _arriving(config, errors)
        return
    for piece in pieces_of(path, config, errors):
        yield _decode_bytes(piece) if config.level == "byte" else piece


def _arriving(config: ReadingConfig, errors: str) -> Iterator[str]:
    """Yield text from stdin as it arrives; `errors` is Python's decoding error handler."""
    if sys.stdin is None:
        raise CorpusError("stdin is closed")
    as_bytes = config.level == "byte"
    encoding = "utf-8" if as_bytes else config.encoding
    if not as_bytes and codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"  # drops a byte order mark
    stdin: Any = sys.stdin.buffer
    decoder: Any = codecs.getincrementaldecoder(encoding)(errors)
    if not config.keeps_line_ends:
        decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
    while data := stdin.read1(_PIECE_BYTES):
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def _decode_bytes(symbols: str) -> str:
    """Decode a byte model's characters as UTF-8; invalid bytes become surrogate escapes."""
    return symbols.encode("latin-1").decode("utf-8", "surrogateescape")


def _safe(line: str) -> str:
    """Escape control characters of a line if stdout is a terminal."""
    return escape(line, keep="\t\n") if sys.stdout.isatty() else line
