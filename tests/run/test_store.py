import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from conftest import DISK_FULL, posix, raising

from charlstm.errors import CheckpointError, ConfigError, RunLockedError
from charlstm.model.checkpoints import read_checkpoint
from charlstm.run import store as store_module
from charlstm.run.preparation import Request, claim_new_run
from charlstm.run.store import CheckpointStore
from charlstm.run.writer import NUM_KEPT
from charlstm.settings import RunSettings


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "store")


def save(store, checkpoint, name, *, steps=(4,), saved_at=1000.0):
    with store.run(name).writer() as writer:
        for step in steps:
            saved = replace(checkpoint, step=step, saved_at=saved_at)
            writer.save_best(replace(saved, training=None))
            writer.save_last(saved)
            writer.keep(step)
    return store.run(name).folder


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()  # kept files are hard links of it
    path.write_bytes(data)


def only_best(folder):
    """Delete all files of a run except its best model."""
    for file in folder.glob("[ls]*.safetensors"):
        file.unlink()


def ruin(folder, pattern="*.safetensors"):
    """Overwrite files of a run so that not even their headers can be read."""
    for file in folder.glob(pattern):
        file.write_bytes(b"\0" * 400)


def test_empty_or_missing_store_has_no_runs_and_suggests_train(store):
    assert store.run_names() == []
    assert newest(store) is None
    with pytest.raises(CheckpointError, match=r"store: no run yet; .*: --run example$"):
        store.load_model()


def newest(store, **options):
    """Return the name of the newest resumable run."""
    loaded, _ = store.newest(resumable=True, **options)
    return loaded and loaded.run


def test_newest_run_has_the_latest_saved_at(store, checkpoint):
    save(store, checkpoint, "new", saved_at=3000.0)
    save(store, checkpoint, "old", saved_at=2000.0)
    assert store.run_names() == ["new", "old"]
    assert newest(store) == "new"
    assert newest(store, corpus_name="tiny") == "new"
    assert newest(store, corpus_name="other") is None


def test_newest_loads_only_one_checkpoint(store, checkpoint, monkeypatch):
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
    ruin(store.run("run2").folder, "[ls]*.safetensors")
    assert any("run2" in warning for warning in store.newest(resumable=True)[1])
    read.clear()
    assert store.load_model().run == "run5"  # whose best is sound
    assert read == ["run5"]  # once
    assert store.load_model("run0").run == "run0"


def test_run_with_only_a_model_is_usable_but_not_resumable(store, checkpoint):
    save(store, checkpoint, "older", saved_at=1000.0)
    folder = save(store, checkpoint, "alone", saved_at=2000.0)
    only_best(folder)
    assert store.load_model().run == "alone"
    assert store.newest()[0].run == "alone"
    assert newest(store) == "older"
    with pytest.raises(CheckpointError, match="only best"):
        store.run("alone").last()
    # `saved_at` counts, not the time of the best model.
    with store.run("older").writer() as writer:
        writer.save_last(replace(checkpoint, saved_at=3000.0))
    assert store.load_model().run == "older"


def test_keep_limits_the_number_of_earlier_checkpoints(store, checkpoint):
    folder = save(store, checkpoint, "run", steps=range(1, 8))
    kept = sorted(file.name for file in folder.glob("step-*"))
    assert kept == [f"step-{step:08d}.safetensors" for step in range(8 - NUM_KEPT, 8)]


def test_damaged_file_is_skipped_with_a_warning(store, checkpoint):
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


def test_second_writer_is_rejected_until_the_first_ends(store, checkpoint):
    with store.run("run").writer():
        with pytest.raises(CheckpointError, match="another process"), store.run("run").writer():
            pass
        with store.run("other").writer():
            pass
    with store.run("run").writer():
        pass


