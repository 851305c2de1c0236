"""Input and output rows of `charlstm score`: lines or documents of texts, or rows of a table."""

import codecs
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final

from charlstm.api.model import Model
from charlstm.commands.eval_text import read_files
from charlstm.commands.options import pieces_of
from charlstm.config import STDIN, ReadingConfig
from charlstm.errors import CorpusError
from charlstm.evaluation.items import ItemScore
from charlstm.settings import ReadingSettings
from charlstm.system.terminal import escape, is_animated
from charlstm.text.lines import complete_lines
from charlstm.text.tables import Row, Table
from charlstm.views.items import Answer, as_cells, columns, marked, record, shown

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
        yield map(_as_typed, texts) if tokenizer.is_byte else texts


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


def batched(batches: Iterable[Iterable[Row]]) -> Iterator[list[Row]]:
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
        yield _as_typed(piece) if config.level == "byte" else piece


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


def _as_typed(symbols: str) -> str:
    """Decode a byte model's symbols as UTF-8; invalid bytes become surrogate escapes."""
    return symbols.encode("latin-1").decode("utf-8", "surrogateescape")


def _safe(line: str) -> str:
    """Escape control characters of a line if stdout is a terminal."""
    return escape(line, keep="\t\n") if sys.stdout.isatty() else line
