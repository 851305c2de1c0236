"""The commands, mostly in this process; what needs a fresh one says so."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import SMALL, TEXT

from charlstm.cli import main
from charlstm.commands.options import complete_run
from charlstm.store import CheckpointStore


@pytest.fixture
def run(here, capsys):
    """Run a command; gives (exit code, stdout, stderr)."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_from_a_text_to_a_score(run, corpus_file, here):
    code, out, err = run("train", corpus_file, "--steps", 30, *SMALL)
    assert code == 0
    assert "run tiny is trained" in out
    assert "charlstm sample --run tiny" in out
    assert "30 steps" in err  # the budget is said at the start
    assert err.count("validation") >= 4

    code, out, err = run("sample", "--prime", "qu", "--length", 40, "--seed", 1)
    assert (code, err) == (0, "")
    assert out.startswith("qu")
    assert len(out) == 2 + 40 + 1

    code, out, _ = run("eval", "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["run"], result["split"]) == ("tiny", "test")
    assert result["num_chars"] == 116  # 5 % of the text, rounded up
    assert result["bits_per_char"] == pytest.approx(result["nats_per_char"] / np.log(2))

    code, out, _ = run("runs", "--json")
    (listed,) = json.loads(out)
    assert listed["name"] == listed["corpus"] == "tiny"
    assert listed["cell"] == "lstm"
    assert listed["step"] == 30
    assert re.search(r"tiny\s+tiny\s+lstm", run("runs")[1])


def test_json_events_have_what_the_contract_says(run, corpus_file, here):
    code, out, _ = run("train", corpus_file, "--steps", 8, *SMALL, "--json")
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    logged = (here / "checkpoints/tiny/events.jsonl").read_text(encoding="utf-8")
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
    evaluated = [event for event in events if event["event"] == "evaluated"]
    assert all(len(event["sample"]) == 160 for event in evaluated)
    assert all(set(event["gates"][0]) == {"input", "forget", "output"} for event in evaluated)


def test_an_interrupted_run_resumed_ends_as_if_never_interrupted(run, corpus_file, here):
    budget = ["--steps", 12, *SMALL]
    run("train", corpus_file, *budget, "--run", "whole")
    store = CheckpointStore(here / "checkpoints")

    from charlstm import session

    trainer_run = session.Trainer.run

    def stopping(self):
        for event in trainer_run(self):
            yield event
            if self.step == 5:
                self.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session.Trainer, "run", stopping)
        run("train", corpus_file, *budget, "--run", "parts")
    assert store.load("parts", which="last").checkpoint.step == 5
    code, _, err = run("train", "--resume", "--run", "parts")
    assert code == 0
    assert "goes on from step 5" in err
    whole = store.load("whole", which="last").checkpoint
    parts = store.load("parts", which="last").checkpoint
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(value, parts.weights[name], err_msg=name)
    for name, value in whole.training.arrays.items():
        np.testing.assert_array_equal(value, parts.training.arrays[name], err_msg=name)
    assert [record["step"] for record in parts.history] == [r["step"] for r in whole.history]

    code, _, err = run("train", "--resume", "--run", "parts")
    assert code == 0
    assert "finished" in err
    code, _, err = run("train", "--resume", "--run", "parts", "--steps", 14)
    assert code == 0
    assert "budget changed from 12 steps to 14 steps" in err
    assert store.load("parts", which="last").checkpoint.step == 14


def test_resuming_finds_the_run_by_its_corpus(run, corpus_file, stored):
    code, _, err = run("train", corpus_file, "--resume", "--steps", 5)
    assert code == 0
    assert "goes on from step 4" in err


def test_resuming_what_was_never_saved_starts_from_zero_and_says_so(run, corpus_file):
    code, _, err = run("train", corpus_file, "--resume", "--run", "fresh", "--steps", 2, *SMALL)
    assert code == 0
    assert "starts from zero" in err


def test_default_names_never_clash(run, corpus_file, stored, here):
    code, out, _ = run("train", corpus_file, "--steps", 2, *SMALL)
    assert code == 0
    assert "run tiny-2 is trained" in out


def test_val_and_test_files_replace_fractions(run, corpus_file, here):
    (here / "v.txt").write_text("quick quips.\n")
    (here / "t.txt").write_text("lazy dog! ")
    arguments = ["--val", "v.txt", "--test", "t.txt", "--steps", 2, *SMALL]
    assert run("train", corpus_file, *arguments)[0] == 0
    result = json.loads(run("eval", "--json")[1])
    assert (result["num_chars"], result["num_unknown"]) == (10, 1)
    assert json.loads(run("eval", "--split", "val", "--json")[1])["num_chars"] == 13


def test_eval_without_a_test_split_uses_val_and_says_so(run, corpus_file):
    run("train", corpus_file, "--test-fraction", 0, "--steps", 2, *SMALL)
    code, out, err = run("eval", "--json")
    assert code == 0
    assert json.loads(out)["split"] == "val"
    assert "no test split" in err


def test_eval_scores_any_text(run, stored, here):
    (here / "a.txt").write_bytes("quick\r\nquips☃".encode())
    result = json.loads(run("eval", "a.txt", "--json")[1])
    assert (result["num_chars"], result["num_unknown"]) == (12, 1)
    assert result["num_bytes"] == 14
    assert result["split"] is None
    assert "bits per character" in run("eval", "a.txt")[1]


def test_eval_says_all_that_helps_to_judge(run, stored, here):
    result = json.loads(run("eval", "--json", "--per-char", "chars.tsv")[1])
    names = [baseline["name"] for baseline in result["baselines"]]
    assert names[:2] == ["uniform", "order 0"]
    assert "xz" not in names  # of 116 characters it tells nothing
    names = [one["name"] for one in json.loads(run("eval", "tiny.txt", "--json")[1])["baselines"]]
    assert names[-1] == "xz"
    assert list(result["top_accuracy"]) == ["1", "3", "5"]
    assert result["top_accuracy"]["1"] == pytest.approx(result["accuracy"])
    assert sum(one["num_chars"] for one in result["calibration"]["bins"]) == result["num_chars"]
    assert sum(kind["num_chars"] for kind in result["by_kind"]) == result["num_chars"]
    assert sum(kind["nats"] for kind in result["by_kind"]) == pytest.approx(result["nats"])
    assert [one["num_context"] for one in result["by_context"]] == [1, 10, 100]
    assert len(result["most_surprising"]) == 10
    header, *rows = (here / "chars.tsv").read_text().splitlines()
    assert header.split("\t") == ["place", "document", "char", "code_point", "bits", "rank"]
    assert len(rows) == result["num_chars"]
    bits = sum(float(row.split("\t")[4]) for row in rows)
    assert bits / len(rows) == pytest.approx(result["bits_per_char"], abs=1e-4)
    out = run("eval")[1]
    for part in ("order 0", "context", "line ends", "calibration error", "surprising"):
        assert part in out


