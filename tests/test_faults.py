"""End-to-end tests of machine faults and hostile input."""

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace

import numpy as np
import pytest
from conftest import SMALL, TEXT
from pseudo_terminal import in_a_terminal

from charlstm.config import ReadingConfig
from charlstm.errors import CheckpointError, CorpusError
from charlstm.evaluation.scores import Evaluation
from charlstm.run.store import CheckpointStore
from charlstm.run.writer import RunWriter
from charlstm.text import corpus as corpus_module
from charlstm.text.corpus import load_corpus
from charlstm.text.storage import read_corpus, write_corpus
from charlstm.training import loss_meter
from charlstm.training.trainer import Trainer

pty = pytest.importorskip("pty", reason="terminals of POSIX")
resource = pytest.importorskip("resource", reason="limits of POSIX")


def limited(**limits):
    """Return options of `charlstm` that limit a process's resources."""

    def limit():
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    return {"check": False, "preexec_fn": limit}


# The store


@pytest.mark.slow
def test_full_disk_at_first_save_stops_training(charlstm, tmp_path, corpus_file):
    arguments = ["train", corpus_file, "--steps", 5, "--hidden-size", 64]
    result = charlstm(*arguments, **limited(RLIMIT_FSIZE=50_000))
    assert result.returncode == 1
    assert b"saving failed" in result.stderr
    assert b"Traceback" not in result.stderr
    assert not list((tmp_path / "checkpoints/tiny").glob(".charlstm*"))


FULL = CheckpointError("a.safetensors: saving failed: No space left on device")


def failing_saves(monkeypatch, name, numbers):
    """Make some calls of a writer's method fail; return the list of steps of its calls."""
    save, steps = getattr(RunWriter, name), []

    def failing(self, checkpoint):
        steps.append(checkpoint.step)
        if len(steps) in numbers:
            raise FULL
        return save(self, checkpoint)

    monkeypatch.setattr(RunWriter, name, failing)
    return steps


def test_a_failed_save_in_the_middle_is_reported_and_the_next_may_succeed(
    run, here, corpus_file, monkeypatch
):
    failing_saves(monkeypatch, "save_last", (2, 3))
    _, err = run.train(corpus_file, "--steps", 8)
    assert err.count(f"warning: {FULL}") == 2
    assert CheckpointStore(here / "checkpoints").run("tiny").last().checkpoint.is_finished


@pytest.mark.parametrize(
    ("slowed", "said"),
    [
        (True, "gradient not finite, update skipped, learning rate halved"),
        (False, "float16 overflow, update skipped, loss scale halved"),
    ],
)
def test_skipped_update_names_the_halved_value(run, corpus_file, monkeypatch, slowed, said):
    found = iter(
        [loss_meter.StepFlags(), loss_meter.StepFlags(any_skipped=True, any_slowed=slowed)]
    )
    monkeypatch.setattr(
        loss_meter.LossMeter, "take_flags", lambda _: next(found, loss_meter.StepFlags())
    )
    assert run.train(corpus_file, "--steps", 4)[1].count(f"step 2: {said}") == 1


def test_a_best_model_that_could_not_be_saved_is_saved_with_the_next(
    run, here, corpus_file, monkeypatch
):
    """Later evaluations are worse, so no other save would include it."""
    bits = iter([3.0, 2.0, 2.5, 2.6])

    def scored(*_, **__):
        sums = {"num_chars": 1, "num_unknown": 0, "num_correct": 0, "num_bytes": 1}
        return 1.0, Evaluation(nats=next(bits) * math.log(2), **sums)

    best_saves = failing_saves(monkeypatch, "save_best", (2,))
    monkeypatch.setattr("charlstm.training.trainer.fit_temperature", scored)
    run.train(corpus_file, "--steps", 8)
    assert best_saves == [2, 4, 4]
    best = CheckpointStore(here / "checkpoints").run("tiny").best().checkpoint
    assert best.step == 4
    assert best.best_val_bits_per_char == pytest.approx(2.0)