@posix
def test_lock_is_released_when_its_process_dies(store):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from charlstm.run.store import CheckpointStore\n"
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
    ("problem", "names"),
    [
        ("must have 1 to 100 bytes", ["", "x" * 101, "\u5510" * 34]),
        ("may only contain letters, .*, and not start or end with .",
         [".", "..", "../x", "a/b", "/etc", "a\\b", ".hidden", "a\nb", "a\x1b[31m", "\u202ex",
          "a:b", "a\0b", "trailing ", "trailing."]),
        ("contains a character that is not allowed in file names", ["a\udcff"]),
        ("is reserved on Windows",
         ["con", "Prn.txt", "aux", "nul", "nul.a.b", "COM1.txt", "com1", "LPT9.x"]),
    ],
)  # fmt: skip
def test_invalid_names_are_rejected_with_the_problem(store, problem, names):
    for name in names:
        with pytest.raises(CheckpointError, match=f" {problem}$"):
            store.run(name)
        assert not store.root.exists()


@pytest.mark.parametrize(
    "name",
    ["shakespeare", "run-2", "Война и мир", "a.b", "_x", "唐诗", "x", "x" * 100, "-a", "+",
     "console", "com", "com10", "a.nul"],
)  # fmt: skip
def test_valid_names_are_accepted(store, checkpoint, name):
    save(store, checkpoint, name)
    assert store.run_names() == [name]


@posix
def test_symbolic_link_is_not_a_run(store, checkpoint, tmp_path):
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
        ("x" * 200, "x" * 92),
        ("x" * 91 + "-y", "x" * 91),
        ("X-files-X", "X-files-X"),
        ("X" * 91 + ".y", "X" * 91),
        ("_-", "_"),
    ],
)
def test_default_name_is_made_valid(store, wanted, expected):
    with store.new_run(wanted) as writer:
        assert writer.name == expected
    assert list(store.root.iterdir()) == []


def test_taken_default_name_gets_a_number(store, checkpoint):
    save(store, checkpoint, "tiny")
    with store.new_run("tiny") as second, store.new_run("tiny") as third:
        assert (second.name, third.name) == ("tiny-2", "tiny-3")
    assert store.run_names() == ["tiny"]


def test_next_writer_removes_leftovers_of_a_killed_one(store, checkpoint):
    folder = save(store, checkpoint, "run")
    leftovers = [
        folder / ".charlstm-0123456789abcdef.tmp",
        folder / ".charlstm-0000000000000000.tmp",
    ]
    mine = folder / "notes.tmp-2024.txt"
    for file in (*leftovers, mine):
        file.write_bytes(b"half")
    with store.run("run").writer():
        assert not any(file.exists() for file in leftovers)
        assert mine.exists()


@pytest.mark.parametrize(
    "names", [("lock",), ("lock", "text.npy", ".charlstm-0123456789abcdef.tmp")]
)
def test_remove_abandoned_deletes_folders_of_killed_starts(store, checkpoint, names):
    folder = store.root / "killed"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    store.remove_abandoned()
    assert folder.exists()  # it may be just starting
    os.utime(folder, (0, 0))
    store.remove_abandoned()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["saved", "others", "empty", "unlocked", "starting"])
def test_remove_abandoned_keeps_folders_in_use(store, checkpoint, name):
    save(store, checkpoint, "saved")
    for folder, files in (
        ("others", ("lock", "notes.txt")), ("empty", ()), ("unlocked", ("text.npy",))
    ):  # fmt: skip
        (store.root / folder).mkdir()
        for file in files:
            (store.root / folder / file).touch()
    with store.run("starting").writer() as writer:
        (writer.folder / "text.npy").touch()
        before = sorted((store.root / name).iterdir())
        os.utime(store.root / name, (0, 0))
        store.remove_abandoned()
        assert sorted((store.root / name).iterdir()) == before


def test_partly_deleted_run_is_still_listed(store, checkpoint, monkeypatch):
    folder = save(store, checkpoint, "run")
    (folder / "events.jsonl").unlink(missing_ok=True)
    (folder / "events.jsonl").mkdir()  # can't be unlinked
    with pytest.raises(CheckpointError, match="can't be deleted"):
        store.run("run").remove()
    assert store.run_names() == ["run"]