def test_eval_of_another_text_does_without_the_corpus(run, stored, here, corpus_file):
    (here / "a.txt").write_text("quick quips")
    assert json.loads(run("eval", "a.txt", "--json")[1])["baselines"]
    corpus_file.unlink()
    code, out, err = run("eval", "a.txt", "--json")
    assert (code, json.loads(out)["baselines"]) == (0, [])
    assert err.startswith("no baselines without the training text: ")
    assert corpus_file.name in err
    assert run("eval")[0] == 1


def test_a_file_that_can_t_be_written_is_named(run, stored):
    code, out, err = run("eval", "--per-char", "absent/chars.tsv")
    assert (code, out) == (1, "")
    assert "absent/chars.tsv" in err


def test_eval_gives_the_dynamic_figure_beside_the_static_one(run, stored):
    static = json.loads(run("eval", "--json")[1])
    both = json.loads(run("eval", "--dynamic", "--json")[1])
    dynamic = both.pop("dynamic")
    assert both == static
    assert dynamic["num_chars"] == static["num_chars"]
    assert 0 < dynamic["bits_per_char"] != static["bits_per_char"]
    out = run("eval", "--dynamic")[1]
    assert f"{static['bits_per_char']:.4f}" in out
    assert f"{dynamic['bits_per_char']:.4f}" in out


def test_a_prime_is_normalised_as_the_corpus_was(run, stored):
    code, out, _ = run("sample", "--prime", "quips.\r\nquick", "--length", 1, "--seed", 1)
    assert code == 0
    assert out.startswith("quips.\nquick")


def test_the_seed_is_told_when_it_was_not_given(run, stored):
    _, out, err = run("sample", "--length", 30)
    seed = re.fullmatch(r"seed (\d+)\n", err)[1]
    assert run("sample", "--length", 30, "--seed", seed)[1] == out


def test_runs_show_tells_how_a_run_learned(run, corpus_file):
    assert run("train", corpus_file, "--steps", 30, *SMALL)[0] == 0
    code, out, err = run("runs", "show", "tiny")
    assert (code, err) == (0, "")
    for part in ("1 x 8 lstm", "30 steps, used", "input 0.", "forget 0.", "output 0."):
        assert part in out
    shown = json.loads(run("runs", "show", "tiny", "--json")[1])
    (listed,) = json.loads(run("runs", "--json")[1])
    assert listed.items() <= shown.items()
    assert shown["settings"]["model"]["hidden_size"] == 8
    assert shown["settings"]["train"]["seq_len"] == 16
    assert len(shown["history"]) >= 4
    started, *evaluated = shown["history"]
    assert started["val_bits_per_char"] is None
    assert started["gate_shares"][0]["forget"][0] == 0  # a fresh gate is never shut
    for record in evaluated:
        assert f"{record['val_bits_per_char']:.3f}" in out
        assert record["sample"].replace("\n", "\u23ce")[:20] in out
    assert run("runs", "show", "absent")[0] == 1
    assert json.loads(run("runs", "--json", "show", "tiny")[1]) == shown
    assert run("runs", "--checkpoints", "elsewhere", "show", "tiny")[0] == 1


def test_pictures_are_drawn(run, stored, here, monkeypatch):
    assert run("eval", "--plot", "eval.svg")[0] == 0
    assert run("runs", "show", "tiny", "--plot", "run.png")[0] == 0
    assert b"<svg" in (here / "eval.svg").read_bytes()
    assert (here / "run.png").read_bytes().startswith(b"\x89PNG")
    for arguments in (["eval"], ["runs", "show", "tiny"]):
        code, out, err = run(*arguments, "--plot", "picture.txt")
        assert (code, out) == (2, "")
        assert ".svg" in err
        assert run(*arguments, "--plot", "absent/a.svg")[0] == 1
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run("eval", "--plot", "eval.svg")
    assert (code, out) == (2, "")
    assert "pip install 'charlstm[plot]'" in err
    assert err.count("\n") == 1


def test_a_run_begins_with_another_one_s_model(run, corpus_file, here):
    assert run("train", corpus_file, "--steps", 60, "--run", "old", *SMALL)[0] == 0
    (here / "new.txt").write_text(TEXT.replace("fox", "f\u00f6x").replace("z", "s"))
    options = ["--steps", 1, "--learning-rate", 0, "--batch-size", 4, "--seq-len", 16]
    code, _, err = run("train", "new.txt", "--from", "old", *options)
    assert code == 0
    known = len(set(TEXT)) - 1  # without z
    assert f"from run old: {known} characters known, 1 new, 1 given up" in err
    tuned, old = (
        json.loads(run("eval", "new.txt", "--run", name, "--json")[1]) for name in ("new", "old")
    )
    assert (old["num_unknown"], tuned["num_unknown"]) == (30, 0)
    # Nothing was learned, and nothing was forgotten.
    assert tuned["bits_per_char"] == pytest.approx(old["bits_per_char"], abs=0.1)
    for arguments, message in (
        (["--from", "absent"], "absent"),
        (["--from", "old", "--hidden-size", 9], "--hidden-size 9 (the run has 8)"),
        (["--from", "old", "--resume"], "not both"),
    ):
        code, out, err = run("train", "new.txt", "--run", "other", *arguments)
        assert code in (1, 2)
        assert out == ""
        assert message in err


def test_a_text_that_is_gone_still_helps_to_judge(run, corpus_file, monkeypatch):
    assert run("train", corpus_file, "--steps", 3, *SMALL)[0] == 0
    before = json.loads(run("eval", "--json")[1])
    corpus_file.unlink()
    assert json.loads(run("eval", "--json")[1]) == before
    assert run("sample", "--length", 9, "--seed", 1, "--check-copying")[0] == 0
    assert run("train", "--resume", "--steps", 5)[0] == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert run("train", "-", "--steps", 3, "--run", "piped", *SMALL)[0] == 0
    assert run("eval", "--run", "piped")[0] == 0
    assert run("train", "--resume", "--run", "piped", "--steps", 5)[0] == 0


