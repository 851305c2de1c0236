import json
import re
import shutil
import sys
import time
from types import SimpleNamespace

import pytest
import typer
from conftest import TEXT, posix

from charlstm.run.store import CheckpointStore


def test_runs_show_shows_history(run, trained):
    trained("one", "--steps", 30)
    out = run.stdout("runs", "show", "one")
    for part in ("1 x 8 lstm", "30 steps, finished"):
        assert part in out
    details = run("runs", "show", "one", "--details")[1]
    for part in ("1 x 8 lstm", "input 0.", "forget 0.", "output 0."):
        assert part in details
    shown = run.json("runs", "show", "one")
    (listed,) = run.json("runs")
    assert listed.items() <= shown.items()
    assert shown["settings"]["model"]["hidden_size"] == 8
    assert shown["settings"]["train"]["seq_len"] == 16
    assert len(shown["history"]) >= 4
    started, *evaluated = shown["history"]
    assert started["val_bits_per_char"] is None
    assert started["gate_shares"][0]["forget"][0] == 0  # a fresh gate is never closed
    for record in evaluated:
        assert record["sample"].replace("\n", "\u23ce")[:20] in out
        assert record["sample"].replace("\n", "\u23ce")[:150] in details
    assert run("runs", "show", "absent")[0] == 1
    assert json.loads(run("runs", "--json", "show", "one")[1]) == shown
    assert run("runs", "--checkpoints", "elsewhere", "show", "one")[0] == 1


def test_runs_subcommand_prefers_its_own_store_option(run, stored, here, monkeypatch):
    monkeypatch.setenv("CHARLSTM_CHECKPOINTS", "elsewhere")
    assert run("runs", "show", "tiny")[0] == 1
    run.works("runs", "show", "tiny", "--checkpoints", "checkpoints")
    run.works("runs", "--checkpoints", "checkpoints", "show", "tiny")
    run.works("runs", "--checkpoints", "x", "show", "tiny", "--checkpoints", "checkpoints")
    monkeypatch.setenv("CHARLSTM_RUNS_SHOW_CHECKPOINTS", "checkpoints")
    run.works("runs", "show", "tiny")


def test_runs_rm_needs_confirmation(run, stored, here, monkeypatch):
    folder = here / "checkpoints" / "tiny"
    for stdin in (sys.stdin, None):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert "--yes" in run.fails(2, "runs", "rm", "tiny")
        assert folder.is_dir()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: "n\n"))
    monkeypatch.setattr("typer.confirm", lambda question, err: "tiny" not in question)
    assert run("runs", "rm", "tiny")[0] == 1
    assert folder.is_dir()

    def interrupt(question, err):
        raise typer.Abort

    monkeypatch.setattr("typer.confirm", interrupt)
    assert run("runs", "rm", "tiny") == (130, "", "")
    assert folder.is_dir()
    run.works("runs", "rm", "tiny", "--yes")
    assert not folder.exists()
    assert "no checkpoint found" in run.fails(1, "runs", "rm", "tiny", "--yes")


def test_model_file_is_listed_and_shown(run, stored, here):
    for file in (here / "checkpoints" / "tiny").glob("[ls]*.safetensors"):
        file.unlink()
    assert [one["name"] for one in run.json("runs")] == ["tiny"]
    assert run.json("runs", "show", "tiny")["name"] == "tiny"


def test_runs_rm_keeps_foreign_files(run, stored, here):
    folder = here / "checkpoints" / "tiny"
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    run.works("runs", "rm", "tiny", "--yes")
    assert (folder / "thesis.txt").read_text("utf-8") == "mine"
    assert {path.name for path in folder.iterdir()} <= {"thesis.txt", "lock"}


def test_runs_rm_rejects_a_run_in_training(run, stored, here):
    with CheckpointStore(here / "checkpoints").run("tiny").writer():
        err = run.fails(1, "runs", "rm", "tiny", "--yes")
    assert "another process is training" in err


def test_unreadable_run_does_not_hide_others(run, stored, here):
    folder = here / "checkpoints/broken"
    folder.mkdir()
    (folder / "last.safetensors").write_bytes(b"\0" * 100)
    out, err = run.works("runs", "--json")
    assert [one["name"] for one in json.loads(out)] == ["tiny"]
    assert "broken" in err


def test_listing_runs_reads_no_tensors(run, stored, monkeypatch):
    monkeypatch.setattr("charlstm.run.store.read_checkpoint", None)
    (listed,) = run.json("runs")
    assert (listed["step"], listed["is_finished"]) == (stored.step, True)


def test_runs_rm_deletes_the_encoded_text(run, corpus_file, here):
    for name in ("one", "two"):
        run.train(corpus_file, "--run", name, "--steps", 2)
    store = here / "checkpoints"
    corpus_file.unlink()
    run.works("runs", "rm", "one", "--yes")
    assert sorted(path.name for path in store.iterdir()) == ["two"]
    # The other run's copy is its own.
    run.works("eval", "--run", "two")
    shutil.rmtree(store / "two")
    assert list(store.iterdir()) == []


def test_runs_show_plot_never_overwrites_the_corpus(run, here):
    pytest.importorskip("matplotlib")
    text = here / "text.svg"
    text.write_text("the quick brown fox\n" * 40, encoding="utf-8")
    run.train(text, "--run", "drawn", "--steps", 2)
    assert "read by the same command" in run.fails(1, "runs", "show", "drawn", "--plot", text)
    assert text.read_text("utf-8").startswith("the quick")


@posix
def test_invalid_time_zone_does_not_crash(run, stored, monkeypatch):
    monkeypatch.setenv("TZ", "<+99>-99")
    time.tzset()
    try:
        run.works("runs")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_runs_show_of_several_shows_differences(run, corpus_file, here):
    (here / "val.txt").write_text(TEXT)
    for name, seed, extra in (("one", 1, []), ("two", 2, ["--val", "val.txt", "--keep-line-ends"])):
        run.train(corpus_file, "--run", name, "--seed", seed, "--steps", 4, *extra)
    out = run("runs", "show", "one", "two")[1]
    assert re.search(r"--seed +1 +2", out)
    assert "--hidden-size" not in out  # in which they agree
    assert re.search(r"--val +- +/\S+/val.txt\n", out)
    assert re.search(r"--keep-line-ends +no +yes\n", out)
    assert not re.search(r"None|\(|^ \w+_", out, re.MULTILINE)
    found = run.json("runs", "show", "one", "two")
    assert [one["name"] for one in found] == ["one", "two"]
    assert run("runs", "show", "one", "two", "--plot", "a.svg")[0] == 2
    run.works("runs", "rm", "one", "two", "--yes")
    assert run.json("runs") == []
