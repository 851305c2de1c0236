import json
import os
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, TEXT, posix

from charlstm.config import IN_MEMORY, ReadingConfig
from charlstm.run.store import CheckpointStore

STORE = Path("checkpoints")
BY_BUDGET = {"num_evaluations", "adapts_threads"}


@pytest.fixture
def texts(here):
    (here / "tiny.txt").write_text(TEXT)
    (here / "val.txt").write_text("quick quotes")
    names = [f"{first}{middle}{last}" for first in "abcdefghij" for middle in "aeiou"
             for last in ("n", "ra", "llo", "ska")]  # fmt: skip
    (here / "names.txt").write_text("\n".join(names))
    (here / "raw.bin").write_bytes(bytes(range(256)) * 10)
    (here / "my folder").mkdir()
    for number in range(3):
        (here / f"my folder/{number}.py").write_text(f"# part {number}\n{TEXT}\r\n")
    return here


def weights(name):
    """Return all tensors of a run's best and last checkpoints, by name."""
    run = CheckpointStore(STORE).run(name)
    best, last = run.best().checkpoint, run.last().checkpoint
    return {f"best.{key}": value for key, value in best.weights.items()} | last.weights


def given_in(spec):
    return {name: value for name, value in spec["settings"].items() if value is not None}


def again(run, name):
    """Repeat a run with its command; return the notes and the new run's name."""
    out, err = run.works("runs", "show", name, "--command")
    (line,) = out.splitlines()
    program, *arguments = shlex.split(line)
    assert program == "charlstm"
    code, out, error = run(*arguments, "--json")
    assert code == 0, error
    *_, finished = map(json.loads, out.splitlines())
    assert finished["event"] == "finished"
    return [note.removeprefix(f"{name}: ") for note in err.splitlines()], finished["run"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["tiny.txt", "--steps", 30, *SMALL],
        ["tiny.txt", "--epochs", 3.7, *SMALL, "--seed", 9, "--cell", "gru", "--early-stop"],
        ["tiny.txt", "--steps", 30, *SMALL, "--dropout", 0.3, "--recurrent-dropout", 0.1],
        ["tiny.txt", "--steps", 30, *SMALL, "--dropout", 0.0, "--weight-decay", 0.123],
        ["tiny.txt", "--steps", 9, *SMALL, "--val", "val.txt", "--test-fraction", 0.2],
        ["tiny.txt", "--steps", 9, *SMALL, "--min-count", 40, "--normalize", "nfc"],
        ["names.txt", "--split-documents", "lines", "--steps", 30, *SMALL],
        ["names.txt", "--split-documents", "re:a", "--split-by", "order", "--steps", 9, *SMALL],
        ["raw.bin", "--level", "byte", "--steps", 30, *SMALL, "--learning-rate", 0.0123],
        ["my folder", "--include", "*.py", "--keep-line-ends", "--steps", 9, *SMALL],
        ["val.txt", "--steps", 9, "--batch-size", 64, "--hidden-size", 8, "--threads", 1],
    ],
    ids=lambda arguments: " ".join(map(str, arguments[:5])),
)
def test_repeated_run_has_bit_identical_weights(run, texts, arguments):
    run.works("train", *arguments, "--run", "first")
    notes, other = again(run, "first")
    assert len(notes) == 1
    assert "same torch" in notes[0]
    assert other != "first"
    own, found = weights("first"), weights(other)
    assert own.keys() == found.keys()
    assert all(np.array_equal(own[name], found[name]) for name in own)
    specs = [CheckpointStore(STORE).run(name).last().checkpoint.spec.to_plain()
             for name in ("first", other)]  # fmt: skip
    # Settings chosen by the machine are explicit in the command.
    assert given_in(specs[0]).items() <= given_in(specs[1]).items()
    assert given_in(specs[1]).keys() - given_in(specs[0]).keys() <= {
        "threads",
        "device",
        "precision",
    }
    for spec in specs:
        del spec["settings"]
    assert specs[0] == specs[1]


def test_run_with_minutes_is_repeated_with_its_steps(run, texts):
    run.works("train", "tiny.txt", "--minutes", 0.02, "--run", "first", "--threads", 1)
    first = CheckpointStore(STORE).run("first").last().checkpoint
    notes, other = again(run, "first")
    assert len(notes) == 1
    assert f"the {first.step:,} step" in notes[0]
    assert "not the same weights" in notes[0]
    second = CheckpointStore(STORE).run(other).last().checkpoint
    assert second.step <= first.step  # early stopping may end it
    assert second.spec.budget.steps == first.step
    assert second.spec.model_config == first.spec.model_config
    own, found = asdict(first.spec.train_config), asdict(second.spec.train_config)
    assert {name for name in own if own[name] != found[name]} <= BY_BUDGET


def test_note_names_the_run_given_by_from(run, texts):
    run.works("train", "tiny.txt", "--steps", 9, "--run", "first", *SMALL)
    run.works("train", "names.txt", "--from", "first", "--steps", 5, "--run", "tuned")
    notes, other = again(run, "tuned")
    assert "it started from run first, which may have changed since" in notes
    own, found = weights("tuned"), weights(other)
    assert all(np.array_equal(own[name], found[name]) for name in own)


def test_notes_state_what_prevents_repetition(run, texts):
    def notes(name="first"):
        return run("runs", "show", name, "--command")[2]

    run.works("train", "tiny.txt", "--steps", 5, "--run", "first", *SMALL)
    run.works("train", "--resume", "--run", "first", "--steps", 8)
    assert "budget was changed" in notes()
    (texts / "tiny.txt").write_text(TEXT + "and more")
    assert "the text has changed" in notes()
    (texts / "tiny.txt").unlink()
    assert "tiny.txt no longer exists" in notes()
    store = CheckpointStore(STORE)
    last = store.run("first").last().checkpoint

    def kept_as(name, **changes):
        corpus = changes.pop("corpus", last.spec.corpus)
        spec = replace(last.spec, corpus=corpus, **changes.pop("spec", {}))
        with store.run(name).writer() as writer:
            writer.save_last(replace(last, spec=spec, **changes))
        return notes(name)

    assert "came from stdin" in kept_as("piped", corpus=ReadingConfig(paths=("-",)))
    in_memory = ReadingConfig(paths=(IN_MEMORY,))
    assert "came from a Python program" in kept_as("program", corpus=in_memory)
    assert "isn't finished: it is at step 8 of its 8 steps" in kept_as("cut", is_finished=False)


def test_only_the_command_is_printed(run, texts):
    run.works("train", "tiny.txt", "--steps", 3, "--checkpoints", "my runs", *SMALL)
    place = ("--checkpoints", "my runs")
    out = run("runs", "show", "tiny", "--command", *place)[1]
    assert out.endswith(" --checkpoints 'my runs'\n")
    for option in (["--json"], ["--details"], ["--plot", "a.svg"]):
        code, out, err = run("runs", "show", "tiny", "--command", *option, *place)
        assert (code, out) == (1, "") or code == 2
        assert "can't be combined" in err


@posix
def test_command_does_not_wait_for_a_pipe(run, texts):
    run.works("train", "tiny.txt", "--steps", 3, "--run", "first", *SMALL)
    (texts / "tiny.txt").unlink()
    os.mkfifo(texts / "tiny.txt")
    _, err = run.works("runs", "show", "first", "--command")
    assert "no longer exists" in err
