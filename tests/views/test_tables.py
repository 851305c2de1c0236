import io

import pytest
from rich.console import Console

from charlstm.views import tables

HEADER = ("run", "corpus", "cell", "step", "saved")
ROW = ("shakespeare-and-others", "shakespeare", "lstm", "2,570", "2026-11-22 18:49")


@pytest.fixture
def shown(monkeypatch):
    """Return a function (columns, rows) -> lines of a table in a terminal of that width."""

    def lines(columns, *rows, header=HEADER):
        out = io.StringIO()
        monkeypatch.setattr(tables, "_console", lambda: Console(file=out, width=columns))
        tables.print_rows(header, rows, caption="all of them")
        return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]

    return lines


def test_wide_terminal_shows_columns(shown):
    header, rule, row, caption = shown(90, ROW)
    assert header.split() == list(HEADER)
    assert set(rule.strip()) == {"\u2500"}
    assert all(cell in row for cell in ROW)
    assert caption.strip() == "all of them"


def test_narrow_terminal_does_not_break_cells(shown):
    assert shown(40, ROW, ("b", "", "gru", "1", "-")) == [
        "shakespeare-and-others",
        "  corpus  shakespeare",
        "  cell  lstm",
        "  step  2,570",
        "  saved  2026-11-22 18:49",
        "b",
        "  cell  gru",
        "  step  1",
        "  saved  -",
        "all of them",
    ]


def test_a_small_table_fits_a_narrow_terminal(shown):
    assert len(shown(40, ("a", "b", "c", "d", "e"))) == 4


@pytest.mark.parametrize(("columns", "has_bar"), [(62, False), (70, True)])
def test_bars_are_dropped_if_they_do_not_fit(shown, columns, has_bar):
    bar = "\u2588" * 20
    lines = shown(columns, ("n" * 30, "2.5", bar), header=("predictor", "bits per char", ""))
    assert len(lines) == 4
    assert (bar in lines[2]) == has_bar
    assert lines[2].split()[:2] == ["n" * 30, "2.5"]
