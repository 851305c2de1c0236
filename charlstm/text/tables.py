"""Tables whose rows are documents: CSV and TSV with a header, JSON lines.

Rows come as soon as their lines are there, so a table from a pipe is answered row by row.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from charlstm.errors import CorpusError
from charlstm.settings import TableFormat
from charlstm.text.lines import MAX_LINE_CHARS, complete_lines

_FORMATS: Final[dict[str, TableFormat]] = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"
}  # fmt: skip
_DIALECTS: Final = {"csv": csv.excel, "tsv": csv.excel_tab}


def format_of(name: str) -> TableFormat | None:
    """Return the form that a file's name ends in; None for no table's."""
    endings = reversed(PurePath(name.lower()).suffixes)  # .csv.gz is also CSV
    return next((_FORMATS[one] for one in endings if one in _FORMATS), None)


class Row(NamedTuple):
    """One row of a table.

    Args:
        number: from 1, without the header.
        text: of the chosen column.
        cells: of all columns, with their names.
    """

    number: int
    text: str
    cells: Sequence[tuple[str, Any]] = ()


class Table:
    """A table, read once.

    Args:
        name: of its file, for messages.
        pieces: its text.
        column: the name of the column that holds the documents.
        form: None follows from the ending of `name`.

    Raises:
        CorpusError: when its form isn't known, or its header lacks the column.
    """

    def __init__(
        self, name: str, pieces: Iterable[str], column: str, form: TableFormat | None
    ) -> None:
        found = form or format_of(name)
        if found is None:
            known = ", ".join(_FORMATS)
            raise CorpusError(f"{name}: doesn't end in {known}: give --format csv, tsv or jsonl")
        self._name = name
        self._column = column
        self._ready: deque[str] = deque()
        self._dialect = _DIALECTS.get(found)
        self._rows = self._cells(_lines(name, pieces, self._ready))
        # None for JSON lines, each of which has its own names.
        self._header = None if self._dialect is None else next(self._rows)[1]
        if self._header is not None:
            self.cell(Row(0, "", [(one, one) for one in self._header]), column)

    @property
    def has_header(self) -> bool:
        """Whether its cells are texts, and its columns are named once."""
        return self._header is not None

    def rows(self) -> Iterator[list[Row]]:
        """The rows, as many at once as are there.

        Raises:
            CorpusError: naming the row that is broken, or lacks the column; after the rows before.
        """
        found: list[Row] = []
        try:
            for number, (line, values) in enumerate(self._rows, start=1):
                found.append(self._row(number, line, values))
                if not self._ready:
                    yield found
                    found = []
        except CorpusError:
            if found:
                yield found
            raise
        if found:
            yield found

    def _row(self, number: int, line: int, values: Any) -> Row:
        names = self._header
        if names is not None and len(names) != len(values):
            raise self._error(number, line, f"{len(values)} instead of {len(names)} fields")
        cells = list(values.items() if names is None else zip(names, values, strict=True))
        row = Row(number, "", cells)
        return row._replace(text=self.cell(row, self._column))

    def cell(self, row: Row, column: str) -> str:
        """A row's text in a column; numbers of JSON are converted.

        Raises:
            CorpusError: when it has no such column, or something else there.
        """
        values = [value for name, value in row.cells if name == column]
        if len(values) != 1:
            what = "has several columns" if values else "has no column"
            names = ", ".join(dict.fromkeys(name for name, _ in row.cells))
            raise self._error(row.number, None, f"{what} {column!r}; it has {names or 'none'}")
        (value,) = values
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            what = f"{column!r} is neither a string nor a number"
            raise self._error(row.number, None, what)
        return str(value)

    def header(self, names: Iterable[str]) -> str | None:
        """The first line of the table with columns appended; None for JSON lines.

        Raises:
            CorpusError: when it has one of them already.
        """
        if self._header is None or self._dialect is None:
            return None
        self._refuse(0, set(self._header).intersection(names))
        return _written([*self._header, *names], self._dialect)

    def line(self, row: Row, columns: Mapping[str, Any]) -> str:
        """A row with columns appended, in the table's own form, without its line end."""
        if self._dialect is not None:
            return _written([*(value for _, value in row.cells), *columns.values()], self._dialect)
        own = dict(row.cells)
        self._refuse(row.number, own.keys() & columns.keys())
        return json.dumps({**own, **columns})

    def _cells(self, lines: Iterator[str]) -> Iterator[tuple[int, Any]]:
        """The header and the rows, each with the number of its line: lists, or dictionaries."""
        number = -1 if self._dialect else 0
        if self._dialect is None:
            for line_number, line in enumerate(lines, start=1):
                if line.strip():
                    number += 1
                    yield line_number, self._record(number, line_number, line)
            return
        # A quote that is never closed takes in the rest of the file.
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
            raise CorpusError(f"{self._name}: the table is empty: it has no header")

    def _record(self, number: int, line_number: int, line: str) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._error(number, line_number, f"is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise self._error(number, line_number, "is not a JSON object")
        return record

    def _refuse(self, number: int, names: set[str]) -> None:
        if names:
            raise self._error(number, None, f"has a column {min(names)!r} already; rename it")

    def _error(self, number: int, line: int | None, what: str) -> CorpusError:
        place = f"row {number}" if number else "the header"
        return CorpusError(f"{self._name}: {place}{f' (line {line})' if line else ''}: {what}")


def _lines(name: str, pieces: Iterable[str], ready: deque[str]) -> Iterator[str]:
    """Lines with their ends; `ready` holds those that are complete and not taken yet."""
    for lines in complete_lines(name, pieces, ends="\r\n"):
        ready.extend(lines)
        while ready:
            yield ready.popleft()


def _written(values: Iterable[Any], dialect: type[csv.Dialect]) -> str:
    line = io.StringIO()
    csv.writer(line, dialect).writerow(values)
    return line.getvalue().removesuffix(dialect.lineterminator)
