"""Distributed training with real processes.

torchrun starts them on the loopback address.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from charlstm.errors import ConfigError, TrainingError
from charlstm.run.store import CheckpointStore
from charlstm.system.distributed import SINGLE_PROCESS, World, join_world

SENTENCES = "the quick brown fox jumps over the lazy dog.\nquiet queens quote quick quips.\n"
OPTIONS = ["--hidden-size", "16", "--batch-size", "8", "--seq-len", "16", "--threads", "1"]
OPTIONS += ["--precision", "float32", "--json", "--learning-rate", "0.01"]
# The number of processes changes rounding, and AdamW's first steps have the size of the learning
# rate even for tiny gradients: a low rate keeps the weights close.
COMPARED = [*OPTIONS[:-1], "0.001", "--dropout", 0]


def test_single_process_does_not_communicate():
    import torch

    assert SINGLE_PROCESS.is_main_process
    assert SINGLE_PROCESS.shard(7) == slice(0, 7)
    assert SINGLE_PROCESS.all_reduce([1.5, True]) == [1.5, True]
    tensor = torch.ones(3)
    SINGLE_PROCESS.all_reduce_mean_([tensor])
    assert tensor.tolist() == [1, 1, 1]
    assert SINGLE_PROCESS.gather(tensor) == [tensor]
    assert SINGLE_PROCESS.broadcast("a") == "a"


def test_streams_must_be_divisible_by_the_processes():
    worlds = [World(rank=rank, size=3) for rank in range(3)]
    numbers = [number for world in worlds for number in range(12)[world.shard(12)]]
    assert numbers == list(range(12))
    with pytest.raises(ConfigError, match=r"8 streams .* can't be divided by 3 processes"):
        worlds[0].shard(8)


def test_single_process_needs_no_process_group():
    for environment in (
        {},
        {"WORLD_SIZE": "1", "MASTER_ADDR": "nowhere"},
        {"WORLD_SIZE": "4"},
        {"WORLD_SIZE": ""},
    ):
        with join_world(environment) as world:
            assert world == SINGLE_PROCESS


def test_notes_survive_a_restart():
    import torch.distributed as dist

    assert SINGLE_PROCESS.noted("run") is None
    SINGLE_PROCESS.note("run", "a")  # has no effect
    store = dist.HashStore()
    first, second = World(size=2, notes=store), World(size=2, attempt=1, notes=store)
    assert second.noted("run") is None
    first.note("run", "caf\u00e9")
    assert second.noted("run") == "caf\u00e9"
    with join_world({"TORCHELASTIC_RESTART_COUNT": "2"}) as world:
        assert world == World(attempt=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORLD_SIZE", "x"), *(("CHARLSTM_DISTRIBUTED_TIMEOUT", v) for v in ("soon", "-1", "nan"))],
)
def test_invalid_environment_is_rejected(name, value):
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", name: value}
    with pytest.raises(ConfigError, match=f"{name}={value}"), join_world(environment):
        pass


def test_missing_processes_time_out():
    environment = {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
        "CHARLSTM_DISTRIBUTED_TIMEOUT": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(TrainingError, match="can't be reached"), join_world(environment):
            pass


@pytest.fixture
def text(tmp_path):
    """Write a text with different lines, so that streams differ."""
    generator = np.random.default_rng(0)
    words = SENTENCES.split()
    (tmp_path / "text.txt").write_text(
        "\n".join(" ".join(generator.choice(words, 9)) for _ in range(400)), encoding="utf-8"
    )
    return "text.txt"


@pytest.fixture
def start(tmp_path):
    """Return a function (processes, arguments) -> running torchrun, killed at the end."""
    started = []

    def start(num_processes, *arguments, agent=("--standalone",), restarts=0, **environment):
        command = [sys.executable, "-m", "torch.distributed.run", *agent]
        command += [f"--nproc-per-node={num_processes}", f"--max-restarts={restarts}"]
        command += ["-m", "--", "charlstm", "train", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process, *, code=0, stdin=None):
    """Wait for a process; return its events and its stderr."""
    out, err = process.communicate(stdin, timeout=120)
    assert process.returncode == code, err
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")], err


def curve(events):
    return [
        (event["step"], event["train_bits_per_char"], event["val_bits_per_char"])
        for event in events
        if event["event"] == "evaluated"
    ]


def stored(tmp_path, run):
    return CheckpointStore(tmp_path / "checkpoints").run(run).last().checkpoint


def assert_same(checkpoint, other):
    assert checkpoint.weights.keys() == other.weights.keys()
    for name, value in checkpoint.weights.items():
        np.testing.assert_array_equal(value, other.weights[name])
    assert checkpoint.training.arrays.keys() == other.training.arrays.keys()
    for name, value in checkpoint.training.arrays.items():
        np.testing.assert_array_equal(value, other.training.arrays[name], err_msg=name)


def workers(run_folder, process):
    """Return the process ids of the workers, by rank, once training has started."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        log = run_folder / "events.jsonl"
        if log.exists() and '"evaluated"' in log.read_text("utf-8"):
            break
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    return worker_pids(process)


