import contextlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from conftest import posix

from charlstm.errors import CheckpointError
from charlstm.model.checkpoints import read_checkpoint
from charlstm.store import runs as store_module
from charlstm.store.runs import CheckpointStore
from charlstm.store.writer import NUM_KEPT


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "store")


def save(store, checkpoint, name, *, steps=(4,), saved_at=1000.0):
    with store.run(name).writer() as writer:
        for step in steps:
            one = replace(checkpoint, step=step, saved_at=saved_at)
            writer.save_best(replace(one, training=None))
            writer.save_last(one)
            writer.keep(step)
    return store.run(name).folder


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()  # kept files are hard links of it
    path.write_bytes(data)


def test_an_empty_or_missing_store_has_no_runs(store):
    assert store.run_names() == []
    assert newest(store) is None


def newest(store, **options):
    """The name of the newest run that training can be resumed from."""
    loaded, _ = store.newest(resumable=True, **options)
    return loaded and loaded.run


def test_the_latest_run_is_the_one_saved_last_by_its_own_account(store, checkpoint):
    save(store, checkpoint, "new", saved_at=3000.0)
    save(store, checkpoint, "old", saved_at=2000.0)
    assert store.run_names() == ["new", "old"]
    assert newest(store) == "new"
    assert newest(store, corpus_name="tiny") == "new"
    assert newest(store, corpus_name="other") is None


def test_to_find_the_latest_run_only_the_newest_is_read_whole(store, checkpoint, monkeypatch):
    for number in range(6):
        save(store, checkpoint, f"run{number}", saved_at=1000.0 + number)
    damage(store.run("run5").folder / "last.safetensors")
    for file in store.run("run5").folder.glob("step-*"):
        file.unlink()
    damage(store.run("run1").folder / "last.safetensors")  # too old to matter
    read = []

    def reading(path):
        read.append(path.parent.name)
        return read_checkpoint(path)

    monkeypatch.setattr(store_module, "read_checkpoint", reading)
    latest, warnings = store.newest(resumable=True)
    assert latest.run == "run4"
    assert read == ["run5", "run4"]
    assert len(warnings) == 1
    assert "run5" in warnings[0]
    for file in store.run("run2").folder.glob("[ls]*.safetensors"):
        file.write_bytes(b"\0" * 400)  # not even when it was saved can be read
    assert any("run2" in warning for warning in store.newest(resumable=True)[1])
    read.clear()
    assert store.load_model().run == "run5"  # whose best is sound
    assert read == ["run5"]  # once
    assert store.load_model("run0").run == "run0"


def test_a_model_alone_is_a_run_to_use_and_none_to_go_on_with(store, checkpoint):
    save(store, checkpoint, "older", saved_at=1000.0)
    folder = save(store, checkpoint, "alone", saved_at=2000.0)
    for file in folder.glob("[ls]*.safetensors"):
        file.unlink()
    assert store.load_model().run == "alone"
    assert store.newest()[0].run == "alone"
    assert newest(store) == "older"
    with pytest.raises(CheckpointError, match="only best"):
        store.run("alone").last()
    # It counts when a run was saved, not when it was best.
    with store.run("older").writer() as writer:
        writer.save_last(replace(checkpoint, saved_at=3000.0))
    assert store.load_model().run == "older"


def test_best_has_no_training_state_and_last_has(store, checkpoint):
    save(store, checkpoint, "run")
    assert store.run("run").best().checkpoint.training is None
    assert store.run("run").last().checkpoint.training is not None


def test_only_a_few_earlier_checkpoints_are_kept(store, checkpoint):
    folder = save(store, checkpoint, "run", steps=range(1, 8))
    kept = sorted(file.name for file in folder.glob("step-*"))
    assert kept == [f"step-{step:08d}.safetensors" for step in range(8 - NUM_KEPT, 8)]


def test_a_damaged_file_is_passed_over_with_a_warning(store, checkpoint):
    folder = save(store, checkpoint, "run", steps=(4, 8))
    damage(folder / "last.safetensors")
    loaded = store.run("run").last()
    assert loaded.checkpoint.step == 8
    assert loaded.path.name == "step-00000008.safetensors"
    assert "last.safetensors" in loaded.warnings[0]
    damage(folder / "step-00000008.safetensors")
    assert store.run("run").last().checkpoint.step == 4
    damage(folder / "best.safetensors")
    assert store.run("run").best().path.name == "step-00000004.safetensors"
    damage(folder / "step-00000004.safetensors")
    for load in (store.run("run").best, store.run("run").last):
        with pytest.raises(CheckpointError, match="damaged"):
            load()
    latest, warnings = store.newest(resumable=True)
    assert latest is None
    assert "damaged" in warnings[0]


