import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import TensorFileError
from charlstm.system.tensor_file import open_tensor_file, to_bytes

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.arange(3, dtype=np.uint8),
    "c": np.zeros((0, 4), np.int64),
    "z": np.arange(5, dtype=np.uint16),
    "d": np.array(7, np.uint32),
    "e": np.arange(2, dtype=np.float64),
}


def test_written_file_is_read_back_by_charlstm_and_safetensors(tmp_path):
    header = {"name": 'caf\xe9 "digest":"' + "0" * 64, "n": [1, 2.5, None]}
    path = tmp_path / "file"
    path.write_bytes(to_bytes(ARRAYS, header))
    with open_tensor_file(path) as container:
        assert container.header == header
        found = container.read()
    elsewhere = safetensors.numpy.load(path.read_bytes())
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        np.testing.assert_array_equal(elsewhere[name], array)


@given(st.data())
def test_any_flipped_bit_is_detected(tmp_path_factory, data):
    content = to_bytes(ARRAYS, {"n": 1, "name": "caf\xe9"})
    position = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(damaged)
    with pytest.raises(TensorFileError), open_tensor_file(path) as container:
        container.read()


def test_headers_that_readers_reject_are_not_written():
    with pytest.raises(TensorFileError, match="too long: name a folder"):
        to_bytes({}, {"paths": ["x" * 1000] * 16_000})
    with pytest.raises(ValueError, match="JSON"):
        to_bytes({}, {"n": float("nan")})


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "1e2", "01", '{"a":1}'])
def test_non_canonical_numbers_are_rejected(tmp_path, number):
    data = to_bytes({}, {"n": 123456789})
    text = number.replace('"', '\\"').encode()
    place = data.index(b"123456789")
    path = tmp_path / "file"
    path.write_bytes(data[:place] + text.ljust(9) + data[place + 9 :])
    with pytest.raises(TensorFileError), open_tensor_file(path) as container:
        container.read()
