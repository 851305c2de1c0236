import json
import re

import pytest

from charlstm.errors import CorpusError
from charlstm.reading.tables import Table

ROWS = [["1", "a,b"], ["2", 'say "x"\nand\ty'], ["3", ""]]


def table(text, name="t.csv", column="text", form=None, *, size=1 << 20):
    pieces = (text[first : first + size] for first in range(0, len(text), size))
    return Table(name, pieces, column, form)


def texts(found):
    return [row.text for rows in found.rows() for row in rows]


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("name", "form", "text"),
    [
        ("t.csv", None, 'id,text\r\n1,"a,b"\r\n\r\n2,"say ""x""\nand\ty"\n3,'),
        ("T.TSV.gz", None, 'id\ttext\n1\ta,b\n2\t"say ""x""\nand\ty"\n3\t\n'),
        ("a.ndjson", None, "\n".join(json.dumps({"id": i, "text": t}) for i, t in ROWS)),
        ("-", "csv", 'id,text\n1,"a,b"\n2,"say ""x""\nand\ty"\n3,""\n'),
    ],
)
def test_rows_round_trip_in_the_table_s_format(name, form, text, size):
    found = table(text, name, form=form, size=size)
    rows = [row for some in found.rows() for row in some]
    assert [row.text for row in rows] == [text for _, text in ROWS]
    lines = [found.header(["bits"]), *(found.line(row, {"bits": "7"}) for row in rows)]
    again = table("\n".join(filter(None, lines)), name, "bits", form)
    assert texts(again) == ["7"] * 3
    assert texts(table("\n".join(filter(None, lines)), name, form=form)) == [t for _, t in ROWS]


def test_json_numbers_are_converted_to_text():
    assert texts(table('{"text": 12}\n{"text": 0.5}\n', "a.jsonl")) == ["12", "0.5"]


def test_rows_are_yielded_as_soon_as_their_lines_are_complete():
    taken = []

    def pieces():
        for piece in ("text\na\nb\n", '"c\n', 'd"\n', "e"):
            taken.append(piece)
            yield piece

    batches = Table("-", pieces(), "text", "csv").rows()
    assert [([row.text for row in rows], len(taken)) for rows in batches] == [
        (["a", "b"], 1), (["c\nd"], 3), (["e"], 4)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.txt", "text\na\n", "t.txt: doesn't end in .csv, .tsv"),
        ("t.csv", "", "t.csv: the table is empty"),
        ("t.csv", "id,name\n", "t.csv: the header: has no column 'text'; it has id, name"),
        ("t.csv", "text,text\n", "t.csv: the header: has several columns 'text'"),
        ("t.csv", "id,text\n1,a\n2\n", "t.csv: row 2 (line 3): 1 instead of 2 fields"),
        ("t.csv", 'id,text\n1,a\n2,"b\n', "t.csv: row 2 (line 3): unexpected end of data"),
        ("t.csv", 'id,text\n1,"a"b\n', "t.csv: row 1 (line 2): "),
        ("t.jsonl", '{"text": "a"}\n\n{"text\n', "t.jsonl: row 2 (line 3): is not JSON"),
        ("t.jsonl", "[" * 100_000, "t.jsonl: row 1 (line 1): is not JSON"),
        ("t.jsonl", "[1]\n", "t.jsonl: row 1 (line 1): is not a JSON object"),
        ("t.jsonl", '{"a": "b"}\n', "t.jsonl: row 1: has no column 'text'; it has a"),
        *(
            ("t.jsonl", f'{{"text": {value}}}\n', "t.jsonl: row 1: 'text' is neither a string")
            for value in ("null", "true", '["a"]')
        ),
    ],
)
def test_errors_name_the_row(name, text, message):
    with pytest.raises(CorpusError, match=f"^{re.escape(message)}"):
        texts(table(text, name))


@pytest.mark.parametrize("broken", ["2\n", '2,"b\n', '2,"b"c\n'])
def test_rows_before_an_invalid_one_are_yielded(broken):
    batches = table("id,text\n1,a\n" + broken).rows()
    assert [row.text for row in next(batches)] == ["a"]
    with pytest.raises(CorpusError, match=r"t\.csv: row 2 "):
        next(batches)


def test_existing_columns_are_not_overwritten():
    with pytest.raises(CorpusError, match="already has a column 'bits'"):
        table("text,bits\n").header(["bits"])
    found = table('{"text": "a", "bits": 1}', "a.jsonl")
    ((row,),) = found.rows()
    with pytest.raises(CorpusError, match="row 1: already has a column 'bits'"):
        found.line(row, {"bits": 2})
