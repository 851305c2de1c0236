"""Kill a training run at random times, resume it, and compare it with an uninterrupted one.

    python tests/kill_loop.py FOLDER NUM_KILLS SEED PRECISION

Children are forked from this process, which has imported torch and run nothing, so that a start
takes milliseconds. Prints one JSON object; exits with 1 when anything was lost.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch._dynamo  # noqa: F401 - here, so that no child has to: optimizers want it

import charlstm.run.session  # noqa: F401
from charlstm.cli import main
from charlstm.errors import CheckpointError
from charlstm.run.store import CheckpointStore

STEPS = 200
SETTINGS = ["--hidden-size", "16", "--batch-size", "4", "--seq-len", "16", "--threads", "1"]


def start(folder, run, precision):
    child = os.fork()
    if child:
        return child
    log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    arguments = ["train", "text.txt", "--steps", str(STEPS), "--run", run, "--resume"]
    if not (folder / "checkpoints" / run / "last.safetensors").exists():
        arguments += ["--dropout", "0.1", "--precision", precision, *SETTINGS]
    os._exit(main(arguments))


def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def same(one, other):
    return (
        one.weights.keys() == other.weights.keys()
        and one.training.arrays.keys() == other.training.arrays.keys()
        and all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)
        and all(
            np.array_equal(value, other.training.arrays[name])
            for name, value in one.training.arrays.items()
        )
    )


def loop(folder, num_kills, seed, precision):
    randomness = random.Random(seed)
    words = [randomness.choice(["quick", "quiet", "lazy", "fox", "dog"]) for _ in range(1500)]
    (folder / "text.txt").write_text(" ".join(words))
    store = CheckpointStore(folder / "checkpoints")

    began = time.monotonic()
    assert wait(start(folder, "peace", precision)) == 0, (folder / "log").read_text()
    duration = time.monotonic() - began
    expected = store.run("peace").last().checkpoint
    best = store.run("peace").best().checkpoint

    kills = runs = warnings = 0
    while kills < num_kills:
        child = start(folder, "killed", precision)
        time.sleep(randomness.uniform(0, duration))
        os.kill(child, signal.SIGKILL)
        was_killed = wait(child) == -signal.SIGKILL
        if not store.run("killed").has_checkpoint:
            continue  # before the first save: nothing to lose
        loaded = store.run("killed").last()
        warnings += len(loaded.warnings)
        if was_killed and not loaded.checkpoint.is_finished:
            kills += 1
        if loaded.checkpoint.is_finished:
            runs += 1
            assert same(loaded.checkpoint, expected), "the resumed run became another one"
            kept = store.run("killed").best().checkpoint
            assert all(
                np.array_equal(kept.weights[name], best.weights[name]) for name in best.weights
            )
            assert [entry["val_bits_per_char"] for entry in loaded.checkpoint.history] == [
                entry["val_bits_per_char"] for entry in expected.history
            ]
            shutil.rmtree(store.run("killed").folder)
    return {"kills": kills, "finished_runs": runs, "damaged_files": warnings}


if __name__ == "__main__":
    folder, num_kills, seed, precision = Path(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4]
    try:
        print(json.dumps(loop(folder, num_kills, seed, precision)))
    except (AssertionError, CheckpointError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