def test_training_never_goes_on_from_best_alone(store, checkpoint):
    folder = save(store, checkpoint, "run")
    for file in folder.glob("[ls]*.safetensors"):
        file.unlink()
    assert store.run("run").best().checkpoint.step == 4
    with pytest.raises(CheckpointError, match="only best"):
        store.run("run").last()


def test_a_second_writer_is_refused_until_the_first_is_gone(store, checkpoint):
    with store.run("run").writer():
        with pytest.raises(CheckpointError, match="another process"), store.run("run").writer():
            pass
        with store.run("other").writer():
            pass
    with store.run("run").writer():
        pass


@posix
def test_the_lock_dies_with_its_owner(store):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from charlstm.store.runs import CheckpointStore\n"
        "with CheckpointStore(Path(sys.argv[1])).run('run').writer():\n"
        "    print('locked', flush=True); sys.stdin.read(); os.kill(os.getpid(), 9)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(CheckpointError), store.run("run").writer():
            pass
        child.stdin.close()
        child.wait()
    with store.run("run").writer():
        pass


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", "a\\b", ".hidden", "a\nb", "a\x1b[31m", "\u202ex",
     "nul", "COM1.txt", "x" * 101, "\u5510" * 34, "trailing.", "a:b", "a\0b", "a\udcff"],
)  # fmt: skip
def test_names_that_could_leave_the_store_are_refused(store, checkpoint, name):
    with pytest.raises(CheckpointError), store.run(name).writer():
        pass
    with pytest.raises(CheckpointError):
        store.run(name).best()
    assert not store.root.exists()


@pytest.mark.parametrize("name", ["shakespeare", "run-2", "Война и мир", "a.b", "_x", "唐诗"])
def test_ordinary_names_are_accepted(store, checkpoint, name):
    save(store, checkpoint, name)
    assert store.run_names() == [name]


@posix
def test_a_symbolic_link_is_no_run(store, checkpoint, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    store.root.mkdir()
    (store.root / "link").symlink_to(outside)
    with pytest.raises(CheckpointError, match="symbolic link"), store.run("link").writer():
        pass
    assert list(outside.iterdir()) == []
    assert store.run_names() == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("plain", "plain"),
        ("../../etc", "etc"),
        ("a b\n\x1b", "a-b"),
        ("...", "run"),
        ("con", "run-con"),
        ("\u5510" * 85, "\u5510" * 30),
    ],
)
def test_a_default_name_is_made_fit(store, wanted, expected):
    with store.new_run(wanted) as writer:
        assert writer.name == expected
    assert list(store.root.iterdir()) == []


def test_a_taken_default_name_gets_a_number(store, checkpoint):
    save(store, checkpoint, "tiny")
    with store.new_run("tiny") as second, store.new_run("tiny") as third:
        assert (second.name, third.name) == ("tiny-2", "tiny-3")
    assert store.run_names() == ["tiny"]


def test_what_a_start_left_that_was_killed_at_once_is_no_run(store):
    folder = store.root / "tiny"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / ".charlstm-0123456789abcdef.tmp").write_bytes(b"half")
    with store.new_run("tiny") as writer:
        assert writer.name == "tiny"
    assert not folder.exists()


def test_leftovers_of_a_killed_writer_go_with_the_next(store, checkpoint):
    folder = save(store, checkpoint, "run")
    leftovers = [folder / ".charlstm-0123456789abcdef.tmp", folder / "last.safetensors.tmp-123"]
    mine = folder / "notes.tmp-2024.txt"
    for file in (*leftovers, mine):
        file.write_bytes(b"half")
    with store.run("run").writer():
        assert not any(file.exists() for file in leftovers)
        assert mine.exists()


def test_nothing_is_deleted_that_was_there_before_a_start_that_is_refused(store):
    folder = store.root / "run"
    (folder / "tensorboard").mkdir(parents=True)
    mine = [folder / name for name in ("events.jsonl", "lock", "notes.txt", "tensorboard/x")]
    for file in mine:
        file.write_bytes(b"mine")
    with pytest.raises(ZeroDivisionError), store.run("run").writer():
        raise ZeroDivisionError
    assert all(file.read_bytes() == b"mine" for file in mine)


@posix
def test_links_in_the_place_of_a_run_s_files_are_not_followed(store, checkpoint, tmp_path):
    folder = save(store, checkpoint, "run")
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    for name in ("events.jsonl", "last.safetensors", "best.safetensors"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)
    with store.run("run").writer() as writer:
        writer.log({"event": "started"})
        writer.save_last(checkpoint)
    assert target.read_bytes() == b"mine"
    assert not (folder / "last.safetensors").is_symlink()
    (folder / "lock").unlink()
    (folder / "lock").symlink_to(target)
    with pytest.raises(CheckpointError, match="can't be written"), store.run("run").writer():
        pass


