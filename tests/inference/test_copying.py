import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.inference import copying
from charlstm.inference.copying import longest_copy

ids = st.lists(st.integers(0, 2), max_size=12)


def brute_force(text, training):
    return max(
        (
            end - start
            for start in range(len(text) + 1)
            for end in range(start, len(text) + 1)
            if any(
                training[place : place + end - start] == text[start:end]
                for place in range(len(training) + 1)
            )
        ),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("chunk_chars", [1, 3, 1000])
@given(ids, ids)
def test_longest_copy_matches_brute_force(dtype, chunk_chars, text, training):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_CHUNK_CHARS", chunk_chars)
        copy = longest_copy(np.array(text, dtype), np.array(training, dtype))
    assert copy.length == brute_force(text, training)
    passage = text[copy.start : copy.start + copy.length]
    assert passage == training[copy.source : copy.source + copy.length]


def test_longest_copy_ignores_unaligned_bytes():
    training = np.array([0x0201, 0x0403], np.uint16)
    assert longest_copy(np.array([0x0302], np.uint16), training).length == 0
