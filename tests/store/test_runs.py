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
from charlstm.store.runs import NUM_KEPT, CheckpointStore


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "store")


def save(store, checkpoint, name, *, steps=(4,), saved_at=1000.0):
    with store.writer(name) as writer:
        for step in steps:
            one = replace(checkpoint, step=step, saved_at=saved_at)
            writer.save(replace(one, training=None), "best")
            writer.save(one, "last")
            writer.keep(step)
    return store.folder(name)


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()  # kept files are hard links of it
    path.write_bytes(data)


def test_an_empty_or_missing_store_has_no_runs(store):
    assert store.run_names() == []
    assert store.find_latest(which="last").name is None


def test_the_latest_run_is_the_one_saved_last_by_its_own_account(store, checkpoint):
    save(store, checkpoint, "new", saved_at=3000.0)
    save(store, checkpoint, "old", saved_at=2000.0)
    assert store.run_names() == ["new", "old"]
    assert store.find_latest(which="last").name == "new"
    assert store.find_latest(which="last", corpus_name="tiny").name == "new"
    assert store.find_latest(which="last", corpus_name="other").name is None


def test_to_find_the_latest_run_only_the_newest_is_read_whole(store, checkpoint, monkeypatch):
    for number in range(6):
        save(store, checkpoint, f"run{number}", saved_at=1000.0 + number)
    damage(store.folder("run5") / "last.safetensors")
    for file in store.folder("run5").glob("step-*"):
        file.unlink()
    damage(store.folder("run1") / "last.safetensors")  # too old to matter
    read = []

    def reading(path):
        read.append(path.parent.name)
        return read_checkpoint(path)

    monkeypatch.setattr(store_module, "read_checkpoint", reading)
    latest = store.find_latest(which="last")
    assert latest.name == "run4"
    assert read == ["run5", "run4"]
    assert len(latest.warnings) == 1
    assert "run5" in latest.warnings[0]
    for file in store.folder("run2").glob("[ls]*.safetensors"):
        file.write_bytes(b"\0" * 400)  # not even when it was saved can be read
    assert any("run2" in warning for warning in store.find_latest(which="last").warnings)
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
    assert store.find_latest(which="best").name == "alone"
    assert store.find_latest(which="last").name == "older"
    assert not store.can_resume("alone")
    # It counts when a run was saved, not when it was best.
    with store.writer("older") as writer:
        writer.save(replace(checkpoint, saved_at=3000.0), "last")
    assert store.load_model().run == "older"


def test_best_has_no_training_state_and_last_has(store, checkpoint):
    save(store, checkpoint, "run")
    assert store.load("run", which="best").checkpoint.training is None
    assert store.load("run", which="last").checkpoint.training is not None


def test_only_a_few_earlier_checkpoints_are_kept(store, checkpoint):
    folder = save(store, checkpoint, "run", steps=range(1, 8))
    kept = sorted(file.name for file in folder.glob("step-*"))
    assert kept == [f"step-{step:08d}.safetensors" for step in range(8 - NUM_KEPT, 8)]


def test_a_damaged_file_is_passed_over_with_a_warning(store, checkpoint):
    folder = save(store, checkpoint, "run", steps=(4, 8))
    damage(folder / "last.safetensors")
    loaded = store.load("run", which="last")
    assert loaded.checkpoint.step == 8
    assert loaded.path.name == "step-00000008.safetensors"
    assert "last.safetensors" in loaded.warnings[0]
    damage(folder / "step-00000008.safetensors")
    assert store.load("run", which="last").checkpoint.step == 4
    damage(folder / "best.safetensors")
    assert store.load("run", which="best").path.name == "step-00000004.safetensors"
    damage(folder / "step-00000004.safetensors")
    for which in ("best", "last"):
        with pytest.raises(CheckpointError, match="damaged"):
            store.load("run", which=which)
    latest = store.find_latest(which="last")
    assert latest.name is None
    assert "damaged" in latest.warnings[0]


