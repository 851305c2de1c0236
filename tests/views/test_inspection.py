"""Tests of heat maps and of characters that a line can't hold."""

import numpy as np
import pytest

from charlstm.views.inspection import _heat
from charlstm.views.items import shown


@pytest.mark.parametrize(("sign", "marks"), [(1, " \u2591\u2592\u2593\u2588"), (-1, " .:oO")])
def test_heat_marks_show_quarters_of_a_value(sign, marks):
    values = (0.04, 0.2, 0.3, 0.6, 0.9)
    assert "".join(_heat("hidden", sign * value, is_gate=False)[0] for value in values) == marks
    assert _heat("cell", sign * np.arctanh(0.6), is_gate=False)[0] == marks[3]


@pytest.mark.parametrize(
    ("name", "value", "is_gate", "color"),
    [("forget", 0.5, True, "cyan"), ("cell", 2, False, "green"), ("cell", -2, False, "red")],
)
def test_heat_colors_tell_gates_and_signs(name, value, is_gate, color):
    assert _heat(name, value, is_gate=is_gate)[1].color.name == color


@pytest.mark.parametrize(
    ("text", "is_terminal", "expected"),
    [("a\nb\rc\td", False, "a\\x0ab\\x0dc\td"), ("a\udcff", False, "a\\xff")],
)
def test_an_item_is_shown_on_one_line(text, is_terminal, expected):
    assert shown(text, is_terminal) == expected