def test_deleting_the_run_folder_is_an_error(run, here, corpus_file, monkeypatch):
    trainer_run = Trainer.run

    def deleting(self):
        for event in trainer_run(self):
            yield event
            if self.step == 1:
                shutil.rmtree(here / "checkpoints/tiny", ignore_errors=True)

    monkeypatch.setattr(Trainer, "run", deleting)
    code, _, err = run("train", corpus_file, "--steps", 8, *SMALL)
    assert code == 1
    assert "folder no longer exists" in err


def test_second_trainer_is_rejected(run, stored, here):
    with CheckpointStore(here / "checkpoints").run("tiny").writer():
        assert "another process" in run.fails(1, "train", "--resume", "--steps", 9)


def test_readers_never_see_partial_files(stored, tmp_path):
    store = CheckpointStore(tmp_path / "checkpoints")
    loaded, stop = [], threading.Event()

    def write():
        with store.run("tiny").writer() as writer:
            for step in range(5, 60):
                writer.save_last(replace(stored, step=step))
                writer.keep(step)
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not stop.is_set():
        loaded.append(store.run("tiny").last())
    thread.join()
    assert loaded
    assert all(one.warnings == () for one in loaded)
    steps = [one.checkpoint.step for one in loaded]
    assert steps == sorted(steps)


def test_damaged_checkpoints_never_lead_to_a_silent_start_from_zero(run, stored, here):
    for path in (here / "checkpoints/tiny").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-3])
    assert "damaged" in run.fails(1, "train", "--resume", "--run", "tiny", "--steps", 9)