def test_what_is_named_is_read_or_refused_on_resume(run, corpus_file, here):
    assert run("train", corpus_file, "--steps", 3, "--run", "r", *SMALL)[0] == 0
    resume = ["--resume", "--run", "r", "--steps", 5]
    for content in (b"", b"\xff\xfe\0binary", b"x", None):
        other = here / "other.txt"
        other.unlink(missing_ok=True)
        if content is not None:
            other.write_bytes(content)
        code, out, err = run("train", "other.txt", *resume)
        assert (code, out) == (1, "")
        assert "other.txt" in err or "changed" in err
    corpus_file.write_bytes(b"")  # changed, not gone
    assert run("train", *resume)[0] == 1
    corpus_file.unlink()
    code, _, err = run("train", *resume)
    assert code == 0
    assert f"{corpus_file}: gone" in err


def test_a_copy_of_a_text_keeps_its_own_name(run, corpus_file, here):
    (here / "copy.txt").write_bytes(corpus_file.read_bytes())
    for name in ("tiny.txt", "copy.txt", "copy.txt"):
        assert run("train", name, "--steps", 2, *SMALL)[0] == 0
    found = {one["name"]: one["corpus"] for one in json.loads(run("runs", "--json")[1])}
    assert found == {"tiny": "tiny", "copy": "copy", "copy-2": "copy"}


def test_copying_is_found_whatever_the_types_of_ids(run, here):
    common = "the quick brown fox. " * 100
    rare = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    (here / "many.txt").write_text(common + rare)
    assert run("train", "many.txt", "--steps", 3, "--val-fraction", 0.3, *SMALL)[0] == 0
    code, _, err = run("sample", "--length", 20, "--seed", 1, "--check-copying")
    assert code == 0
    assert "of 20 characters" in err


def test_a_folder_s_own_runs_are_no_text(run, here):
    (here / "text.txt").write_text(TEXT)
    assert run("train", ".", "--steps", 2, "--run", "a", *SMALL)[0] == 0
    assert run("train", "--resume", "--run", "a", "--steps", 4)[0] == 0
    first = json.loads(run("runs", "show", "a", "--json")[1])["num_train_chars"]
    assert run("train", ".", "--steps", 2, "--run", "b", *SMALL)[0] == 0
    assert json.loads(run("runs", "show", "b", "--json")[1])["num_train_chars"] == first


def test_bytes_are_shown_as_text(run, here):
    (here / "e.txt").write_text("caf\xe9 au lait \u65e5\u672c " * 60)
    assert run("train", "e.txt", "--level", "byte", "--steps", 60, *SMALL)[0] == 0
    result = json.loads(run("predict", "caf\xe9", "--ladder", "--json")[1])
    assert result["prefix"] == "caf\xe9"
    assert [rung["context"] for rung in result["ladder"]][-2:] == ["af\xe9", "caf\xe9"]
    assert "caf\xe9" in run("predict", "caf\xe9")[1]
    drawn = run("sample", "--until", "\xe9", "--length", 4000, "--seed", 1, "--json")[1]
    (sample,) = json.loads(drawn)["samples"]
    assert sample["text"].endswith("\xe9")
    surprises = json.loads(run("eval", "e.txt", "--json")[1])["most_surprising"]
    assert all("\xc3" not in one["before"] for one in surprises)


def test_the_store_of_runs_show_is_the_nearest_one_named(run, stored, here, monkeypatch):
    monkeypatch.setenv("CHARLSTM_CHECKPOINTS", "elsewhere")
    assert run("runs", "show", "tiny")[0] == 1
    assert run("runs", "show", "tiny", "--checkpoints", "checkpoints")[0] == 0
    assert run("runs", "--checkpoints", "checkpoints", "show", "tiny")[0] == 0
    assert run("runs", "--checkpoints", "x", "show", "tiny", "--checkpoints", "checkpoints")[0] == 0
    monkeypatch.setenv("CHARLSTM_RUNS_SHOW_CHECKPOINTS", "checkpoints")
    assert run("runs", "show", "tiny")[0] == 0


@pytest.mark.parametrize(
    ("variable", "value", "arguments", "out"),
    [
        ("CHARLSTM_PREDICT_JSON", "1", ["predict", "qu"], '{"prefix": "qu"'),
        ("CHARLSTM_PREDICT_LADDER", "1", ["predict", "qu"], "context"),
        ("CHARLSTM_PREDICT_COMPARE", "th", ["predict", "qu", "--ladder"], "context"),
        ("CHARLSTM_EVAL_SPLIT", "val", ["eval", "tiny.txt"], "tiny.txt"),
        ("CHARLSTM_RUNS_JSON", "1", ["runs"], "[{"),
        ("CHARLSTM_RUNS_SHOW_JSON", "1", ["runs", "show", "tiny"], '{"name"'),
        ("CHARLSTM_SAMPLE_CHECKPOINTS", "absent", ["eval"], "tiny"),
    ],
)
def test_the_environment_is_named_as_the_options_are(
    run, stored, monkeypatch, variable, value, arguments, out
):
    monkeypatch.setenv(variable, value)
    result = run(*arguments)
    assert result[0] == 0
    assert out in result[1]


def test_a_parent_comes_from_the_environment_and_a_flag_is_stronger(run, corpus_file, monkeypatch):
    assert run("train", corpus_file, "--steps", 2, "--run", "old", *SMALL)[0] == 0
    monkeypatch.setenv("CHARLSTM_TRAIN_FROM", "old")
    options = ["--steps", 2, "--run", "new"]
    assert "from run old" in run("train", corpus_file, *options)[2]
    assert run("train", "--resume", "--run", "new", "--steps", 4)[0] == 0


def test_the_cache_can_be_turned_off(run, corpus_file, here):
    assert run("train", corpus_file, "--steps", 3, "--no-cache", *SMALL)[0] == 0
    assert not (here / "checkpoints/.cache").exists()
    corpus_file.unlink()
    code, out, err = run("eval")
    assert (code, out) == (1, "")
    assert corpus_file.name in err


