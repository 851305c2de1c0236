import os

import pytest
from conftest import posix

from charlstm.errors import CharLSTMError
from charlstm.system.files import new_file, write_file


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


@posix
def test_a_link_is_followed_and_a_mode_kept(tmp_path):
    target = tmp_path / "target.txt"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600


@posix
def test_a_pipe_is_written_into_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


def test_the_files_of_a_run_are_not_replaced(tmp_path):
    for name in ("lock", "best.safetensors"):
        (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(CharLSTMError, match="belongs to a run"):
        write_file(tmp_path / "best.safetensors", b"other")
    assert (tmp_path / "best.safetensors").read_bytes() == b"mine"
    write_file(tmp_path / "page.html", b"beside it")
