"""Parser for printed tables: names with values, rows under a header, figures with units."""

import re
from dataclasses import dataclass
from itertools import pairwise

NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Printed:
    """A command's output in a pipe.

    Args:
        pairs: names and values.
        tables: header and rows of each table, as texts.
    """

    pairs: dict[str, str]
    tables: list[tuple[list[str], list[list[str]]]]

    def rows(self, *header: str) -> list[list[str]]:
        """Return the rows of the only table with this header."""
        (found,) = (rows for names, rows in self.tables if tuple(names) == header)
        return found


def read(out):
    """Parse the output of print_pairs and print_rows in a pipe."""
    pairs, tables = {}, []
    lines = out.split("\n")
    rules = [place for place, line in enumerate(lines) if re.fullmatch(r" ?\u2500+", line)]
    inside = set()
    for rule in rules:
        end = next(place for place in range(rule, len(lines)) if not lines[place].strip())
        inside |= set(range(rule - 1, end))
        header, *rows = _cells([lines[rule - 1], *lines[rule + 1 : end]])
        tables.append((header, rows))
    for place, line in enumerate(lines):
        match = re.fullmatch(r"(\S.*?) {2,}(\S.*)", line)
        if match and place not in inside:
            pairs[match[1]] = match[2]
    return Printed(pairs, tables)


def _cells(lines):
    """Cut lines where two neighboring columns are blank in all of them."""
    width = max(map(len, lines))
    padded = [line.ljust(width) for line in lines]
    is_blank = [all(line[place] == " " for line in padded) for place in range(width)]
    cuts = [
        place + 1 for place in range(width - 1) if is_blank[place] and is_blank[place + 1]
        and not is_blank[place - 1]
    ]  # fmt: skip
    edges = [0, *cuts, width]
    return [[line[first:after].strip() for first, after in pairwise(edges)] for line in padded]


def shows(cell, *values, unit=""):
    """Return whether a cell shows these figures, rounded to its digits, each with the unit."""
    found = NUMBER.findall(cell)
    assert len(found) == len(values), (cell, values)
    for shown, value in zip(found, values, strict=True):
        digits = len(shown.partition(".")[2])
        scaled = 100 * value if unit == "%" else value
        assert abs(float(shown.replace(",", "")) - scaled) <= 0.501 * 10**-digits, (cell, values)
    assert cell.count(unit) >= len(values) if unit else "%" not in cell, (cell, unit)
    return True