def test_corpus_check_is_a_doctor(run, here):
    (here / "old.txt").write_bytes("caf\xe9 au lait\r\n".encode("cp1252") * 9)
    (here / "mac.txt").write_bytes(b"\xef\xbb\xbfone\rtwo\r\nthree\n" * 1)
    (here / "list.txt").write_bytes(b"".join(b"name%d\n" % n for n in range(300)) + b"\x1b\0")
    code, out, err = run("corpus", "check", "old.txt", "mac.txt", "list.txt", "--json")
    assert (code, err) == (1, "")  # one of them can't be read
    found = json.loads(out)
    old, mac, names = found["files"]
    assert "give --encoding cp1252" in old["problem"]
    assert (mac["encoding"], mac["num_cr"], mac["num_crlf"], mac["num_lf"]) == (
        "utf-8-sig",
        1,
        1,
        1,
    )
    assert (names["num_lf"], names["longest_line"]) == (300, 7)
    assert found["control_characters"] == {"U+0000": 1, "U+001B": 1}
    assert found["num_chars"] == 14 + names["num_chars"]
    total = found["num_train_chars"] + found["num_val_chars"] + found["num_test_chars"]
    assert total == found["num_chars"]
    cures = " ".join(problem["cure"] for problem in found["problems"])
    for flag in ("--keep-line-ends", "--level byte", "--min-count 10", "--from RUN"):
        assert flag in cures
    out = run("corpus", "check", "old.txt", "mac.txt", "list.txt")[1]
    assert "cp1252" in out
    assert "\x1b" not in out
    code, out, err = run("corpus", "check", "absent.txt", "--json")
    assert (code, out) == (1, "")
    assert "absent.txt" in err
    for text in ("", "a", "ab", "abc"):
        (here / "few.txt").write_text(text)
        found = json.loads(run("corpus", "check", "few.txt", "--json")[1])
        assert found["num_chars"] == len(text)
        assert found["num_train_chars"] >= 0
        assert found["problems"]
    (here / "crlf.txt").write_bytes(b"x\r\ny\r\n\r\nz\r\n" * 40)
    for how in ("lines", "blank-lines", "x$"):
        found = json.loads(
            run("corpus", "check", "crlf.txt", "--split-documents", how, "--json")[1]
        )
        assert found["num_documents"] == {"lines": 160, "blank-lines": 41, "x$": 40}[how]


def test_corpus_check_suggests_documents_and_normal_forms(run, here):
    (here / "names.txt").write_text("".join(f"name {n}\n" for n in range(300)))
    (here / "accents.txt").write_text("cafe\u0301 and caf\xe9 and so on, and a longer line\n" * 9)
    cures = {}
    for name in ("names.txt", "accents.txt"):
        problems = json.loads(run("corpus", "check", name, "--json")[1])["problems"]
        cures[name] = [problem["cure"] for problem in problems]
    assert any("--split-documents lines" in cure for cure in cures["names.txt"])
    assert any("--normalize nfc" in cure for cure in cures["accents.txt"])
    assert any("remove the copies" in cure for cure in cures["accents.txt"])
    (here / "good.txt").write_text(
        "".join(f"{n} is a number that stands here and there, at its place\n" for n in range(4000))
    )
    assert json.loads(run("corpus", "check", "good.txt", "--json")[1])["problems"] == []
    assert "nothing to complain about" in run("corpus", "check", "good.txt")[1]


def test_names_are_learned_one_by_one(run, here):
    (here / "names.txt").write_text("anna\nberta\nclara\ndora\n" * 60)
    arguments = ["--split-documents", "lines", "--steps", 400, "--learning-rate", 0.02]
    assert run("train", "names.txt", *arguments, *SMALL)[0] == 0
    samples = run("sample", "--until", "\n", "--num-samples", 8, "--seed", 1, "--json")[1]
    texts = {sample["text"] for sample in json.loads(samples)["samples"]}
    assert len(texts & {"anna\n", "berta\n", "clara\n", "dora\n"}) >= 2


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_inspect_looks_inside(run, corpus_file, cell):
    assert run("train", corpus_file, "--steps", 30, *SMALL, "--cell", cell)[0] == 0
    text = TEXT[:300]
    assert run("inspect", text, "--units", "--reach", "--json")[0] == 0
    result = json.loads(run("inspect", "the quick", "--gates", "--json")[1])
    assert "".join(one["char"] for one in result["characters"]) == "the quick"
    gates = {"lstm": {"input", "forget", "output"}, "gru": {"reset", "update"}, "rnn": set()}[cell]
    assert {one["gate"] for one in result["gate_shares"]} == gates
    assert all("shut_before" in one for one in result["gate_shares"])
    assert gates < set(result["gates"]["values"])
    assert all(len(v) == 9 for unit in result["gates"]["values"].values() for v in unit.values())
    code, out, err = run("inspect", "the quick", "--gates", "--unit", 3, "--unit", 0)
    assert (code, err) == (0, "")
    assert "layer 1, unit 3" in out
    assert "layer 1, unit 0" in out
    assert all(gate in out for gate in gates)


def test_inspect_reads_the_run_s_own_text(run, stored, here):
    out = run("inspect")[1]
    assert "t h e" in out
    assert "position in the word" in run("inspect", "--units", "--file", "tiny.txt")[1]
    assert "half of all the gradient" in run("inspect", "--reach", "--file", "tiny.txt")[1]


def test_inspect_tells_documents_apart(run, here):
    (here / "names.txt").write_text("anna\nberta\n" * 60, encoding="utf-8")
    options = ["--split-documents", "lines", "--steps", 30, *SMALL]
    assert run("train", "names.txt", *options)[0] == 0
    (here / "two.txt").write_text("anna\nberta\n", encoding="utf-8")
    found = json.loads(run("inspect", "--file", "two.txt", "--reach", "--gates", "--json")[1])
    assert "".join(one["char"] for one in found["characters"]) == "anna\nberta"
    score = json.loads(run("eval", "two.txt", "--json")[1])
    # The last line end, which `inspect` leaves out, is the eleventh character.
    single = json.loads(run("inspect", "berta\n", "--json")[1])["characters"]
    nats = sum(one["nats"] for one in found["characters"]) + single[-1]["nats"]
    assert nats == pytest.approx(score["nats_per_char"] * 11, rel=1e-4)
    assert len(found["reach"]["gradient"]) <= 5


def test_inspect_shows_a_part_of_a_long_text_and_says_so(run, stored, here):
    (here / "long.txt").write_text(TEXT * 2, encoding="utf-8")
    code, out, err = run("inspect", "--file", "long.txt", "--json")
    assert code == 0
    assert len(json.loads(out)["characters"]) == 2000
    assert f"the first 2,000 of {2 * len(TEXT) - 1:,} characters are shown" in err


def test_a_layer_or_unit_asks_for_gates(run, stored):
    assert "layer 1, unit 2" in run("inspect", "the", "--layer", 1, "--unit", 2)[1]
    assert run("inspect", "the", "--unit", 99)[0] == 2