@posix
def test_a_pipe_in_the_place_of_the_event_log_stops_nothing(store):
    with store.run("run").writer() as writer:
        os.mkfifo(writer.folder / "events.jsonl")
        writer.log({"event": "started"})


@posix
def test_a_dangling_link_does_not_keep_a_run_from_being_deleted(store, checkpoint, tmp_path):
    folder = save(store, checkpoint, "run")
    (folder / "best.safetensors").unlink()
    (folder / "best.safetensors").symlink_to(tmp_path / "nowhere")
    assert store.run("run").size() > 0
    store.run("run").remove()
    assert not folder.exists()


def test_without_locks_a_start_is_refused_and_leaves_nothing(store, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_flock)
    for _ in range(2):
        with (
            pytest.raises(CheckpointError, match="can't be locked: Function not implemented"),
            store.new_run("tiny"),
        ):
            pass
        assert list(store.root.iterdir()) == []


def test_without_hard_links_earlier_checkpoints_are_copies(store, checkpoint, monkeypatch):
    def no_link(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    folder = save(store, checkpoint, "run", steps=(4, 8))
    kept = [read_checkpoint(file).step for file in sorted(folder.glob("step-*"))]
    assert kept == [4, 8]


@posix
def test_files_are_no_more_readable_than_they_may_be(store, checkpoint):
    with store.run("run").writer() as writer:
        writer.mode = 0o600
        writer.save_best(checkpoint)
        writer.save_last(checkpoint)
        writer.keep(4)
        writer.log({"event": "started"})
        for name in ("best", "last", "step-00000004"):
            mode = (writer.folder / f"{name}.safetensors").stat().st_mode
            assert mode & 0o777 == 0o600
        assert (writer.folder / "events.jsonl").stat().st_mode & 0o777 == 0o600
        writer.mode = 0o666
        path = writer.save_last(checkpoint)
        assert path.stat().st_mode & 0o777 == 0o600  # what was private stays so


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_cannot_be_written_is_refused(store):
    store.root.mkdir(mode=0o500)
    with pytest.raises(CheckpointError, match="can't be written"), store.run("run").writer():
        pass


def test_a_file_in_the_place_of_the_store_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(CheckpointError, match="can't be written"),
        CheckpointStore(tmp_path / "file").run("run").writer(),
    ):
        pass
    with pytest.raises(CheckpointError, match="can't be read"):
        CheckpointStore(tmp_path / "file").run_names()


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_whatever_call_fails_in_a_save_the_checkpoint_before_stays(
    store, checkpoint, monkeypatch, call
):
    """Faults at the 1st, 2nd, ... such call, until a save needs no more of them."""
    folder = save(store, checkpoint, "run", steps=(4,))
    for number in range(1, 10):
        calls = [0]

        def fail(original, *, calls=calls, number=number):
            def failing(*arguments, **options):
                calls[0] += 1
                if calls[0] == number:
                    raise OSError(28, "No space left on device")
                return original(*arguments, **options)

            return failing

        with monkeypatch.context() as patch, store.run("run").writer() as writer:
            if call == "write":
                opened = os.fdopen

                def failing_open(*arguments, fail=fail, opened=opened, **options):
                    file = opened(*arguments, **options)
                    return FailingFile(file, fail(file.write))

                patch.setattr(os, "fdopen", failing_open)
            else:
                patch.setattr(os, call, fail(getattr(os, call)))
            failed = True
            with contextlib.suppress(CheckpointError):
                writer.save_last(replace(checkpoint, step=5))
                failed = False
        loaded = store.run("run").last()
        assert loaded.warnings == ()
        assert loaded.checkpoint.step in (4, 5)
        assert not list(folder.glob(".charlstm*"))
        if not failed:
            assert number > 1
            return
        save(store, checkpoint, "run", steps=(4,))
    raise AssertionError("a save never succeeded")


class FailingFile:
    def __init__(self, file, write):
        self._file = file
        self.write = write

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_run_folder_that_is_gone_is_named(store, checkpoint):
    import shutil

    with store.run("run").writer() as writer:
        shutil.rmtree(writer.folder)
        with pytest.raises(CheckpointError, match="folder is gone"):
            writer.save_last(checkpoint)


def test_the_event_log_is_one_object_a_line(store):
    import json

    with store.run("run").writer() as writer:
        writer.log({"event": "started", "text": "\u2603\n\ud800"})
        writer.log({"event": "finished"})
        lines = (writer.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["event"] for line in lines] == ["started", "finished"]
        # A disk that was full for a while.
        with (writer.folder / "events.jsonl").open("ab") as file:
            file.write(b'{"event": "step')
        writer.log({"event": "saved"})
        last = (writer.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    assert json.loads(last) == {"event": "saved"}
