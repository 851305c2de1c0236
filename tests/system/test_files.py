import os
import stat
import subprocess
import sys
import threading
from pathlib import Path, PureWindowsPath

import pytest
from conftest import posix, raising

from charlstm.errors import CharLSTMError
from charlstm.system.files import _descriptor_of, open_output, remove_leftovers, replace_file


def write_output(path, data):
    with open_output(path) as file:
        file.write(data)


def test_replace_file_is_atomic(tmp_path):
    path = tmp_path / "a.txt"
    write_output(path, b"one")
    assert path.read_bytes() == b"one"

    def fail():
        with open_output(path) as file:
            file.write(b"tw")
            raise OSError(28, "No space left on device")

    with pytest.raises(CharLSTMError, match=r"a\.txt: can't be written: No space left"):
        fail()
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a.txt"]
    (tmp_path / "new.txt").unlink(missing_ok=True)
    with pytest.raises(ZeroDivisionError), open_output(tmp_path / "new.txt"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["a.txt"]


@posix
def test_replace_file_syncs_the_content_before_and_the_folder_after_the_rename(
    tmp_path, monkeypatch
):
    """Otherwise, after a power cut, a name could refer to missing content."""
    done = []

    def synced(descriptor):
        status = os.fstat(descriptor)
        done.append((status.st_ino, status.st_size if stat.S_ISREG(status.st_mode) else None))

    def renamed(source, target, _rename=os.replace):
        done.append("rename")
        _rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    path = tmp_path / "a.txt"
    with replace_file(path) as file:
        file.write(b"one")
    assert done == [(path.stat().st_ino, 3), "rename", (tmp_path.stat().st_ino, None)]


def test_standard_output_is_recognized_by_its_name_on_windows():
    assert _descriptor_of(PureWindowsPath("/dev/stdout")) == 1


def test_unwritable_output_is_rejected_before_the_work(tmp_path):
    worked = []
    for path, reason in (
        (tmp_path, "name a file"),
        (tmp_path / "nowhere" / "a.txt", "can't be written: No such file"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(CharLSTMError, match=reason), open_output(path):
            worked.append(path)
    assert not worked


def test_long_file_names_are_written(tmp_path):
    path = tmp_path / ("x" * 250)
    write_output(path, b"one")
    write_output(path, b"two")
    assert path.read_bytes() == b"two"


@posix
def test_open_output_follows_links_and_keeps_the_mode(tmp_path):
    target = tmp_path / "target.txt"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    modes = []
    with replace_file(target) as file:
        modes.append(os.fstat(file.fileno()).st_mode & 0o777)
        file.write(b"newer")
    assert modes == [0o600]  # also while it is written
    write_output(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    target.chmod(0o666)
    write_output(target, b"new")
    assert target.stat().st_mode & 0o777 == 0o666  # regardless of the umask


@posix
def test_closed_pipe_raises_broken_pipe_error():
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError), open_output(Path(f"/dev/fd/{writer}")) as file:
        file.write(b"text")
    os.close(writer)


@posix
def test_pipe_is_opened_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    with open_output(pipe) as file:
        file.write(b"thr")
        file.write(b"ough")
    reader.join()
    assert received == [b"through"]
    assert pipe.is_fifo()


@posix
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_output_to_a_descriptor_is_appended(tmp_path, name):
    log = tmp_path / "log.txt"
    log.write_bytes(b"before\n")
    program = (
        "import sys; from pathlib import Path; from charlstm.system.files import open_output\n"
        "print('printed')\n"
        "with open_output(Path(sys.argv[1])) as file: file.write(b'written\\n')\n"
        "print('after')"
    )
    with log.open("ab") as stdout:
        subprocess.run([sys.executable, "-c", program, name], stdout=stdout, check=True)
    assert log.read_bytes() == b"before\nprinted\nwritten\nafter\n"
    done = subprocess.run([sys.executable, "-c", program, name], capture_output=True, check=True)
    assert done.stdout == b"printed\nwritten\nafter\n"


@posix
def test_file_is_overwritten_if_it_cannot_be_renamed(tmp_path, monkeypatch):
    path = tmp_path / "mounted.txt"
    path.write_bytes(b"old and longer")
    inode = path.stat().st_ino
    monkeypatch.setattr(os, "replace", raising(OSError(16, "Device or resource busy")))
    write_output(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino == inode
    assert os.listdir(tmp_path) == ["mounted.txt"]


@posix
def test_writable_file_in_a_read_only_folder_is_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old and longer")
    opened = os.open

    def no_new_files(name, flags, *arguments, **options):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return opened(name, flags, *arguments, **options)

    monkeypatch.setattr("charlstm.system.files.os.open", no_new_files)
    with open_output(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old and longer"
    assert path.read_bytes() == b"new"


def test_inputs_are_not_overwritten(tmp_path):
    text = tmp_path / "mine.txt"
    text.write_bytes(b"mine")
    (tmp_path / "again.txt").hardlink_to(text)
    for name in ("mine.txt", "again.txt"):
        with (
            pytest.raises(CharLSTMError, match="read by the same command"),
            open_output(tmp_path / name, inputs=["-", "missing", text]),
        ):
            pass
    assert text.read_bytes() == b"mine"


def test_files_of_a_store_are_not_overwritten(tmp_path):
    files = [tmp_path / name for name in ("lock", "best.safetensors", "text.npy")]
    for file in files:
        file.write_bytes(b"mine")
        with pytest.raises(CharLSTMError, match="belongs to a store"):
            write_output(file, b"other")
        assert file.read_bytes() == b"mine"
    with pytest.raises(CharLSTMError, match="belongs to a store"):
        write_output(tmp_path / "last.safetensors", b"other")
    write_output(tmp_path / "page.html", b"beside it")


def test_remove_leftovers_deletes_only_charlstm_s_files(tmp_path):
    for name in (".charlstm-0123456789abcdef.tmp", ".charlstm-mine.tmp", "a.tmp-2024.txt"):
        (tmp_path / name).write_bytes(b"x")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".charlstm-mine.tmp", "a.tmp-2024.txt"]


def test_remove_leftovers_ignores_files_that_vanish(tmp_path, monkeypatch):
    """`eval` may write an n-gram model into the folder while another process starts the run."""
    gone = tmp_path / ".charlstm-0123456789abcdef.tmp"
    monkeypatch.setattr(type(tmp_path), "iterdir", lambda folder: iter([gone]))
    remove_leftovers(tmp_path)


@posix
def test_planted_link_is_not_followed(tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    monkeypatch.setattr("charlstm.system.files.secrets.token_hex", lambda _: "0" * 16)
    (tmp_path / f".charlstm-{'0' * 16}.tmp").symlink_to(target)
    with pytest.raises(CharLSTMError, match="File exists"):
        write_output(tmp_path / "page.html", b"page")
    assert target.read_bytes() == b"mine"