def test_inspect_writes_a_page(run, stored, here, corpus_file):
    code, out, err = run("inspect", "--html", "page.html")
    assert (code, out) == (0, "")
    assert "page.html: 0.0" in err
    page = (here / "page.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "tiny: a character model" in page
    result = json.loads(run("inspect", "the", "--html", "other.html", "--json")[1])
    assert result["html"]["path"] == "other.html"
    assert result["html"]["num_bytes"] == (here / "other.html").stat().st_size
    assert "characters" not in result
    code, _, err = run("inspect", "--html", "nowhere/page.html")
    assert code == 1
    assert "nowhere/page.html: can't be written" in err
    assert run("inspect", "\u2603", "--html", "third.html")[0] == 1
    assert not (here / "third.html").exists()
    (here / "long.txt").write_text(TEXT * 2, encoding="utf-8")
    err = run("inspect", "--html", "page.html", "--file", "long.txt")[2]
    assert "the page begins with the first 2,000" in err
    # Without the run's own text, the given one is what the rounding is measured on.
    corpus_file.unlink()
    assert "(3 characters)" in run("inspect", "the", "--html", "page.html")[2]
    assert run("inspect", "--html", "page.html")[0] == 1


def test_compare_sets_cells_side_by_side(run, corpus_file, here):
    small = ["--steps", 3, "--hidden-size", 8, "--threads", 1]
    code, out, err = run("compare", corpus_file, *small, "--plot", "cells.svg")
    assert code == 0
    for cell in ("lstm", "gru", "rnn"):
        assert f"{cell}: " in err
        assert cell in out
    assert "order 0" in out
    assert b"<svg" in (here / "cells.svg").read_bytes()
    result = json.loads(run("compare", corpus_file, *small, "--seeds", 1, "--json")[1])
    assert [one["cell"] for one in result["cells"]] == ["lstm", "gru", "rnn"]
    assert all(len(one["runs"]) == 1 for one in result["cells"])


def test_a_prime_in_another_encoding_gets_advice_that_helps(run, stored, here):
    (here / "prime.txt").write_bytes("caf\u00e9".encode("latin-1"))
    for command in (["sample", "--prime-file"], ["inspect", "--file"]):
        code, out, err = run(*command, "prime.txt")
        assert (code, out) == (1, "")
        assert "prime.txt: is not valid utf-8" in err
        assert "--encoding" not in err


def test_an_interrupted_comparison_shows_what_it_has(run, corpus_file, monkeypatch):
    from charlstm import comparison

    original = comparison.trained_model
    cells = []

    def interrupted(model, *arguments):
        cells.append(model.cell)
        if len(cells) > 1:
            raise KeyboardInterrupt
        return original(model, *arguments)

    monkeypatch.setattr(comparison, "trained_model", interrupted)
    small = ["--steps", 3, "--hidden-size", 8, "--threads", 1, "--seeds", 1, "--json"]
    code, out, _ = run("compare", corpus_file, *small)
    assert code == 130
    assert [one["cell"] for one in json.loads(out)["cells"]] == ["lstm"]
    assert run("compare", corpus_file, *small)[:2] == (130, "")


def test_compare_recall_makes_its_own_text(run, here, monkeypatch):
    from charlstm import recall

    monkeypatch.setattr(recall, "RECALL_DISTANCES", (2, 4))
    monkeypatch.setattr(recall, "_NUM_DOCUMENTS", 50)
    monkeypatch.setattr(recall, "_NUM_TEST_DOCUMENTS", 20)
    small = ["--recall", "--steps", 2, "--hidden-size", 8, "--threads", 1, "--seeds", 1]
    assert "one in eight is chance" in run("compare", *small, "--plot", "recall.svg")[1]
    assert b"<svg" in (here / "recall.svg").read_bytes()
    result = json.loads(run("compare", *small, "--json")[1])
    assert [one["cell"] for one in result["recall"]] == ["lstm", "gru", "rnn"]
    assert all(set(one["accuracy"]) == {"2", "4"} for one in result["recall"])
    assert run("compare", "text.txt", "--recall")[0] == 2


def test_predict_ranks_the_next_characters(run, stored):
    result = json.loads(run("predict", "the q", "--json")[1])
    assert result["prefix"] == "the q"
    assert result["entropy_bits"] > 0
    probabilities = [one["probability"] for one in result["next"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    assert sum(one["char"] is None for one in result["next"]) == 1
    code, out, err = run("predict", "the q", "--top", 3)
    assert (code, err) == (0, "")
    assert f"{probabilities[0]:.2%}" in out
    assert out.count("%") == 3


def test_predict_shows_what_context_is_worth(run, stored):
    result = json.loads(run("predict", "the qui", "--ladder", "--top", 2, "--json")[1])
    assert [rung["num_context"] for rung in result["ladder"]] == [0, 1, 2, 4, 7]
    assert [rung["context"] for rung in result["ladder"]] == ["", "i", "ui", " qui", "the qui"]
    assert all(len(rung["next"]) == 2 for rung in result["ladder"])
    assert result["ladder"][-1]["next"] == result["next"]
    assert result["ladder"][0]["entropy_bits"] != result["entropy_bits"]
    out = run("predict", "the qui", "--ladder")[1]
    assert "the\u2423qui" in out


def test_predict_compares_two_prefixes(run, stored):
    result = json.loads(run("predict", "the q", "--compare", "the ", "--json")[1])
    assert result["compare"]["prefix"] == "the "
    assert result["compare"]["next"] != result["next"]
    out = run("predict", "the q", "--compare", "dog.")[1]
    assert "the\u2423q" in out
    assert "dog." in out


def test_predict_reads_a_pipe(run, stored, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the q\n")))
    assert json.loads(run("predict", "--json")[1])["prefix"] == "the q"


def test_many_samples_stand_under_their_numbers(run, stored):
    code, out, _ = run("sample", "--prime", "qu", "--length", 5, "--num-samples", 3, "--seed", 1)
    assert code == 0
    lines = re.fullmatch(
        "(?s)--- 1 of 3 ---\nqu(.{5})\n--- 2 of 3 ---\nqu(.{5})\n--- 3 of 3 ---\nqu(.{5})\n", out
    )
    assert lines
    result = json.loads(
        run("sample", "--prime", "qu", "--length", 5, "--num-samples", 3, "--seed", 1, "--json")[1]
    )
    assert (result["prime"], result["seed"], result["run"]) == ("qu", 1, "tiny")
    assert [sample["text"] for sample in result["samples"]] == list(lines.groups())
    assert all(len(sample["log_probabilities"]) == 5 for sample in result["samples"])


def test_a_prime_comes_from_a_file_or_from_stdin(run, stored, here, monkeypatch):
    expected = run("sample", "--prime", "the q", "--length", 9, "--seed", 1)
    (here / "prime.txt").write_text("the q\n")
    assert run("sample", "--prime-file", "prime.txt", "--length", 9, "--seed", 1) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the q\n")))
    assert run("sample", "--prime", "-", "--length", 9, "--seed", 1) == expected


def test_copying_is_reported_beside_the_sample(run, stored):
    arguments = ("sample", "--length", 30, "--seed", 1, "--check-copying")
    code, out, err = run(*arguments)
    assert (code, len(out)) == (0, 31)
    found = re.search(r"training text: (\d+) of 30 characters: '(.*)'\n", err)
    (sample,) = json.loads(run(*arguments, "--json")[1])["samples"]
    copy = sample["longest_copy"]
    assert copy["num_chars"] == int(found[1]) == len(copy["text"])
    assert copy["text"] in sample["text"]
    train = TEXT[: int(len(TEXT) * 0.9)]
    assert copy["text"] in train
    starts = range(30 - copy["num_chars"])
    assert all(sample["text"][i : i + copy["num_chars"] + 1] not in train for i in starts)


def test_a_shaded_sample_is_the_same_text(run, stored):
    arguments = ("sample", "--prime", "qu", "--length", 40, "--seed", 1)
    shaded = run(*arguments, "--color")[1]
    assert "\x1b[38;5;16;48;5;" in shaded
    assert re.sub(r"\x1b\[[0-9;]*m", "", shaded) == run(*arguments)[1]


def test_a_changed_corpus_is_refused_with_both_fingerprints(run, stored, corpus_file):
    corpus_file.write_text(TEXT + "more")
    for command in (["eval"], ["train", "--resume", "--steps", 9]):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert stored.fingerprint[:12] in err
        assert len(re.findall(r"\b[0-9a-f]{12}\b", err)) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trian"], 2, "trian"),
        (["train", "--steps", "x"], 2, "--steps"),
        (["train", "--steps", "0"], 2, "--steps"),
        (["train", "--steps", "1", "--minutes", "1"], 2, "--minutes and --steps"),
        (["train", "--minutes", "nan"], 2, "--minutes"),
        (["train", "--epochs", "-1"], 2, "--epochs"),
        (["train", "--val", "v", "--val-fraction", "0.1"], 2, "--val or --val-fraction"),
        (["train", "--test", "v", "--test-fraction", "0.1"], 2, "--test or --test-fraction"),
        (["train", "--val-fraction", "0.6", "--test-fraction", "0.6"], 2, "nothing to train on"),
        (["train", "--encoding", "klingon"], 2, "klingon"),
        (["train", "--hidden-size", "-1"], 2, "--hidden-size"),
        (["train", "--dropout", "1"], 2, "--dropout"),
        (["train", "--cell", "cnn"], 2, "cnn"),
        (["train", "--device", "abacus"], 2, "abacus: this machine has cpu"),
        (["train", "--precision", "float16", "--device", "cpu"], 2, "float32"),
        (["train", "missing.txt"], 1, "missing.txt"),
        (["train", "."], 1, "folder"),
        (["train", "--run", "../outside", "--steps", "1"], 1, "outside"),
        (["sample"], 1, "charlstm train"),
        (["sample", "--run", "absent"], 1, "absent"),
        (["sample", "--checkpoint", "absent"], 1, "absent"),
        (["sample", "--run", "a", "--checkpoint", "b"], 2, "not both"),
        (["sample", "--temperature", "nan"], 2, "--temperature"),
        (["sample", "--temperature", "inf"], 2, "--temperature"),
        (["train", "-", "-"], 2, "only once"),
        (["train", "x", "--debug"], 2, "--debug"),
        (["sample", "--top-p", "2"], 2, "--top-p"),
        (["sample", "--seed", "-3"], 2, "seed"),
        (["sample", "--min-p", "0"], 2, "--min-p"),
        (["sample", "--until", ""], 2, "--until"),
        (["sample", "--num-samples", "0"], 2, "num-samples"),
        (["sample", "--prime", "a", "--prime-file", "b"], 2, "not both"),
        (["predict", "qu"], 1, "charlstm train"),
        (["predict", "qu", "--top", "0"], 2, "top"),
        (["predict", "qu", "--ladder", "--compare", "x"], 2, "not both"),
        (["eval"], 1, "charlstm train"),
        (["eval", "x", "--split", "val"], 2, "not both"),
        (["eval", "--split", "dev"], 2, "dev"),
        (["eval", "--threads", "100000"], 1, "charlstm train"),
        (["sample", "--num-samples", "99999999999"], 2, "num-samples"),
    ],
)
def test_bad_input_gets_one_line_and_the_right_exit_code(run, arguments, code, message):
    # Nothing on stdout, so that --json is never half an answer.
    result = run(*arguments)
    assert result[:2] == (code, "")
    assert message in result[2]
    assert result[2].startswith("charlstm: ")
    assert result[2].count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--run", "tiny", "--steps", "1"], "--resume"),
        (["train", "--resume", "--hidden-size", "9"], "--hidden-size 9 (the run has 8)"),
        (["train", "--resume", "--min-count", "3"], "--min-count 3 (the run has 1)"),
        (["train", "--resume", "--val-fraction", "0.3"], "--val-fraction 0.3 (the run has 0.05)"),
        (["train", "--resume", "--val", "x"], "--val"),
        (["train", "--resume", "--level", "byte"], "--level byte (the run has char)"),
        (["train", "--resume", "--threads", "0"], "--threads"),
        (["train", "--resume", "--cell", "gru", "--seed", "7"], "gru (the run has lstm), --seed 7"),
        (["sample", "--prime", "☃"], "U+2603"),
        (["predict", "☃"], "U+2603"),
        (["inspect", "☃"], "U+2603"),
        (["inspect", ""], "no text"),
        (["inspect", "the", "--gates", "--layer", "9"], "--layer 9: this model has 1 to 2"),
        (["inspect", "the", "--gates", "--unit", "8"], "--unit 8: this model has 0 to 7"),
        (["inspect", "the", "--units"], "too few"),
        (["inspect", "the", "--file", "x"], "not both"),
        (["eval", "empty.txt"], "no text"),
        (["eval", "missing.txt"], "missing.txt"),
    ],
)  # fmt: skip
def test_bad_input_to_a_run_gets_one_line(run, stored, here, arguments, message):
    (here / "empty.txt").write_text("")
    code, out, err = run(*arguments)
    assert code in (1, 2)
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(run, stored, here):
    path = here / "checkpoints/tiny/best.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    code, out, err = run("sample", "--length", 5, "--seed", 1)
    assert code == 0
    assert len(out) == 6
    assert "best.safetensors" in err
    assert "using" in err
    code, out, err = run("sample", "--checkpoint", path)
    assert (code, out) == (1, "")