def test_rejected_start_deletes_no_existing_files(store):
    folder = store.root / "run"
    (folder / "tensorboard").mkdir(parents=True)
    mine = [folder / name for name in ("events.jsonl", "lock", "notes.txt", "tensorboard/x")]
    for file in mine:
        file.write_bytes(b"mine")
    with pytest.raises(ZeroDivisionError), store.run("run").writer():
        raise ZeroDivisionError
    assert all(file.read_bytes() == b"mine" for file in mine)


@posix
def test_links_in_place_of_run_files_are_not_followed(store, checkpoint, tmp_path):
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
def test_pipe_in_place_of_the_event_log_is_ignored(store):
    with store.run("run").writer() as writer:
        os.mkfifo(writer.folder / "events.jsonl")
        writer.log({"event": "started"})


@posix
def test_run_with_a_dangling_link_can_be_deleted(store, checkpoint, tmp_path):
    folder = save(store, checkpoint, "run")
    (folder / "best.safetensors").unlink()
    (folder / "best.safetensors").symlink_to(tmp_path / "nowhere")
    assert store.run("run").size() > 0
    store.run("run").remove()
    assert not folder.exists()


def test_without_locks_a_start_is_rejected_and_leaves_no_files(store, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", raising(OSError(38, "Function not implemented")))
    for _ in range(2):
        with (
            pytest.raises(CheckpointError, match="can't be locked: Function not implemented"),
            store.new_run("tiny"),
        ):
            pass
        assert list(store.root.iterdir()) == []


@pytest.mark.parametrize("run", [RunSettings(), RunSettings(run="tiny")], ids=["free", "named"])
def test_run_that_another_process_finishes_meanwhile_is_not_replaced(
    store, checkpoint, monkeypatch, run
):
    """It is trained after the folder was found to be free, and before it is locked."""
    hold_lock = store_module.hold_lock

    def late(folder):
        monkeypatch.setattr(store_module, "hold_lock", hold_lock)
        save(store, checkpoint, "tiny")
        return hold_lock(folder)

    monkeypatch.setattr(store_module, "hold_lock", late)
    claimed = claim_new_run(store, Request(paths=("tiny.txt",), run=run))
    if run.run is None:
        with claimed as writer:
            assert writer.name == "tiny-2"
    else:
        with pytest.raises(ConfigError, match="run tiny exists"), claimed:
            pass


def test_without_hard_links_earlier_checkpoints_are_copied(store, checkpoint, monkeypatch):
    monkeypatch.setattr(os, "link", raising(OSError(1, "Operation not permitted")))
    folder = save(store, checkpoint, "run", steps=(4, 8))
    kept = [read_checkpoint(file).step for file in sorted(folder.glob("step-*"))]
    assert kept == [4, 8]


@posix
def test_file_permissions_are_limited_by_mode(store, checkpoint):
    with store.run("run").writer() as writer:
        writer.mode = 0o600
        log = writer.folder / "events.jsonl"
        log.touch()
        log.chmod(0o644)  # written before the text became private
        writer.save_best(checkpoint)
        writer.save_last(checkpoint)
        writer.keep(4)
        writer.log({"event": "started"})
        for name in ("best", "last", "step-00000004"):
            mode = (writer.folder / f"{name}.safetensors").stat().st_mode
            assert mode & 0o777 == 0o600
        assert log.stat().st_mode & 0o777 == 0o600
        writer.mode = 0o666
        writer.log({"event": "finished"})
        for path in (writer.save_last(checkpoint), log):
            assert path.stat().st_mode & 0o777 == 0o600  # private files stay private


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_unwritable_folder_is_rejected(store):
    store.root.mkdir(mode=0o500)
    with pytest.raises(CheckpointError, match="can't be written"), store.run("run").writer():
        pass


def test_file_in_place_of_the_store_is_rejected(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(CheckpointError, match="can't be written"),
        CheckpointStore(tmp_path / "file").run("run").writer(),
    ):
        pass
    with pytest.raises(CheckpointError, match="can't be read"):
        CheckpointStore(tmp_path / "file").run_names()


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_failed_save_keeps_the_previous_checkpoint(store, checkpoint, monkeypatch, call):
    """Let the 1st, 2nd, ... such call fail, until a save succeeds."""

    def failing_at(number, original):
        calls = itertools.count(1)

        def failing(*arguments, **options):
            if next(calls) == number:
                raise DISK_FULL
            return original(*arguments, **options)

        return failing

    def opening(number, original):
        """Open files whose n-th write fails."""

        def opened(*arguments, **options):
            file = original(*arguments, **options)
            failing = MagicMock(wraps=file)
            failing.__enter__.return_value = failing
            failing.__exit__.side_effect = lambda *_: file.close()
            failing.write = failing_at(number, file.write)
            return failing

        return opened

    for number in range(1, 10):
        folder = save(store, checkpoint, "run", steps=(4,))
        with monkeypatch.context() as patch, store.run("run").writer() as writer:
            name, change = ("fdopen", opening) if call == "write" else (call, failing_at)
            patch.setattr(os, name, change(number, getattr(os, name)))
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
    raise AssertionError("a save never succeeded")


def test_missing_run_folder_is_named(store, checkpoint):
    with store.run("run").writer() as writer:
        shutil.rmtree(writer.folder)
        with pytest.raises(CheckpointError, match="folder no longer exists"):
            writer.save_last(checkpoint)


def test_event_log_has_one_object_per_line(store):
    with store.run("run").writer() as writer:
        writer.log({"event": "started", "text": "\u2603\n\ud800"})
        writer.log({"event": "finished"})
        lines = (writer.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["event"] for line in lines] == ["started", "finished"]
        # A line cut short by a full disk.
        with (writer.folder / "events.jsonl").open("ab") as file:
            file.write(b'{"event": "step')
        writer.log({"event": "saved"})
        last = (writer.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    assert json.loads(last) == {"event": "saved"}


@pytest.fixture
def bare_store(store):
    """Create a store with empty checkpoints; the first run is the newest."""

    def make(*names):
        for number, name in enumerate(names):
            (store.root / name).mkdir(parents=True)
            (store.root / name / "best.safetensors").touch()
            os.utime(store.root / name, (1000 - number, 1000 - number))
        return store

    return make


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "no checkpoint found; runs in the store: none"),
        (["zebra", "poems"], "no checkpoint found; runs in the store: zebra, poems"),
        (
            ["zebra", "Shakespeare"],
            "; did you mean Shakespeare? runs in the store: zebra, Shakespeare",
        ),
        # Only the closest name is suggested.
        (["shakespeare-2", "shakespeare"], "found; did you mean shakespeare? runs in the store: "),
        (list("abcdefghij"), "runs in the store: a, b, c, d, e, f, g, h, i, j"),
        (list("abcdefghijkl"), "runs in the store: a, b, c, d, e, f, g, h, i, j and 2 more"),
    ],
)
def test_missing_run_error_suggests_others(bare_store, names, told):
    with pytest.raises(CheckpointError) as found:
        bare_store(*names).run("SHAKESPEAR").best()
    message = str(found.value)
    assert message.endswith(told) or (told.endswith(" ") and told in message)
    assert "XX" not in message