def worker_pids(process):
    children = {}
    for line in subprocess.check_output(["ps", "-eo", "pid,ppid"], text=True).splitlines()[1:]:
        pid, parent = map(int, line.split())
        if parent == process.pid:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = dict(
                    entry.split(b"=", 1) for entry in file.read().split(b"\0") if b"=" in entry
                )
            if b"RANK" in variables:
                children[int(variables[b"RANK"])] = pid
    return children


@pytest.mark.slow
def test_distributed_training_matches_a_single_process(start, tmp_path, text):
    options = [*COMPARED, "--steps", 40, "--split-documents", "lines"]
    single, _ = finish(start(1, text, *options, "--run", "p1"))
    for number in (2, 4):
        together, err = finish(start(number, text, *options, "--run", f"p{number}"))
        np.testing.assert_allclose(curve(together), curve(single), rtol=1e-4)
        assert len(curve(together)) >= 4
        started = next(event for event in together if event["event"] == "started")
        assert started["world_size"] == number
        assert started["local_batch_size"] == 8 // number
        assert err.count("characters in") == 1  # only the main process prints
    single, other = stored(tmp_path, "p1"), stored(tmp_path, "p4")
    for name, value in single.weights.items():
        np.testing.assert_allclose(other.weights[name], value, atol=2e-4)
    for name in ("carried.h_LBH", "carried.c_LBH"):
        np.testing.assert_allclose(
            other.training.arrays[name], single.training.arrays[name], atol=2e-3
        )


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_restart_after_a_killed_process_is_bit_identical(start, tmp_path, text, victim):
    options = [*OPTIONS, "--steps", 500, "--dropout", 0.2, "--recurrent-dropout", 0.1]
    finish(start(2, text, *options, "--run", "uninterrupted"))
    process = start(2, text, *options, "--run", "killed", restarts=1)
    os.kill(workers(tmp_path / "checkpoints" / "killed", process)[victim], signal.SIGKILL)
    events, err = finish(process)
    assert "resumed at step" in err
    assert [event["event"] for event in events].count("started") == 2
    assert events[-1]["step"] == 500
    assert_same(stored(tmp_path, "killed"), stored(tmp_path, "uninterrupted"))


@pytest.mark.slow
def test_restart_before_the_first_save_touches_no_other_run(start, tmp_path, text):
    """The newest run of the text is a different, finished one."""
    finish(start(1, text, *OPTIONS, "--steps", 5))
    before = stored(tmp_path, "text")
    # A pipe: the main process waits for its text until a worker is killed and torchrun restarts.
    os.mkfifo(tmp_path / "pipe")
    process = start(2, text, "--val", "pipe", *OPTIONS, "--steps", 6, "--dropout", 0, restarts=1)
    deadline = time.monotonic() + 60
    writer = None
    while writer is None:
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError):  # until the pipe has a reader
            writer = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    os.kill(worker_pids(process)[1], signal.SIGKILL)
    time.sleep(1)
    os.close(writer)
    (tmp_path / "pipe").unlink()
    (tmp_path / "pipe").write_text(SENTENCES, encoding="utf-8")
    events, _ = finish(process)
    assert events[-1]["run"] == "text-2"
    assert events[-1]["step"] == 6
    assert_same(stored(tmp_path, "text"), before)