def test_options_come_from_the_environment_too(run, stored, monkeypatch):
    monkeypatch.setenv("CHARLSTM_SAMPLE_LENGTH", "7")
    monkeypatch.setenv("CHARLSTM_SAMPLE_SEED", "1")
    assert len(run("sample")[1]) == 8
    assert len(run("sample", "--length", 3)[1]) == 4  # a flag is stronger


def test_the_store_comes_from_the_environment_too(run, stored, monkeypatch, tmp_path):
    monkeypatch.setenv("CHARLSTM_CHECKPOINTS", str(tmp_path / "elsewhere"))
    assert run("sample")[0] == 1


def test_the_next_command_names_the_store_and_works(run, corpus_file):
    out = run("train", corpus_file, "--steps", 2, *SMALL, "--checkpoints", "my store")[1]
    command = re.search(r"charlstm (sample .*\S)", out)[1]
    assert run(*shlex.split(command), "--length", 1, "--seed", 1)[0] == 0


def test_a_bare_call_shows_the_commands(run):
    code, out, _ = run()
    assert code == 0
    assert all(command in out for command in ("train", "sample", "eval", "runs"))


def test_the_version_is_the_package_s(run):
    from charlstm import __version__

    assert run("--version")[:2] == (0, f"charlstm {__version__}\n")


