import pytest

from charlstm.text.features import FEATURES, distances_to_opening


@pytest.mark.parametrize(
    ("feature", "text", "expected"),
    [
        ("inside quotes", 'a"bc"d', [0, 1, 1, 1, 0, 0]),
        ("inside brackets", "a(b)c)(", [0, 1, 1, 0, 0, 0, 1]),
        ("depth of brackets", "((a)b)c", [1, 2, 2, 1, 1, 0, 0]),
        ("position in the line", "ab\nc", [1, 2, 0, 1]),
        ("position in the word", "ab c.", [1, 2, 0, 1, 0]),
        ("before a capital", "aBc D", [1, 0, 0, 1, 0]),
        ("end of a sentence", "a. b!", [0, 1, 0, 0, 1]),
        ("indentation", "  a b\n c", [1, 2, 2, 2, 2, 0, 1, 1]),
    ],
)
def test_features_of_a_text(feature, text, expected):
    assert FEATURES[feature](text).astype(int).tolist() == expected


def test_distances_to_opening_of_brackets_and_quotes():
    text = 'a(b[c]d) "e" ) ('
    expected = [0] * len(text)
    expected[text.index("]")] = 2
    expected[text.index(")")] = 6
    expected[text.rindex('"')] = 2
    assert distances_to_opening(text).tolist() == expected