def test_names_that_only_differ_in_case_are_all_suggested(tmp_path):
    run = store_module.Run("tinyy", tmp_path / "tinyy", lambda: ["Tiny", "tiny"])
    with pytest.raises(CheckpointError, match=r"; did you mean Tiny\? did you mean tiny\? runs"):
        run.best()


def test_newest_ignores_future_times_and_breaks_ties_by_name(store, checkpoint, monkeypatch):
    save(store, checkpoint, "b", saved_at=3000.0)
    save(store, checkpoint, "a", saved_at=3000.0)
    save(store, checkpoint, "future", saved_at=3000.5)
    save(store, checkpoint, "c", saved_at=2000.0)
    monkeypatch.setattr(store_module.time, "time", lambda: 3000.0)
    assert newest(store) == "b"
    monkeypatch.setattr(store_module.time, "time", lambda: 4000.0)
    assert newest(store) == "future"


def test_newest_warns_about_unreadable_runs_of_the_corpus(store, checkpoint):
    for name in ("tiny-2", "other"):
        ruin(save(store, checkpoint, name))
    _, warnings = store.newest(corpus_name="tiny")
    assert len(warnings) == 1
    assert "tiny-2" in warnings[0]
    assert len(store.newest()[1]) == 2
    with pytest.raises(CheckpointError, match="other"):
        store.load_model()


