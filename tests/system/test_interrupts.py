import os
import signal
import subprocess
import sys
import time

import pytest

from charlstm.run.store import CheckpointStore
from charlstm.system.interrupts import defer_signals, stop_signals

pty = pytest.importorskip("pty", reason="terminals and signals of POSIX")


@pytest.fixture(autouse=True)
def _no_ignored_signals():
    """nohup and scripts with background jobs ignore signals, which child processes inherit."""
    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_first_signal_calls_stop_and_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    asked = []
    with stop_signals() as signals:
        signals.forward(lambda: asked.append(True))
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == signal.SIGTERM
    assert asked
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_before_training_raises_an_exception():
    with pytest.raises(SystemExit) as ended, stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
    with pytest.raises(KeyboardInterrupt), stop_signals():
        os.kill(os.getpid(), signal.SIGINT)


def test_forward_calls_stop_for_a_held_signal():
    asked = []
    with stop_signals() as signals:
        signals.hold()
        os.kill(os.getpid(), signal.SIGINT)
        assert not asked
        signals.forward(lambda: asked.append(True))
        assert asked == [True]


def test_deferred_signal_is_delivered_after_the_block():
    done = []

    def block(number):
        with defer_signals():
            os.kill(os.getpid(), number)
            done.append(number)

    with pytest.raises(KeyboardInterrupt):
        block(signal.SIGINT)
    with pytest.raises(SystemExit), stop_signals():
        block(signal.SIGTERM)
    assert done == [signal.SIGINT, signal.SIGTERM]


def test_signals_ignored_by_the_parent_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
        assert signals.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


ENDLESS = ["train", "tiny.txt", "--steps", "1000000", "--hidden-size", "8", "--threads", "1"]


@pytest.fixture
def training(corpus_file, tmp_path):
    """Start endless training; return the process after its first steps."""
    children = []

    def start(prefix=(), arguments=(), **options):
        child = subprocess.Popen(
            [*prefix, sys.executable, "-m", "charlstm", *ENDLESS, *arguments],
            cwd=tmp_path,
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options},
        )
        children.append(child)
        log = tmp_path / "checkpoints/tiny/events.jsonl"
        deadline = time.monotonic() + 60
        while not (log.exists() and "stepped" in log.read_text()):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        if child.stderr:
            child.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_saves_and_prints_how_to_resume(training, tmp_path, name):
    child = training()
    number = getattr(signal, name)
    child.send_signal(number)
    if name != "SIGINT":
        child.send_signal(number)  # repeated signals change nothing
    _, err = child.communicate(timeout=30)
    assert child.returncode == 128 + number
    assert b"charlstm train --resume --run tiny" in err
    assert b"Traceback" not in err
    last = CheckpointStore(tmp_path / "checkpoints").run("tiny").last().checkpoint
    assert last.step > 0
    assert not last.is_finished


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_during_startup_leaves_a_valid_run_or_nothing(corpus_file, tmp_path, name):
    store = CheckpointStore(tmp_path / "checkpoints")
    outcomes = set()
    for number in range(8):
        child = subprocess.Popen(
            [sys.executable, "-m", "charlstm", *ENDLESS, "--run", f"run{number}"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        time.sleep(0.8 * number)
        child.send_signal(getattr(signal, name))
        _, err = child.communicate(timeout=30)
        assert child.returncode in (128 + getattr(signal, name), -getattr(signal, name)), err
        run = store.run(f"run{number}")
        outcomes.add(run.folder.exists())
        if run.folder.exists():
            assert run.last().checkpoint.training is not None, number
            assert b"charlstm train --resume" in err
    assert outcomes == {True, False}


@pytest.mark.slow
def test_second_ctrl_c_exits_at_once_and_keeps_the_last_save(training, tmp_path):
    child = training()
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=10)
    assert child.returncode == 130
    assert CheckpointStore(tmp_path / "checkpoints").run("tiny").last().warnings == ()


@pytest.mark.slow
def test_training_under_nohup_survives_a_hangup(training):
    child = training(prefix=["nohup"])
    child.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert child.poll() is None
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    assert child.returncode == 143


@pytest.mark.slow
def test_closed_terminal_does_not_prevent_saving(training, tmp_path):
    ours, theirs = pty.openpty()
    child = training(stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.close(ours)
    time.sleep(0.5)
    assert child.poll() is None  # without a controlling terminal there is no signal
    child.send_signal(signal.SIGTERM)
    child.wait(timeout=30)
    assert child.returncode == 143
    last = CheckpointStore(tmp_path / "checkpoints").run("tiny").last().checkpoint
    assert last.step > 0


@pytest.mark.slow
def test_signal_works_although_the_json_pipe_is_closed(training, tmp_path):
    child = training(stdout=subprocess.PIPE, arguments=["--json"])
    child.stdout.close()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert b"charlstm train --resume --run tiny" in err
