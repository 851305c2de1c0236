# ruff: noqa: RUF001 - texts in other scripts
import numpy as np
import pytest

from charlstm.reading.encodings import likely_encodings

FRENCH = "Le café était fermé, et la forêt n'avait plus rien à offrir: où aller? "
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая несчастлива по-своему. "
ASCII = b"the quick brown fox\n" * 100


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (RUSSIAN, "utf_16_be"),
        ("Μια φορά κι έναν καιρό ήταν ένας βασιλιάς που είχε τρεις κόρες. ", "cp1253"),
        ("床前明月光，疑是地上霜。举头望明月，低头思故乡。", "gb18030"),
        ("床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。", "big5"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "cp932"),
        ("옛날 옛적에 호랑이가 담배 피우던 시절에 한 나무꾼이 살았습니다. ", "cp949"),
    ],
)
def test_likely_encodings_include_the_right_one_with_an_excerpt(text, encoding):
    data = (text * 3).encode(encoding)
    guesses = likely_encodings(data)
    assert guesses[encoding] in text * 3
    assert len(guesses) <= 3
    if encoding != "utf_16_be":
        assert encoding in likely_encodings(ASCII + data)


def test_a_short_text_has_several_likely_encodings():
    guesses = likely_encodings("caf\xe9 au lait".encode("cp1252"))
    assert (len(guesses), next(iter(guesses.items()))) == (3, ("cp1252", "caf\xe9 au lait"))


@pytest.mark.parametrize(
    "data",
    [
        np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8).tobytes(),
        RUSSIAN.encode() * 10 + b"\xff" + RUSSIAN.encode() * 10,
    ],
)
def test_binary_data_and_damaged_utf_8_have_no_likely_encoding(data):
    assert likely_encodings(data) == {}
