"""Tables whose rows are documents: CSV and TSV with a header, and JSON lines.

Rows are yielded as soon as their lines are complete, so tables can be streamed from a pipe.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from charlstm.errors import CorpusError
from charlstm.reading.lines import MAX_LINE_CHARS, complete_lines
from charlstm.settings import TableFormat

_FORMATS: Final[dict[str, TableFormat]] = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"
}  # fmt: skip
_DIALECTS: Final = {"csv": csv.excel, "tsv": csv.excel_tab}


def format_of(name: str) -> TableFormat | None:
    """Return the table format of a file name's extension; None if it is not a table's."""
    suffixes = reversed(PurePath(name.lower()).suffixes)  # .csv.gz is also CSV
    return next((_FORMATS[suffix] for suffix in suffixes if suffix in _FORMATS), None)


class Row(NamedTuple):
    """One row of a table.

    Args:
        number: row number from 1, not counting the header.
        text: text of the chosen column.
        cells: (column name, value) pairs of all columns.
    """

    number: int
    text: str
    cells: Sequence[tuple[str, Any]] = ()


class Table:
    """A table that can be read once.

    Args:
        name: file name, for messages.
        pieces: the table's text.
        column: name of the column with the documents.
        form: table format; None to infer it from `name`.

    Raises:
        CorpusError: if the format is unknown, or the header lacks the column.
    """

    def __init__(
        self, name: str, pieces: Iterable[str], column: str, form: TableFormat | None
    ) -> None:
        table_format = form or format_of(name)
        if table_format is None:
            suffixes = ", ".join(_FORMATS)
            raise CorpusError(f"{name}: doesn't end in {suffixes}: give --format csv, tsv or jsonl")
        self._name = name
        self._column = column
        self._ready: deque[str] = deque()
        self._dialect = _DIALECTS.get(table_format)
        self._rows = self._cells(_lines(name, pieces, self._ready))
        # None for JSON lines, where each row has its own column names.
        self._header = None if self._dialect is None else next(self._rows)[1]
        if self._header is not None:
            self.cell(Row(0, "", [(name, name) for name in self._header]), column)

    @property
    def has_header(self) -> bool:
        """Whether the table has a header, which makes all cells strings."""
        return self._header is not None

    def rows(self) -> Iterator[list[Row]]:
        """Yield the rows, as many at a time as are available.

        Raises:
            CorpusError: if a row is invalid or lacks the column; the rows before it are yielded.
        """
        rows: list[Row] = []
        try:
            for number, (line, values) in enumerate(self._rows, start=1):
                rows.append(self._row(number, line, values))
                if not self._ready:
                    yield rows
                    rows = []
        except CorpusError:
            if rows:
                yield rows
            raise
        if rows:
            yield rows

    def _row(self, number: int, line: int, values: Any) -> Row:
        names = self._header
        if names is not None and len(names) != len(values):
            raise self._error(number, line, f"{len(values)} instead of {len(names)} fields")
        cells = list(values.items() if names is None else zip(names, values, strict=True))
        row = Row(number, "", cells)
        return row._replace(text=self.cell(row, self._column))

    def cell(self, row: Row, column: str) -> str:
        """Return a row's text in a column; JSON numbers are converted.

        Raises:
            CorpusError: if the row has no such column, or the value isn't a string or number.
        """
        values = [value for name, value in row.cells if name == column]
        if len(values) != 1:
            problem = "has several columns" if values else "has no column"
            names = ", ".join(dict.fromkeys(name for name, _ in row.cells))
            raise self._error(row.number, None, f"{problem} {column!r}; it has {names or 'none'}")
        (value,) = values
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            problem = f"{column!r} is neither a string nor a number"
            raise self._error(row.number, None, problem)
        return str(value)

    def header(self, names: Iterable[str]) -> str | None:
        """Return the header line with columns appended; None for JSON lines.

        Raises:
            CorpusError: if the table already has one of the columns.
        """
        if self._header is None or self._dialect is None:
            return None
        self._refuse_columns(0, set(self._header).intersection(names))
        return _csv_line([*self._header, *names], self._dialect)

    def line(self, row: Row, columns: Mapping[str, Any]) -> str:
        """Return a row with columns appended, in the table's format, without a line end."""
        if self._dialect is not None:
            return _csv_line([*(value for _, value in row.cells), *columns.values()], self._dialect)
        record = dict(row.cells)
        self._refuse_columns(row.number, record.keys() & columns.keys())
        return json.dumps({**record, **columns})

    def _cells(self, lines: Iterator[str]) -> Iterator[tuple[int, Any]]:
        """Yield (line number, values) of the header, if any, and of each row.

        Values are lists of strings, or dictionaries for JSON lines.
        """
        number = -1 if self._dialect else 0
        if self._dialect is None:
            for line_number, line in enumerate(lines, start=1):
                if line.strip():
                    number += 1
                    yield line_number, self._record(number, line_number, line)
            return
        # An unclosed quote swallows the rest of the file.
        csv.field_size_limit(MAX_LINE_CHARS)
        reader = csv.reader(lines, self._dialect, strict=True)
        try:
            for values in reader:
                if values:
                    number += 1
                    yield reader.line_num, values
        except csv.Error as error:
            raise self._error(number + 1, reader.line_num, str(error)) from error
        if number < 0:
            raise CorpusError(f"{self._name}: the table is empty")

    def _record(self, number: int, line_number: int, line: str) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._error(number, line_number, f"is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise self._error(number, line_number, "is not a JSON object")
        return record

    def _refuse_columns(self, number: int, names: set[str]) -> None:
        if names:
            raise self._error(number, None, f"already has a column {min(names)!r}; rename it")

    def _error(self, number: int, line: int | None, problem: str) -> CorpusError:
        place = f"row {number}" if number else "the header"
        return CorpusError(f"{self._name}: {place}{f' (line {line})' if line else ''}: {problem}")


def _lines(name: str, pieces: Iterable[str], ready: deque[str]) -> Iterator[str]:
    """Yield lines with their line ends; `ready` holds complete lines not yet consumed."""
    for lines in complete_lines(name, pieces, ends="\r\n"):
        ready.extend(lines)
        while ready:
            yield ready.popleft()


def _csv_line(values: Iterable[Any], dialect: type[csv.Dialect]) -> str:
    line = io.StringIO()
    csv.writer(line, dialect).writerow(values)
    return line.getvalue().removesuffix(dialect.lineterminator)
