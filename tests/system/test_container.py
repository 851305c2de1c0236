import io

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import ContainerError
from charlstm.system.container import metadata_of, open_container, sealed, write_container

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.arange(3, dtype=np.uint8),
    "c": np.zeros((0, 4), np.int64),
    "z": np.arange(5, dtype=np.uint16),
    "d": np.array(7, np.uint32),
    "e": np.arange(2, dtype=np.float64),
}


def written(arrays, header):
    file = io.BytesIO()
    write_container(file, arrays, header)
    return file.getvalue()


def test_it_is_what_safetensors_writes_and_reads():
    header = {"name": 'caf\xe9 "digest":"' + "0" * 64, "n": [1, 2.5, None]}
    data = written(ARRAYS, header)
    assert data == sealed(safetensors.numpy.save(ARRAYS, metadata_of(header)))
    found = safetensors.numpy.load(data)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_arrays_are_mapped_from_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(written(ARRAYS, {"n": 1}))
    with open_container(path) as container:
        container.check_digest()
        assert container.header["n"] == 1
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(container.mapped(name), array)


@given(st.data())
def test_no_flipped_bit_goes_unseen(tmp_path_factory, data):
    whole = written(ARRAYS, {"n": 1})
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(damaged)
    with pytest.raises((ContainerError, UnicodeDecodeError)), open_container(path) as container:
        container.check_digest()


def test_nothing_that_readers_refuse_is_written():
    with pytest.raises(ContainerError, match="too long: name a folder"):
        metadata_of({"paths": ["x" * 1000] * 16_000})
    with pytest.raises(ValueError, match="JSON"):
        metadata_of({"n": float("nan")})


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_numbers_that_are_none_are_refused(tmp_path, number):
    data = written({}, {"n": 123456789})
    place = data.index(b"123456789")
    text = number.encode().ljust(9)
    path = tmp_path / "file"
    path.write_bytes(data[:place] + text + data[place + 9 :])
    with pytest.raises(ContainerError, match="not valid"), open_container(path):
        pass
