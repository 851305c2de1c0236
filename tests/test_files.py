import os

import pytest

from charlstm.errors import CharLSTMError
from charlstm.files import new_file, write_file


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    write_file(path, b"one")
    assert path.read_bytes() == b"one"

    def fail():
        with new_file(path) as file:
            file.write(b"tw")
            raise OSError(28, "No space left on device")

    with pytest.raises(CharLSTMError, match=r"a\.txt: can't be written: No space left"):
        fail()
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(CharLSTMError, match="name a file"):
        write_file(tmp_path, b"one")
    with pytest.raises(CharLSTMError, match=r"nowhere/a\.txt: can't be written"):
        write_file(tmp_path / "nowhere" / "a.txt", b"one")