def test_no_home_is_needed(stored, tmp_path):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    for missing in ((), ("HOME",)):
        result = subprocess.run(
            [sys.executable, "-m", "charlstm", "sample", "--length", "3", "--seed", "1"],
            env={name: value for name, value in environment.items() if name not in missing},
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_for_the_encoded_text_is_an_error(run, here, monkeypatch):
    disk = here / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (here / "large.txt").write_text(TEXT * 500)
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        err = run.fails(1, "train", "large.txt", "--steps", 1, *SMALL)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert "no room" in err
    assert err.count("\n") == 1


# Memory


def test_too_little_memory_is_an_error_before_the_first_step(charlstm, corpus_file):
    arguments = ["train", corpus_file, "--steps", 5, "--hidden-size", 4000, "--threads", 1]
    result = charlstm(*arguments, **limited(RLIMIT_AS=3 << 30))
    assert result.returncode == 1
    assert re.search(rb"charlstm: .*(GB are free|out of memory)", result.stderr)
    assert b"Traceback" not in result.stderr


# The corpus


def corpus_of(path, **reading):
    return load_corpus(ReadingConfig(paths=(str(path),), **reading))


def anonymous_bytes():
    with open("/proc/self/status") as file:
        return int(re.search(r"RssAnon:\s+(\d+) kB", file.read())[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("line", [b"a long line of text " * 50 + b"\n", b"one endless line "])
@pytest.mark.parametrize(
    "megabytes",
    [
        pytest.param(100, marks=pytest.mark.slow),
        pytest.param(1000, marks=pytest.mark.torture),
    ],
)
def test_texts_of_any_size_are_read_in_bounded_memory(tmp_path, line, megabytes):
    path = tmp_path / "large.txt"
    block = line * (1_000_000 // len(line))
    with open(path, "wb") as file:
        file.writelines(block for _ in range(megabytes))
    peak, stop = [0], threading.Event()
    before = anonymous_bytes()

    def watch():
        while not stop.wait(0.01):
            peak[0] = max(peak[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    config = ReadingConfig(paths=(str(path),), split_documents="lines")
    try:
        corpus = load_corpus(config)
        write_corpus(tmp_path, corpus, config, mode=0o666)
        corpus = read_corpus(tmp_path, config, corpus.fingerprint, corpus.vocabulary)
    finally:
        stop.set()
        watcher.join()
    assert corpus.train.num_chars > 0.89 * len(block) * megabytes
    assert peak[0] - before < 300_000_000


@pytest.mark.slow
def test_a_vocabulary_of_tens_of_thousands_trains(run, here):
    characters = [chr(code) for code in range(0x3400, 0x3400 + 25_000)]
    (here / "many.txt").write_text("".join(characters * 2), encoding="utf-8")
    assert "25,000 distinct" in run.train("many.txt", "--steps", 2)[1]
    run.works("sample", "--length", 5, "--seed", 1)


def test_rare_characters_become_unknown(tmp_path):
    path = tmp_path / "rare.txt"
    path.write_text("abab" * 50 + "☃" + "abab" * 50, encoding="utf-8")
    corpus = corpus_of(path, min_count=2)
    assert corpus.vocabulary.characters == "ab"
    assert np.count_nonzero(corpus.train.ids == 0) == 1
    with pytest.raises(CorpusError, match="--min-count 999"):
        corpus_of(path, min_count=999)


@pytest.mark.slow
def test_byte_level_trains_on_and_generates_any_bytes(charlstm, tmp_path):
    (tmp_path / "any.bin").write_bytes(bytes(range(256)) * 20)
    result = charlstm("train", "any.bin", "--steps", 2, *SMALL, check=False)
    assert result.returncode == 1
    assert b"--level byte" in result.stderr
    charlstm("train", "any.bin", "--level", "byte", "--steps", 2, *SMALL)
    result = charlstm("sample", "--prime", "é", "--length", 50, "--seed", 1)
    assert result.stdout.startswith("é".encode())
    assert len(result.stdout) == 2 + 50


@pytest.mark.parametrize("text", ["a" * 60, "\n" * 60, "ab", "\ufeff" + "ab\n" * 9])
def test_odd_texts_train_and_are_scored(run, here, text):
    (here / "odd.txt").write_text(text, encoding="utf-8")
    fractions = ["--val-fraction", 0, "--test-fraction", 0] if len(text) < 9 else []
    run.train("odd.txt", "--steps", 3, *fractions)
    run.works("eval", "--split", "train")
    run.works("sample", "--length", 5, "--seed", 1)


def test_nul_characters_give_a_notice(tmp_path):
    path = tmp_path / "nul.txt"
    path.write_bytes(b"ab\0" * 50)
    assert "--level byte" in corpus_of(path).notices[0]


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    for change in (b"", b"a" * 10, b"b" * 90, b"b" * 50, b"ab" * 25):
        path.write_bytes(b"a" * 50)
        count = corpus_module._count

        def counting(documents, count=count, change=change):
            counted = count(documents)
            path.write_bytes(change)
            return counted

        with monkeypatch.context() as patch:
            patch.setattr(corpus_module, "_count", counting)
            with pytest.raises(CorpusError, match="changed while"):
                corpus_of(path)


def test_corpus_does_not_depend_on_later_changes_of_the_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    corpus = corpus_of(path)
    path.write_bytes(b"")
    assert corpus.vocabulary.decode(corpus.train.ids) == TEXT[: corpus.train.num_chars]


@pytest.mark.parametrize(
    "name", ["with space.txt", "new\nline.txt", "esc\x1b[31m.txt", "[bold].txt"]
)
def test_odd_file_names_work_and_are_escaped(run, here, name):
    (here / name).write_text(TEXT)
    shown = "".join(run.train(name, "--steps", 2))
    shown += run.fails(1, "train", "missing" + name, "--steps", 2)
    assert "\x1b" not in shown
    if "[" in name and "\x1b" not in name:
        assert "[bold]" in shown


@pytest.mark.slow
def test_a_closed_stdin_is_an_error(tmp_path):
    command = f"{sys.executable} -m charlstm train - <&-"
    result = subprocess.run(command, shell=True, check=False, capture_output=True, cwd=tmp_path)
    assert result.returncode == 1
    assert b"stdin is closed" in result.stderr


def test_text_that_begins_like_a_compressed_file_is_read(tmp_path):
    (tmp_path / "text.txt").write_text("BZhello world\n" * 9)
    assert corpus_of(tmp_path / "text.txt").train.num_chars > 100
    (tmp_path / "any.bin").write_bytes(b"\x1f\x8b and so on" * 9)
    assert corpus_of(tmp_path / "any.bin", level="byte").train.num_chars > 90


@pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")
def test_a_named_pipe_is_read_like_stdin(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(TEXT,))
    writer.start()
    corpus = corpus_of(pipe)
    writer.join()
    assert corpus.vocabulary.decode(corpus.train.ids) == TEXT[: corpus.train.num_chars]


# Sampling and the terminal


HOSTILE = "\x1b]52;c;aGFjaw==\x07\x1b[2J\x9b31m\u202e[bold]x[/] \x1b[6n"
# Escape sequences that charlstm itself writes: styles, cursor up, erase to the end of the line.
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[A|\x1b\[K")


@pytest.mark.slow
def test_escape_sequences_in_data_never_reach_a_terminal(tmp_path):
    (tmp_path / "hostile\x1b[31m.txt").write_text(HOSTILE * 60, encoding="utf-8")
    commands = [
        ["train", "hostile\x1b[31m.txt", "--steps", 6, *SMALL],
        ["sample", "--prime", HOSTILE, "--length", 200, "--seed", 1],
        ["runs"],
        ["eval"],
    ]
    for arguments in commands:
        written = OURS.sub("", in_a_terminal(tmp_path, arguments))
        assert "\x1b" not in written, arguments
        assert not re.search("[\x07\x80-\x9f\u202e]", written), arguments
    shown = in_a_terminal(tmp_path, commands[1])
    assert r"\x1b]52;c;aGFjaw==\x07" in shown
    assert "[bold]x[/]" in shown


@pytest.mark.parametrize(
    "environment",
    [
        {"NO_COLOR": "1", "TERM": "dumb"},
        *(
            pytest.param(environment, marks=pytest.mark.slow)
            for environment in ({"TERM": "dumb"}, {"NO_COLOR": "1"}, {"COLUMNS": "1"})
        ),
    ],
)
def test_limited_terminals_get_plain_output(tmp_path, corpus_file, environment):
    written = in_a_terminal(tmp_path, ["train", "tiny.txt", "--steps", 6, *SMALL], **environment)
    if "COLUMNS" not in environment:
        assert "\x1b" not in written
        assert "\r" not in written.replace("\r\n", "")


@pytest.mark.slow
def test_output_without_terminal_is_plain_lines(charlstm, corpus_file):
    result = charlstm("train", "tiny.txt", "--steps", 6, *SMALL)
    assert b"\x1b" not in result.stdout + result.stderr
    assert b"\r" not in result.stderr


def test_a_long_prime_works(run, stored):
    run.works("sample", "--prime", "quick " * 2000, "--length", 1, "--seed", 1)


def test_closed_streams_do_not_crash(stored, tmp_path):
    for closing in ("1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        command = f"{sys.executable} -m charlstm sample --length 5 {closing}"
        result = subprocess.run(command, shell=True, check=False, capture_output=True)
        assert result.returncode == 0
        assert b"Traceback" not in result.stderr


def test_no_temporary_folder_and_a_closed_stdout_give_no_traceback(stored, tmp_path):
    command = f"{sys.executable} -m charlstm predict - >&-"
    done = subprocess.run(
        ["bash", "-c", command],
        input=b"the",
        capture_output=True,
        cwd=tmp_path,
        check=False,
        env={**os.environ, "TMPDIR": "/nowhere", "PYTHONSAFEPATH": "1"},
    )
    assert b"Traceback" not in done.stderr