def test_warnings_about_other_runs_come_first(store, checkpoint):
    save(store, checkpoint, "sound", saved_at=1000.0)
    damage(store.run("sound").folder / "best.safetensors")
    ruin(save(store, checkpoint, "unreadable", saved_at=2000.0))
    loaded = store.load_model()
    assert loaded.run == "sound"
    others, own = loaded.warnings
    assert "unreadable" in others
    assert "sound" in own
    assert loaded.notices == (*loaded.warnings, f"using {loaded.path} instead")
    assert store.run("sound").last().notices == ()


def test_name_of_the_example_is_reserved(store):
    loaded = store.load_model("example")
    assert loaded.run == "example"
    assert loaded.path.name == "example.safetensors"
    assert loaded.checkpoint.weights.keys() == read_checkpoint(loaded.path).weights.keys()
    with pytest.raises(CheckpointError, match="charlstm's example model"):
        store.run("example")
    with store.new_run("example") as writer:
        assert writer.name == "run-example"


@pytest.mark.parametrize("relative", [True, False])
def test_model_is_found_by_run_folder_file_and_hub_folder(
    store, checkpoint, tmp_path, monkeypatch, relative
):
    folder = save(store, checkpoint, "tiny")
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "model.safetensors").write_bytes(checkpoint.to_bytes())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()  # a run takes precedence over a folder of the same name
    places = [folder, *folder.glob("*.safetensors"), hub, hub / "model.safetensors"]
    for place in places:
        name = os.path.relpath(place, tmp_path) if relative else str(place)
        assert store.load_model(name).checkpoint.step == checkpoint.step
        assert store.load_model(name, furthest=True).checkpoint.step == checkpoint.step
    assert store.load_model("tiny").path.parent == folder
    monkeypatch.chdir(folder)
    for nothing in ("", "..", "absent", "../absent", "nul\0"):
        with pytest.raises(CheckpointError, match="no checkpoint found"):
            store.load_model(nothing)