def modules_after(statement):
    program = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())


def test_the_command_line_starts_without_torch_and_numpy():
    assert not {"torch", "numpy"} & modules_after("import charlstm.cli")


def test_sampling_and_listing_start_without_torch(stored, charlstm):
    program = "from charlstm.cli import main; import os; main({}); "
    for arguments in (
        ["sample", "--length", "3", "--seed", "1"],
        ["runs"],
        ["runs", "show", "tiny"],
        ["predict", "the", "--ladder"],
        ["inspect", "the", "--gates"],
        ["inspect", "--units", "--file", "tiny.txt"],
    ):
        assert "torch" not in modules_after(program.format(arguments))


def test_a_closed_pipe_ends_quietly(stored, here):
    for arguments in ("sample --length 100000 --seed 1", "--help", "runs"):
        child = subprocess.Popen(
            [sys.executable, "-m", "charlstm", *arguments.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=here,
        )
        if "sample" in arguments:
            assert len(child.stdout.read(10)) == 10
        child.stdout.close()
        assert child.stderr.read() == b""
        child.stderr.close()
        assert child.wait() == 0


def test_a_full_disk_for_stdout_is_an_error(stored, here):
    command = f"{sys.executable} -m charlstm sample --length 10 --seed 1 > /dev/full"
    result = subprocess.run(command, shell=True, capture_output=True, check=False, cwd=here)
    assert result.returncode == 1
    assert result.stderr.count(b"\n") == 1


@pytest.mark.slow
def test_in_a_pipe_text_is_raw_and_utf_8_whatever_the_locale(charlstm, tmp_path):
    text = "π\x1b[31m☃" * 40
    (tmp_path / "odd.txt").write_text(text, encoding="utf-8")
    environment = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    charlstm("train", "odd.txt", "--steps", 2, *SMALL, environment=environment)
    result = charlstm("sample", "--prime", "π\x1b[31m", "--seed", 1, environment=environment)
    assert result.stdout.decode("utf-8").startswith("π\x1b[31m")


@pytest.mark.slow
def test_training_from_a_pipe(charlstm):
    result = charlstm("train", "-", "--steps", 2, *SMALL, stdin=TEXT.encode())
    assert "run stdin is trained" in result.stdout.decode()


def test_the_same_seed_gives_the_same_file(run, corpus_file, here):
    for name in ("one", "two"):
        run("train", corpus_file, "--steps", 6, *SMALL, "--run", name, "--dropout", 0.1)
    one, two = (
        CheckpointStore(here / "checkpoints").load(name, which="last").checkpoint
        for name in ("one", "two")
    )
    numbers = replace(one.training, numbers={**one.training.numbers, "elapsed_seconds": 0.0})
    two_numbers = {**two.training.numbers, "elapsed_seconds": 0.0}
    # The clock's readings aside, byte for byte.
    same = {"saved_at": 0.0, "history": ()}
    assert (
        replace(one, training=numbers, **same).to_bytes()
        == replace(two, training=replace(two.training, numbers=two_numbers), **same).to_bytes()
    )


def test_a_run_of_another_device_goes_on_here(run, stored, here):
    """What a GPU saved is plain arrays: a machine without one reads, scores and resumes it."""
    elsewhere = replace(stored.train_config, device="cuda", precision="float16")
    with CheckpointStore(here / "checkpoints").writer("tiny") as writer:
        for name in ("best", "last"):
            writer.save(replace(stored, train_config=elsewhere), name)
    assert run("sample", "--length", 3, "--seed", 1)[0] == 0
    assert run("eval", "--json", "--device", "cpu")[0] == 0
    code, _, err = run("train", "--resume", "--steps", 6)
    assert code == 0
    assert "another device" in err


def test_the_same_command_and_resume_goes_on_where_batches_were_shrunk(run, here):
    (here / "short.txt").write_text(TEXT[:600])
    arguments = ["train", "short.txt", "--batch-size", 64, "--seq-len", 64, "--hidden-size", 8]
    assert run(*arguments, "--steps", 2)[0] == 0
    code, _, err = run(*arguments, "--steps", 4, "--resume")
    assert code == 0
    assert "goes on from step 2" in err


def test_a_flag_drops_what_it_excludes_from_the_environment(run, stored, monkeypatch, here):
    monkeypatch.setenv("CHARLSTM_TRAIN_MINUTES", "10")
    code, _, err = run("train", "tiny.txt", "--steps", 2, *SMALL)
    assert code == 0
    assert "budget  2 steps" in err
    monkeypatch.setenv("CHARLSTM_SAMPLE_RUN", "absent")
    path = here / "checkpoints/tiny/best.safetensors"
    assert run("sample", "--checkpoint", path, "--length", 1, "--seed", 1)[0] == 0
    monkeypatch.setenv("CHARLSTM_TRAIN_STEPS", "3")
    assert run("train", "tiny.txt")[0] == 2
    monkeypatch.setenv("CHARLSTM_TRAIN_VAL", "absent.txt")
    code, _, err = run("train", "tiny.txt", "--steps", 2, "--val-fraction", 0.5, *SMALL)
    assert code == 0
    assert "1,155 to validate" in err


def test_a_run_made_while_the_corpus_was_read_is_not_overwritten(run, stored, here, monkeypatch):
    from charlstm import preparation

    load = preparation.load_corpus

    def slow(config):
        corpus = load(config)
        with CheckpointStore(here / "checkpoints").writer("late") as writer:
            writer.save(stored, "last")
        return corpus

    monkeypatch.setattr(preparation, "load_corpus", slow)
    for resume in ([], ["--resume"]):
        options = ["--run", "late", "--steps", 2, "--no-cache", *SMALL]
        code, _, err = run("train", "tiny.txt", *options, *resume)
        assert code in (1, 2)
        assert "late" in err
        last = CheckpointStore(here / "checkpoints").load("late", which="last").checkpoint
        assert last.step == stored.step
        (here / "checkpoints/late/last.safetensors").unlink()


def test_a_damaged_newest_run_is_never_passed_over_silently(run, stored, here):
    with CheckpointStore(here / "checkpoints").writer("newer") as writer:
        path = writer.save(replace(stored, saved_at=9e9), "last")
    path.write_bytes(path.read_bytes()[:-1])
    code, _, err = run("sample", "--length", 1, "--seed", 1)
    assert code == 0
    assert "newer" in err
    assert "tiny" in err
    code, _, err = run("train", "--resume", "--steps", 9)
    assert code == 1
    assert "--run" in err
    assert "newer" in run("runs")[2]


def test_a_start_that_is_refused_leaves_nothing_behind(run, corpus_file, here, monkeypatch):
    from charlstm import hardware

    monkeypatch.setattr(hardware, "available_bytes", lambda: 1000)
    assert run("train", corpus_file, "--steps", 2, *SMALL)[0] == 1
    assert [path.name for path in (here / "checkpoints").iterdir()] == [".cache"]


def test_a_run_of_stdin_says_that_its_text_is_gone(run, stored, here):
    from charlstm.config import CorpusConfig

    with CheckpointStore(here / "checkpoints").writer("tiny") as writer:
        for name in ("best", "last"):
            writer.save(replace(stored, corpus=CorpusConfig(paths=("-",))), name)
    for command in (["eval"], ["train", "--resume", "--steps", 9]):
        code, _, err = run(*command)
        assert code == 1
        assert "stdin" in err


def test_json_has_no_infinity(run, stored, here):
    weights = {**stored.weights, "head.bias": stored.weights["head.bias"].copy()}
    weights["head.bias"][-1] = 1e30
    with CheckpointStore(here / "checkpoints").writer("tiny") as writer:
        writer.save(replace(stored, weights=weights, training=None), "best")
    code, out, _ = run("eval", "--json")
    assert code == 0
    assert json.loads(out, parse_constant=pytest.fail)["perplexity"] is None
    assert run("eval")[0] == 0


def test_runs_are_deleted_only_when_that_is_meant(run, stored, here, monkeypatch):
    folder = here / "checkpoints" / "tiny"
    code, _, err = run("runs", "rm", "tiny")
    assert code == 2
    assert "--yes" in err
    assert folder.is_dir()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: "n\n"))
    monkeypatch.setattr("typer.confirm", lambda question, err: "tiny" not in question)
    assert run("runs", "rm", "tiny")[0] == 1
    assert folder.is_dir()
    assert run("runs", "rm", "tiny", "--yes")[0] == 0
    assert not folder.exists()
    code, _, err = run("runs", "rm", "tiny", "--yes")
    assert code == 1
    assert "no checkpoint there" in err


