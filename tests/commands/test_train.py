import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import DISK_FULL, SMALL, TEXT, posix, raising, save_run, with_spec

import charlstm
from charlstm.config import ReadingConfig
from charlstm.errors import CheckpointError, CorpusError
from charlstm.events import SavingFailed
from charlstm.run.log import EventRecord
from charlstm.run.store import CheckpointStore
from charlstm.text.storage import load_corpus_of_run
from charlstm.text.vocabulary import Vocabulary
from charlstm.training.trainer import Trainer
from charlstm.views.training import training_view


def test_quiet_still_prints_warnings_and_json(run, corpus_file, here):
    arguments = ["train", corpus_file, "--steps", 8, *SMALL, "--run", "quiet", "-q"]
    assert run(*arguments) == (0, "", "")
    assert run("train", "--resume", "--run", "quiet", "--quiet") == (0, "", "")
    assert run("train", "--resume", "--run", "quiet", "--steps", 9, "-q") == (0, "", "")
    tuned = ["--from", "quiet", "--run", "tuned", "--steps", 2, "--threads", 1, "-q"]
    assert run("train", corpus_file, *tuned) == (0, "", "")
    out, err = run.train(corpus_file, "--steps", 8, "--json", "-q")
    assert err == ""
    assert json.loads(out.splitlines()[-1])["event"] == "finished"
    (here / "list.txt").write_text("anna\notto\n" * 500)
    out, err = run.train("list.txt", "--steps", 8, "-q")
    assert out == ""
    assert err == "the text looks like a list: --split-documents lines makes each line a document\n"
    assert "run quiet exists" in run.fails(2, *arguments)


def test_log_lines_fit_a_terminal(run, corpus_file, here):
    _, err = run.train(corpus_file, "--steps", 8)
    previews = re.findall(r"^epoch .*", err, re.MULTILINE)
    assert previews
    assert all(len(line) == 100 for line in previews)
    assert "reading" not in err  # only on a terminal
    logged = (here / "checkpoints/tiny/events.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line).get("sample", "") for line in logged]
    assert max(map(len, samples)) == 160


def test_quiet_still_prints_training_warnings(capsys):
    failed = SavingFailed(step=3, reason="disk full")
    with training_view(quiet=True) as show:
        show(EventRecord(event=failed, record={}, is_due=True))
    assert capsys.readouterr().err == "warning: disk full\n"


def test_run_has_the_documented_events_and_files(run, corpus_file, here):
    events = run.json_lines("train", corpus_file, "--steps", 8, *SMALL)
    folder = here / "checkpoints/tiny"
    text = {"text.npy", "text.safetensors"}
    assert {file.name for file in folder.iterdir()} == text | {
        "best.safetensors", "last.safetensors", "events.jsonl", "lock"
    }  # fmt: skip
    logged = (folder / "events.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in logged.splitlines()] == events
    kinds = [event["event"] for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert {"evaluated", "saved"} <= set(kinds)
    keys = {
        "event", "step", "epoch", "elapsed_seconds", "chars_per_second", "train_bits_per_char",
        "val_bits_per_char", "learning_rate",
    }  # fmt: skip
    assert all(keys <= event.keys() for event in events)
    started = events[0]
    assert {"hidden_size", "num_parameters", "world_size", "local_batch_size"} <= started.keys()
    previews = [event for event in events if event["event"] in ("started", "evaluated")]
    assert all(len(event["sample"]) == 160 for event in previews)
    assert all(set(event["gates"][0]) == {"input", "forget", "output"} for event in previews)


def stop_at_step(monkeypatch, step):
    """Let trainings end after this step, as if interrupted."""
    trainer_run = Trainer.run

    def stopping(self):
        for event in trainer_run(self):
            yield event
            if self.step == step:
                self.stop()

    monkeypatch.setattr(Trainer, "run", stopping)


def test_resumed_run_equals_uninterrupted_run(run, corpus_file, here, monkeypatch):
    run.train(corpus_file, "--steps", 12, "--run", "whole")
    store = CheckpointStore(here / "checkpoints")
    with monkeypatch.context() as patch:
        stop_at_step(patch, 5)
        run.train(corpus_file, "--steps", 12, "--run", "parts")
    assert store.run("parts").last().checkpoint.step == 5
    _, err = run.works("train", "--resume", "--run", "parts")
    assert "resumed at step 5" in err
    whole = store.run("whole").last().checkpoint
    parts = store.run("parts").last().checkpoint
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(value, parts.weights[name], err_msg=name)
    for name, value in whole.training.arrays.items():
        np.testing.assert_array_equal(value, parts.training.arrays[name], err_msg=name)
    assert [entry["step"] for entry in parts.history] == [entry["step"] for entry in whole.history]

    _, err = run.works("train", "--resume", "--run", "parts")
    assert "finished" in err
    _, err = run.works("train", "--resume", "--run", "parts", "--steps", 14)
    assert "budget changed from 12 steps to 14 steps" in err
    assert store.run("parts").last().checkpoint.step == 14


def test_resume_finds_the_run_of_a_corpus(run, corpus_file, stored):
    _, err = run.works("train", corpus_file, "--resume", "--steps", 5)
    assert "resumed at step 4" in err


def test_resume_without_checkpoint_starts_over_with_a_notice(run, corpus_file):
    _, err = run.train(corpus_file, "--resume", "--run", "fresh", "--steps", 2)
    assert "starting from the beginning" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "checkpoints: no run to resume; to start one, name its text"),
        (["--resume", "--run", "absent"], "absent: no such run; to start it, name its text"),
        (["--from", "absent"], "absent: no checkpoint found"),
        (["tiny.txt", "--include", "*.py"], "--include selects files in folders: name a folder"),
        (["tiny.txt", "--val-fraction", 0, "--early-stop"], "--early-stop needs validation text"),
        (["short.txt"], "short: 90 characters are too few to train on"),
        (["same.txt"], "same: one character, repeated: there is nothing to learn"),
    ],
)
def test_option_without_its_prerequisite_is_rejected(run, corpus_file, here, options, message):
    (here / "short.txt").write_text("ab" * 51)
    (here / "same.txt").write_text("a" * 5000)
    assert message in run.rejects("train", *options)
    assert not list(here.glob("checkpoints/*"))