def test_missing_run_error_has_the_full_path_and_suggests_the_example(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as raised:
        CheckpointStore(Path("store")).load_model("exmaple")
    message = str(raised.value)
    assert message.startswith(str(tmp_path / "store" / "exmaple"))
    assert "did you mean example?" in message


def test_furthest_is_the_last_checkpoint_or_the_only_model(store, checkpoint):
    folder = save(store, checkpoint, "run", steps=(4, 8))
    with store.run("run").writer() as writer:
        writer.save_best(replace(checkpoint, step=4, training=None))
    assert store.run("run").furthest().checkpoint.step == 8
    only_best(folder)
    assert store.run("run").furthest().checkpoint.step == 4


@pytest.mark.parametrize("texts", [(), ("text.npy", "text.safetensors")])
def test_killed_start_is_not_a_run_and_frees_its_name(store, texts):
    folder = store.root / "tiny"
    folder.mkdir(parents=True)
    for name in ("lock", ".charlstm-0123456789abcdef.tmp", *texts):
        (folder / name).touch()
    assert store.run_names() == []
    with store.new_run("tiny") as writer:
        assert writer.name == "tiny"
    assert folder.exists() == bool(texts)
    # Other files and their folder are kept.
    (store.root / "mine").mkdir()
    (store.root / "mine/text.npy").write_bytes(b"mine")
    with store.new_run("mine") as writer:
        assert writer.name == "mine-2"
    with pytest.raises(ZeroDivisionError), store.run("mine").writer():
        raise ZeroDivisionError
    assert (store.root / "mine/text.npy").read_bytes() == b"mine"


def test_run_record_fields(checkpoint):
    assert store_module.run_record("tiny-2", checkpoint) == {
        "name": "tiny-2",
        "corpus": "tiny",
        "model": "2 x 8 lstm",
        "cell": "lstm",
        "num_parameters": checkpoint.spec.model_config.num_parameters,
        "step": 4,
        "best_val_bits_per_char": 3.5,
        "saved_at": 1000.0,
        "num_layers": 2,
        "hidden_size": 8,
        "budget": "4 steps",
        "is_finished": True,
    }


def test_drop_kept_deletes_only_earlier_checkpoints(store, checkpoint):
    folder = save(store, checkpoint, "run", steps=(4, 8))
    (folder / "notes.txt").touch()
    with store.run("run").writer() as writer:
        writer.drop_kept()
    names = sorted(os.listdir(folder))
    assert names == ["best.safetensors", "last.safetensors", "lock", "notes.txt"]
    with store.run("other").writer() as writer:
        shutil.rmtree(writer.folder)
        writer.drop_kept()  # a missing folder is not an error


def test_remove_deletes_all_files_of_a_run(store, checkpoint):
    folder = save(store, checkpoint, "run")
    (folder / "tensorboard").mkdir()
    for name in ("counts.safetensors", "events.jsonl", "tensorboard/curve"):
        (folder / name).write_bytes(b"x")
    store.run("run").remove()
    assert not folder.exists()
    folder = save(store, checkpoint, "run")
    (folder / "notes.txt").touch()
    store.run("run").remove()
    assert os.listdir(folder) == ["notes.txt"]


@posix
def test_default_permissions_follow_the_umask(store, checkpoint, monkeypatch):
    umask = os.umask(0o022)
    try:
        folder = save(store, checkpoint, "run")
        monkeypatch.setattr(os, "link", raising(OSError(1, "Operation not permitted")))
        with store.run("run").writer() as writer:
            writer.log({})
            writer.keep(5)
            writer.mode = 0o600
            writer.keep(6)
    finally:
        os.umask(umask)
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert modes.pop("step-00000006.safetensors") == 0o600
    assert len(modes) == 6
    assert set(modes.values()) == {0o644}


@pytest.mark.parametrize("is_first", [True, False])
def test_failed_save_error_states_whether_a_checkpoint_is_intact(
    store, checkpoint, monkeypatch, is_first
):
    if not is_first:
        save(store, checkpoint, "run")

    intact = "" if is_first else "; the previous checkpoint is intact"
    with store.run("run").writer() as writer:
        monkeypatch.setattr(os, "replace", raising(DISK_FULL))
        with pytest.raises(CheckpointError, match=f"failed: No space left on device{intact}$"):
            writer.save_last(checkpoint)


@posix
def test_lock_file_deleted_by_its_owner_is_rejected(store, monkeypatch):
    """The owner ended between opening and locking the file, before its first save."""
    import fcntl

    flock = fcntl.flock

    def late(file, operation):
        flock(file, operation)
        (store.root / "run" / "lock").unlink()

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(RunLockedError, match="was about to train"), store.run("run").writer():
        pass


def test_run_that_was_never_saved_leaves_no_files(store):
    with store.new_run("tiny") as writer:
        writer.keep(4)
        assert os.listdir(writer.folder) == ["lock"]
        (writer.folder / "tensorboard").mkdir()
        (writer.folder / "tensorboard" / "curve").touch()
        writer.log({"event": "started"})
    assert list(store.root.iterdir()) == []


def test_nan_is_not_logged(store):
    with store.run("run").writer() as writer, pytest.raises(ValueError, match="JSON"):
        writer.log({"loss": float("nan")})


def test_size_counts_hard_links_once_and_includes_ngrams(store, checkpoint):
    folder = save(store, checkpoint, "run")
    (folder / "counts.safetensors").write_bytes(b"x" * 1000)
    (folder / "notes.txt").write_bytes(b"x" * 5000)
    files = [folder / name for name in ("best.safetensors", "last.safetensors")]
    kept = folder / "step-00000004.safetensors"
    if not os.path.samefile(kept, files[1]):  # no hard links here
        files.append(kept)
    assert store.run("run").size() == sum(file.stat().st_size for file in files) + 1000