def test_what_charlstm_did_not_write_is_not_deleted(run, stored, here):
    folder = here / "checkpoints" / "tiny"
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    assert run("runs", "rm", "tiny", "--yes")[0] == 0
    assert (folder / "thesis.txt").read_text("utf-8") == "mine"
    assert {path.name for path in folder.iterdir()} <= {"thesis.txt", "lock"}


def test_a_run_in_training_is_not_deleted(run, stored, here):
    with CheckpointStore(here / "checkpoints").writer("tiny"):
        code, _, err = run("runs", "rm", "tiny", "--yes")
    assert code == 1
    assert "another process is training" in err


def test_curves_for_tensorboard(run, corpus_file, here, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run("train", corpus_file, "--steps", 8, *SMALL, "--tensorboard")[0] == 0
    events = EventAccumulator(str(here / "checkpoints" / "tiny" / "tensorboard"))
    events.Reload()
    curves = events.Tags()["scalars"]
    assert {"val_bits_per_char", "learning_rate", "gates/layer 1 forget"} <= set(curves)
    record = json.loads(run("runs", "show", "tiny", "--json")[1])
    shown = [one.value for one in events.Scalars("val_bits_per_char")]
    expected = [
        one["val_bits_per_char"] for one in record["history"] if one["event"] == "evaluated"
    ]
    assert shown[: len(expected)] == pytest.approx(expected, rel=1e-5)
    assert run("runs", "rm", "tiny", "--yes")[0] == 0
    assert not (here / "checkpoints" / "tiny").exists()
    monkeypatch.setattr("charlstm.views.tensorboard.find_spec", lambda name: None)
    code, _, err = run("train", corpus_file, "--steps", 8, *SMALL, "--tensorboard")
    assert code == 2
    assert "pip install 'charlstm[tensorboard]'" in err


def test_the_shell_completes_names_of_runs(stored, here):
    context = SimpleNamespace(params={})
    assert complete_run(context, "t") == ["tiny"]
    assert complete_run(context, "x") == []
    assert complete_run(SimpleNamespace(params={"checkpoints": "nowhere"}), "") == []
    environment = {
        **os.environ,
        "_CHARLSTM_COMPLETE": "complete_bash",
        "COMP_WORDS": "charlstm sample --run ",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [sys.executable, "-m", "charlstm"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "tiny" in done.stdout, done.stderr


def test_options_stand_under_headings(run):
    out = run("train", "--help")[1]
    headings = ["Arguments:", "Options:", "Reading the text:", "Model and recipe", "Machine:"]
    places = [out.index(heading) for heading in headings]
    assert places == sorted(places)
    assert out.index("--minutes") < places[2] < out.index("--encoding")
    for command in ("train", "sample", "predict", "inspect", "compare", "eval", "export"):
        page = run(command, "--help")[1]
        assert page.index(f"\n  charlstm {command}") < page.index("Options:")