def test_resume_rejects_a_budget_already_used(run, corpus_file, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at_step(patch, 5)
        run.train(corpus_file, "--steps", 9)
    for budget in (["--steps", 3], ["--epochs", 0.01], ["--minutes", 0.0001]):
        err = run.fails(2, "train", "--resume", *budget)
        assert "the run is at step 5 of its 9 steps, past that; give a larger budget" in err


@pytest.mark.parametrize(
    ("is_worse", "says"), [(False, ""), (True, "use fewer steps or more text")]
)
def test_overfitting_advice_is_in_steps(run, corpus_file, monkeypatch, is_worse, says):
    if is_worse:
        monkeypatch.setattr("charlstm.analysis.advice.noise_bits", lambda number: -1.0)
    out, _ = run.train(corpus_file, "--steps", 20, "--learning-rate", 0)
    assert ("overfitting" in out) == is_worse
    assert says in out


def test_val_and_test_files_replace_fractions(run, corpus_file, here):
    (here / "v.txt").write_text("quick quips.\n")
    (here / "t.txt").write_text("lazy dog! ")
    run.train(corpus_file, "--val", "v.txt", "--test", "t.txt", "--steps", 2)
    result = run.json("eval")
    assert (result["num_chars"], result["num_unknown"]) == (10, 1)
    assert run.json("eval", "--split", "val")["num_chars"] == 13


def test_from_starts_with_another_model(run, corpus_file, here):
    run.train(corpus_file, "--steps", 60, "--run", "old", "--embedding-size", 12)
    (here / "new.txt").write_text(TEXT.replace("fox", "f\u00f6x").replace("z", "s"))
    options = ["--steps", 1, "--learning-rate", 0, "--batch-size", 4, "--seq-len", 16]
    _, err = run.works("train", "new.txt", "--from", "old", *options)
    assert f"from run old: its {len(set(TEXT))} characters and 1 new" in err
    tuned, old = (run.json("eval", "new.txt", "--run", name) for name in ("new", "old"))
    assert (old["num_unknown"], tuned["num_unknown"]) == (30, 0)
    # With zero learning rate nothing changes.
    assert tuned["bits_per_char"] == pytest.approx(old["bits_per_char"], abs=0.1)
    for arguments, message in (
        (["--from", "old", "--hidden-size", 9], "--hidden-size 9 (the run has 8)"),
        (["--from", "old", "--level", "byte"], "--level byte (the run has char)"),
    ):
        assert message in run.rejects("train", "new.txt", "--run", "other", *arguments)


def test_from_keeps_characters_of_the_base_model(run, trained, corpus_file, here):
    trained("old", "--steps", 20)
    (here / "new.txt").write_text(TEXT.replace("z", "\u00f6"), encoding="utf-8")
    options = ["--steps", 6, "--batch-size", 4, "--seq-len", 16, "--threads", 1]
    run.works("train", "new.txt", "--run", "plain", *options)
    for name, base in (
        ("new", "old"),
        ("of_folder", "checkpoints/old"),
        ("of_file", "checkpoints/old/best.safetensors"),
    ):
        run.works("train", "new.txt", "--run", name, "--from", base, *options)
        run.works("predict", "lazy d\u00f6zen", "--run", name)
        others = TEXT.replace("z", "")
        out, _ = run.works("sample", "--run", name, "--prime", "z", "--forbid", others)
        assert "z" in out[1:]
    # z is not in the text; n-grams, baselines and the encoded text must handle it.
    assert run.json("eval", corpus_file, "--run", "new")["num_unknown"] == 0
    assert {row["name"] for row in run.json("eval", "--run", "new")["baselines"]} >= {"order 0"}
    (here / "new.txt").unlink()
    err = run("train", "--resume", "--run", "new", "--steps", 8)[2]
    assert "resuming from the copy" in err


def test_from_byte_model_reads_bytes(run, corpus_file, here):
    """EOS isn't inherited: the new text decides."""
    (here / "other.txt").write_text(TEXT)
    run.train(corpus_file, "other.txt", "--level", "byte", "--steps", 4)
    (here / "new.txt").write_text("m\u00e5l\n" * 300, encoding="utf-8")
    run.works("train", "new.txt", "--from", "tiny", "--steps", 4, "--threads", 1, "--run", "new")
    model = charlstm.load("new", checkpoints=here / "checkpoints")
    assert model.tokenizer.is_byte
    assert set(model.tokenizer.vocabulary.characters) == {*TEXT, "\xc3", "\xa5"}


def test_resume_reads_or_rejects_a_given_corpus(run, corpus_file, here):
    run.train(corpus_file, "--steps", 3, "--run", "r")
    resume = ["--resume", "--run", "r", "--steps", 5]
    for content in (b"", b"\xff\xfe\0binary", b"x", None):
        other = here / "other.txt"
        other.unlink(missing_ok=True)
        if content is not None:
            other.write_bytes(content)
        err = run.fails(1, "train", "other.txt", *resume)
        assert "other.txt" in err or "changed" in err
    corpus_file.write_bytes(b"")  # changed, not gone
    assert run("train", *resume)[0] == 1
    corpus_file.unlink()
    _, err = run.works("train", *resume)
    assert f"{corpus_file}: missing" in err


def test_copied_corpus_keeps_its_name(run, corpus_file, here):
    (here / "copy.txt").write_bytes(corpus_file.read_bytes())
    for name in ("tiny.txt", "copy.txt", "copy.txt"):
        run.train(name, "--steps", 2)
    found = {one["name"]: one["corpus"] for one in run.json("runs")}
    assert found == {"tiny": "tiny", "copy": "copy", "copy-2": "copy"}


def test_folder_corpus_excludes_its_runs(run, here):
    (here / "text.txt").write_text(TEXT)
    run.train(".", "--steps", 2, "--run", "a")
    run.works("train", "--resume", "--run", "a", "--steps", 4)
    first = run.json("runs", "show", "a")["num_train_chars"]
    run.train(".", "--steps", 2, "--run", "b")
    assert run.json("runs", "show", "b")["num_train_chars"] == first


def test_byte_model_samples_are_shown_as_text(run, here):
    (here / "e.txt").write_text("caf\xe9 au lait \u65e5\u672c " * 60)
    _, err = run.train("e.txt", "--level", "byte", "--steps", 60)
    previews = [one["sample"] for one in run.json("runs", "show", "e")["history"]]
    for shown in ("".join(previews), err, run("runs", "show", "e")[1]):
        assert "\xe9" in shown
        assert "\xc3\xa9" not in shown  # the two bytes as characters of their own
    result = run.json("predict", "caf\xe9", "--ladder")
    assert result["prefix"] == "caf\xe9"
    assert [rung["context"] for rung in result["ladder"]][-2:] == ["af\xe9", "caf\xe9"]
    assert "caf\xe9" in run("predict", "caf\xe9")[1]
    drawn = run("sample", "--until", "\xe9", "--length", 4000, "--seed", 1, "--json")[1]
    (sample,) = json.loads(drawn)["samples"]
    assert sample["text"].endswith("\xe9")
    surprises = run.json("eval", "e.txt")["most_surprising"]
    assert all("\xc3" not in one["before"] for one in surprises)


def test_flag_overrides_from_in_the_environment(run, corpus_file, monkeypatch):
    run.train(corpus_file, "--steps", 2, "--run", "old")
    monkeypatch.setenv("CHARLSTM_TRAIN_FROM", "old")
    options = ["--steps", 2, "--run", "new"]
    assert "from run old" in run("train", corpus_file, *options)[2]
    run.works("train", "--resume", "--run", "new", "--steps", 4)


def test_preview_of_a_list_starts_with_a_zero_state(run, known_names, here):
    sample = run.json("runs", "show", "names")["history"][-1]["sample"]
    assert len(set(sample.split("\n")) & {"anna", "berta", "clara", "dora"}) >= 2


@pytest.mark.parametrize(
    ("text", "how", "notice"),
    [
        ("anna\nberta\nclara\ndora\n" * 60, [], "looks like a list: --split-documents lines"),
        ("anna\n\nberta\n" * 60, ["lines"], r"\d+ of \d+ documents are blank lines"),
        (
            "anna\n\nberta\n" * 60,
            ["re:x{9}"],
            re.escape("--split-documents re:x{9}: no match, the text is one document"),
        ),
    ],
)
def test_unusual_document_splits_give_a_notice(run, here, text, how, notice):
    (here / "names.txt").write_text(text)
    options = ["--split-documents"] * len(how) + how
    _, err = run.train("names.txt", *options, "--steps", 1)
    assert re.search(notice, err)


def test_changed_corpus_is_rejected_with_both_fingerprints(run, stored, corpus_file):
    corpus_file.write_text(TEXT + "more")
    for command in (["eval"], ["train", "--resume", "--steps", 9]):
        err = run.fails(1, *command)
        assert stored.spec.fingerprint[:12] in err
        assert len(re.findall(r"\b[0-9a-f]{12}\b", err)) == 2
        assert ("--from tiny" in err) == (command[0] == "train")


def test_the_next_command_names_the_store_and_works(run, corpus_file):
    out, _ = run.train(corpus_file, "--steps", 2, "--checkpoints", "my store")
    command = re.search(r"charlstm (sample .*\S)", out)[1]
    run.works(*shlex.split(command), "--length", 1, "--seed", 1)


@pytest.mark.slow
def test_training_from_a_pipe(charlstm):
    result = charlstm("train", "-", "--steps", 2, *SMALL, stdin=TEXT.encode())
    assert "run stdin: trained" in result.stdout.decode()


def test_the_same_seed_gives_the_same_file(run, corpus_file, here):
    for name in ("one", "two"):
        run.train(corpus_file, "--steps", 6, "--run", name, "--dropout", 0.1)
    one, two = (
        CheckpointStore(here / "checkpoints").run(name).last().checkpoint for name in ("one", "two")
    )
    # Byte for byte, except for times.
    for checkpoint in (one, two):
        checkpoint.training.numbers["counters"]["elapsed_seconds"] = 0.0
    same = {"saved_at": 0.0, "history": ()}
    assert replace(one, **same).to_bytes() == replace(two, **same).to_bytes()


def test_run_of_another_device_resumes_on_cpu(run, stored):
    """Checkpoints of a GPU are plain arrays that CPUs can read, score and resume."""
    elsewhere = replace(stored.spec.train_config, device="cuda", precision="float16")
    save_run(with_spec(stored, train_config=elsewhere))
    run.works("sample", "--length", 3, "--seed", 1)
    run.works("eval", "--json", "--device", "cpu")
    _, err = run.works("train", "--resume", "--steps", 6)
    assert "another device" in err


def test_resume_with_the_same_command_works_after_batch_shrinking(run, here):
    (here / "short.txt").write_text(TEXT[:600])
    arguments = ["train", "short.txt", "--batch-size", 64, "--seq-len", 64, "--hidden-size", 8]
    run.works(*arguments, "--steps", 2)
    _, err = run.works(*arguments, "--steps", 4, "--resume")
    assert "resumed at step 2" in err


def test_concurrent_trainings_get_different_run_names(run, corpus_file, here, monkeypatch):
    """The name is reserved before the text is read, which may take long."""
    from charlstm.run import preparation

    load = preparation.load_corpus
    codes = []

    def slow(config, **more):
        if not codes:
            codes.append(None)
            codes.append(run("train", "tiny.txt", "--steps", 2, *SMALL)[0])
            codes.append(run("train", "tiny.txt", "--run", "tiny", "--steps", 2, *SMALL)[0])
        return load(config, **more)

    monkeypatch.setattr(preparation, "load_corpus", slow)
    out, _ = run.train("tiny.txt", "--steps", 4)
    assert codes[1:] == [0, 1]
    assert "run tiny: trained" in out
    store = CheckpointStore(here / "checkpoints")
    assert store.run_names() == ["tiny", "tiny-2"]
    assert [store.run(name).last().checkpoint.step for name in store.run_names()] == [4, 2]


def test_resume_rejects_a_checkpoint_without_training_state(run, stored, here):
    folder = here / "checkpoints/tiny"
    (folder / "last.safetensors").write_bytes((folder / "best.safetensors").read_bytes())
    assert "contains only a model" in run.fails(1, "train", "--resume", "--steps", 9)


def test_rejected_start_leaves_no_files(run, corpus_file, here, monkeypatch):
    from charlstm.training import hardware

    monkeypatch.setattr(hardware, "available_bytes", lambda: 1000)
    assert run("train", corpus_file, "--steps", 2, *SMALL)[0] == 1
    assert list((here / "checkpoints").iterdir()) == []


def test_run_of_stdin_reports_missing_text(run, stored):
    save_run(with_spec(stored, corpus=ReadingConfig(paths=("-",))))
    for command in (["eval"], ["train", "--resume", "--steps", 9]):
        assert "stdin" in run.fails(1, *command)


def test_tensorboard_writes_curves(run, corpus_file, here, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run.train(corpus_file, "--steps", 8, "--tensorboard")
    events = EventAccumulator(str(here / "checkpoints" / "tiny" / "tensorboard"))
    events.Reload()
    curves = events.Tags()["scalars"]
    assert {"val_bits_per_char", "learning_rate", "gates/layer 1 forget"} <= set(curves)
    record = run.json("runs", "show", "tiny")
    shown = [(one.step, one.value) for one in events.Scalars("val_bits_per_char")]
    expected = [
        (one["step"], pytest.approx(one["val_bits_per_char"], rel=1e-5))
        for one in record["history"]
        if one["event"] == "evaluated"
    ]
    assert shown == expected
    texts = events.Tags()["tensors"]
    assert [one.step for one in events.Tensors(texts[0])] == [
        one["step"] for one in record["history"]
    ]
    with monkeypatch.context() as patch:
        patch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", raising(DISK_FULL))
        _, err = run.train(corpus_file, "--steps", 8, "--tensorboard", "--run", "full")
    assert err.count("can't write TensorBoard's curves any more: No space left") == 1
    run.works("runs", "rm", "tiny", "--yes")
    assert not (here / "checkpoints" / "tiny").exists()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    err = run.fails(2, "train", corpus_file, "--steps", 8, *SMALL, "--tensorboard")
    assert "pip install 'charlstm[tensorboard]'" in err


def test_resume_of_finished_run_changes_nothing(run, corpus_file, here):
    *_, expected = run.json_lines("train", corpus_file, "--steps", 8, *SMALL)
    last = here / "checkpoints" / "tiny" / "last.safetensors"
    before = last.read_bytes()
    for budget in ([], ["--steps", 5], ["--epochs", 0.01]):
        out, err = run.works("train", "--resume", "--run", "tiny", *budget, "--json")
        assert "tiny is finished: it used its 8 steps" in err
        assert "--steps N" in err
        found = json.loads(out)
        assert found.keys() == expected.keys()
        for name in ("event", "run", "step", "best_val_bits_per_char", "was_interrupted"):
            assert found[name] == expected[name], name
        assert last.read_bytes() == before


@pytest.mark.slow
def test_closed_json_pipe_saves_and_fails(charlstm, corpus_file, tmp_path):
    arguments = ["train", corpus_file, "--minutes", 5, *SMALL, "--run", "cut", "--json"]
    child = subprocess.Popen(
        [sys.executable, "-m", "charlstm", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    with child:
        assert b"started" in child.stdout.readline()
        child.stdout.close()
        assert child.wait(timeout=60) == 1
        assert b"interrupted and saved" in child.stderr.read()


@pytest.mark.slow
@posix
def test_dev_stdin_run_resumes_from_its_copy(charlstm, tmp_path):
    options = ["--run", "piped", *SMALL]
    charlstm("train", "/dev/stdin", "--steps", 2, *options, stdin=TEXT.encode())
    done = charlstm("train", "--resume", "--run", "piped", "--steps", 4)
    assert b"resuming from the copy" in done.stderr
    os.mkfifo(tmp_path / "pipe")
    config = ReadingConfig(paths=(str(tmp_path / "pipe"),))
    with pytest.raises(CorpusError, match="a pipe, and the run has no copy"):
        load_corpus_of_run(config, "f" * 64, Vocabulary("ab"), None)


def test_resume_survives_changed_python_documentation(run, here, monkeypatch):
    from pydoc_data import topics

    monkeypatch.setattr(topics, "topics", {"a": TEXT, "b": TEXT})
    run.train("--run", "docs", "--steps", 2)
    monkeypatch.setattr(topics, "topics", {"a": TEXT, "c": TEXT[::-1]})
    run.works("train", "--resume", "--run", "docs", "--steps", 4)


@posix
def test_private_text_makes_new_and_resumed_runs_private(run, corpus_file, here):
    run.train(corpus_file, "--steps", 2)
    corpus_file.chmod(0o600)
    run.works("train", "--resume", "--run", "tiny", "--steps", 4)
    run.train(corpus_file, "--run", "new", "--steps", 2)
    for name in ("tiny", "new"):
        files = {file.name: file for file in (here / "checkpoints" / name).iterdir()}
        del files["lock"]
        assert {file.suffix for file in files.values()} >= {".safetensors", ".jsonl", ".npy"}
        assert {file.stat().st_mode & 0o077 for file in files.values()} == {0}


def test_failed_start_leaves_no_tensorboard_folder(run, corpus_file, here, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(
        "charlstm.run.writer.RunWriter.save_last", raising(CheckpointError("no room"))
    )
    assert run("train", corpus_file, "--steps", 2, "--tensorboard", *SMALL)[0] == 1
    assert not (here / "checkpoints/tiny").exists()


def test_unread_piped_text_is_an_error(run, monkeypatch):
    ours, theirs = os.pipe()
    os.write(theirs, b"the quick")
    with open(ours) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert "charlstm train -" in run.fails(2, "train", "--steps", 1, *SMALL)
    os.close(theirs)


@pytest.mark.slow
@posix
def test_single_ctrl_d_ends_typed_text(here):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "charlstm", "train", "-", "--steps", "2", *SMALL]
    child = subprocess.Popen(
        command, cwd=here, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.close(theirs)
    assert b"end with Ctrl-D" in child.stderr.readline()
    os.write(ours, b"the quick brown fox\n" * 20 + b"\x04")
    out, _ = child.communicate(timeout=60)
    os.close(ours)
    assert b"run stdin: trained" in out