def test_training_never_goes_on_from_best_alone(store, checkpoint):
    folder = save(store, checkpoint, "run")
    for file in folder.glob("[ls]*.safetensors"):
        file.unlink()
    assert store.load("run", which="best").checkpoint.step == 4
    with pytest.raises(CheckpointError, match="only best"):
        store.load("run", which="last")


def test_a_second_writer_is_refused_until_the_first_is_gone(store, checkpoint):
    with store.writer("run"):
        with pytest.raises(CheckpointError, match="another process"), store.writer("run"):
            pass
        with store.writer("other"):
            pass
    with store.writer("run"):
        pass


@posix
def test_the_lock_dies_with_its_owner(store):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from charlstm.store.runs import CheckpointStore\n"
        "with CheckpointStore(Path(sys.argv[1])).writer('run'):\n"
        "    print('locked', flush=True); sys.stdin.read(); os.kill(os.getpid(), 9)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(CheckpointError), store.writer("run"):
            pass
        child.stdin.close()
        child.wait()
    with store.writer("run"):
        pass


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", "a\\b", ".hidden", "a\nb", "a\x1b[31m", "\u202ex",
     "nul", "COM1.txt", "x" * 101, "trailing.", "a:b", "a\0b"],
)  # fmt: skip
def test_names_that_could_leave_the_store_are_refused(store, checkpoint, name):
    with pytest.raises(CheckpointError), store.writer(name):
        pass
    with pytest.raises(CheckpointError):
        store.load(name, which="best")
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
    with pytest.raises(CheckpointError, match="symbolic link"), store.writer("link"):
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
    ],
)
def test_a_default_name_is_made_fit(store, wanted, expected):
    assert store.unused_name(wanted) == expected


def test_a_taken_default_name_gets_a_number(store, checkpoint):
    save(store, checkpoint, "tiny")
    assert store.unused_name("tiny") == "tiny-2"
    save(store, checkpoint, "tiny-2")
    assert store.unused_name("tiny") == "tiny-3"


def test_leftovers_of_a_killed_writer_go_with_the_next(store, checkpoint):
    folder = save(store, checkpoint, "run")
    leftover = folder / "last.safetensors.tmp-123"
    leftover.write_bytes(b"half")
    with store.writer("run"):
        assert not leftover.exists()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_cannot_be_written_is_refused(store):
    store.root.mkdir(mode=0o500)
    with pytest.raises(CheckpointError, match="can't be written"), store.writer("run"):
        pass


def test_a_file_in_the_place_of_the_store_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(CheckpointError, match="can't be written"),
        CheckpointStore(tmp_path / "file").writer("run"),
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

        with monkeypatch.context() as patch, store.writer("run") as writer:
            if call == "write":
                import builtins

                opened = builtins.open

                def failing_open(*arguments, fail=fail, opened=opened, **options):
                    file = opened(*arguments, **options)
                    if "w" in (arguments[1] if len(arguments) > 1 else "r"):
                        return FailingFile(file, fail(file.write))
                    return file

                patch.setattr(builtins, "open", failing_open)
            else:
                patch.setattr(os, call, fail(getattr(os, call)))
            failed = True
            with contextlib.suppress(CheckpointError):
                writer.save(replace(checkpoint, step=5), "last")
                failed = False
        loaded = store.load("run", which="last")
        assert loaded.warnings == ()
        assert loaded.checkpoint.step in (4, 5)
        assert not list(folder.glob("*.tmp-*"))
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

    with store.writer("run") as writer:
        shutil.rmtree(writer.folder)
        with pytest.raises(CheckpointError, match="folder is gone"):
            writer.save(checkpoint, "last")


def test_the_event_log_is_one_object_a_line(store):
    import json

    with store.writer("run") as writer:
        writer.log({"event": "started", "text": "\u2603\n\ud800"})
        writer.log({"event": "finished"})
        lines = (writer.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["started", "finished"]