@pytest.mark.slow
def test_run_resumes_with_another_number_of_processes(start, tmp_path, text):
    finish(start(2, text, *COMPARED, "--run", "moved", "--steps", 20))
    finish(start(4, text, "--resume", "--run", "moved", "--steps", 40, "--json"))
    finish(start(2, text, *COMPARED, "--run", "uninterrupted", "--steps", 20))
    finish(start(1, text, "--resume", "--run", "uninterrupted", "--steps", 40, "--json"))
    single, other = stored(tmp_path, "moved"), stored(tmp_path, "uninterrupted")
    assert single.step == other.step == 40
    for name, value in single.weights.items():
        np.testing.assert_allclose(other.weights[name], value, atol=2e-4)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("SIGKILL", marks=pytest.mark.slow),
        pytest.param("SIGSTOP", marks=pytest.mark.torture),
    ],
)
def test_lost_process_ends_training_with_a_clear_error(start, tmp_path, text, how):
    process = start(
        2, text, *OPTIONS, "--minutes", 5, "--run", "lost", CHARLSTM_DISTRIBUTED_TIMEOUT="8"
    )
    pids = workers(tmp_path / "checkpoints" / "lost", process)
    began = time.monotonic()
    os.kill(pids[1], getattr(signal, how))
    if how == "SIGSTOP":
        # torchrun waits for the stopped process; the other process doesn't.
        while os.path.exists(f"/proc/{pids[0]}") and _state_of(pids[0]) != "Z":
            assert time.monotonic() - began < 40
            time.sleep(0.2)
        os.kill(pids[1], signal.SIGKILL)
    _, err = finish(process, code=1)
    assert time.monotonic() - began < 60
    if how == "SIGSTOP":
        assert "charlstm: another process of this training can't be reached" in err


def _state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["main process", "worker", "torchrun"])
def test_signal_to_any_process_saves_and_ends(start, tmp_path, text, whom):
    process = start(2, text, *OPTIONS, "--minutes", 5, "--run", "stopped")
    pids = workers(tmp_path / "checkpoints" / "stopped", process)
    if whom == "torchrun":
        process.send_signal(
            signal.SIGINT
        )  # like Ctrl-C, which workers in their own sessions don't get
    else:
        os.kill(pids[["main process", "worker"].index(whom)], signal.SIGTERM)
    events, err = finish(process, code=1)  # the exit code of torchrun, not of a worker
    assert events[-1]["event"] == "finished"
    assert events[-1]["was_interrupted"]
    assert "interrupted and saved" in err
    assert stored(tmp_path, "stopped").step == events[-1]["step"]


@pytest.mark.slow
def test_two_agents_match_one(start, tmp_path, text):
    options = [*OPTIONS, "--steps", 30, "--dropout", 0]
    single, _ = finish(start(1, text, *options, "--run", "alone"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    agent = ["--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}"]
    agent += ["--rdzv-id=test", "--local-addr=127.0.0.1"]
    agents = [start(1, text, *options, "--run", "two", agent=agent) for _ in range(2)]
    together = [event for process in agents for event in finish(process)[0]]
    np.testing.assert_allclose(curve(together), curve(single), rtol=1e-4)


@pytest.mark.slow
def test_errors_are_printed_once(start, tmp_path, text):
    _, err = finish(start(3, text, *OPTIONS, "--steps", 5), code=1)
    assert err.count("can't be divided by 3 processes") == 1
    assert "Traceback (most recent call last)" not in err.split("=====")[0].split("E1")[0]
    _, err = finish(start(2, "nowhere.txt", *OPTIONS, "--steps", 5), code=1)
    assert err.count("charlstm: nowhere.txt") + err.count("nowhere.txt: can't be read") >= 1


@pytest.mark.slow
def test_text_from_stdin_reaches_all_processes(start, tmp_path, text):
    single, _ = finish(start(1, text, *OPTIONS, "--steps", 5, "--run", "one"))
    process = start(2, "-", *OPTIONS, "--steps", 5, "--run", "two")
    together, _ = finish(process, stdin=(tmp_path / text).read_text("utf-8"))
    np.testing.assert_allclose(curve(together), curve(single), rtol=1e-4)


@pytest.mark.slow
def test_main_process_keeps_the_time(start, text):
    began = time.monotonic()
    events, _ = finish(start(2, text, *OPTIONS, "--minutes", 0.1, "--run", "clock"))
    assert events[-1]["event"] == "finished"
    assert 3 < events[-1]["elapsed_seconds"] < 12
    assert time.monotonic() - began < 40
