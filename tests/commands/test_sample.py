import json
import math
import re

import numpy as np
import pytest
from conftest import SMALL, TEXT

from charlstm.arguments.options import unescape_text
from charlstm.cli import main
from charlstm.inference import sampling
from charlstm.inference.sampling import DrawnCharacters, Sample
from charlstm.views.sampling import show_samples, show_streaming


def test_prime_is_normalized_like_the_corpus(run, stored):
    out, _ = run.works("sample", "--prime", "quips.\r\nquick", "--length", 1, "--seed", 1)
    assert out.startswith("quips.\nquick")


@pytest.mark.parametrize("option", [("--top-k", 1), ("--top-p", 1e-9), ("--min-p", 1)])
def test_strictest_filters_are_greedy(run, stored, option):
    options = ("sample", "--length", 30, "--seed", 1)
    greedy, _ = run.works(*options, "--temperature", 0)
    assert run.works(*options, *option)[0] == greedy != run.works(*options)[0]


def test_random_seed_is_printed(run, stored):
    _, out, err = run("sample", "--length", 30)
    seed = re.fullmatch(r"seed (\d+)\n", err)[1]
    assert run("sample", "--length", 30, "--seed", seed)[1] == out


def test_text_in_wrong_encoding_gets_advice(run, stored, here):
    data = "caf\u00e9".encode("latin-1")
    (here / "text.txt").write_bytes(data)
    run.pipe_in(data)
    for command in (
        ["sample", "--prime", "-"],
        ["inspect", "--file", "text.txt"],
        ["eval", "text.txt"],
    ):
        err = run.fails(1, *command)
        assert "is not valid utf-8, the encoding of the model's text; convert it" in err
        assert "--encoding" not in err


def test_several_samples_have_headings(run, stored):
    command = ["sample", "--prime", "qu", "--length", 5, "--num-samples", 3, "--seed", 1]
    out, _ = run.works(*command)
    lines = re.fullmatch(
        "(?s)--- 1 of 3 ---\nqu(.{5})\n--- 2 of 3 ---\nqu(.{5})\n--- 3 of 3 ---\nqu(.{5})\n", out
    )
    assert lines
    result = run.json(*command)
    assert (result["prime"], result["seed"], result["run"]) == ("qu", 1, "tiny")
    assert [sample["text"] for sample in result["samples"]] == list(lines.groups())
    assert all(len(sample["log_probabilities"]) == 5 for sample in result["samples"])
    assert run.works(*command[:-3], 2)[0].startswith("--- 1 of 2 ---\n")


def test_complete_samples_are_shaded_like_streamed_ones(predictor, capsys):
    finished = Sample("quip", [-0.1, -1.0, -2.5, -6.0])
    drawn = [DrawnCharacters(char, np.array([p])) for char, p in zip(*finished, strict=True)]
    show_samples(["a "], [finished], predictor.tokenizer, color=True, with_headings=True)
    complete = capsys.readouterr().out
    show_streaming("a ", drawn, predictor.tokenizer, color=True)
    assert capsys.readouterr().out == complete
    assert complete.count("\x1b[") > 4


def test_prime_is_read_from_stdin(run, stored):
    expected = run("sample", "--prime", "the q", "--length", 9, "--seed", 1)
    run.pipe_in(b"the q\n")
    assert run("sample", "--prime", "-", "--length", 9, "--seed", 1) == expected


def test_check_copying_reports_the_longest_passage(run, stored):
    arguments = ("sample", "--length", 30, "--seed", 1, "--check-copying")
    out, err = run.works(*arguments)
    assert len(out) == 31
    found = re.search(r"training text: (\d+) of 30 characters: '(.*)'\n", err)
    (sample,) = run.json(*arguments)["samples"]
    copy = sample["longest_copy"]
    assert copy["num_chars"] == int(found[1]) == len(copy["text"])
    assert copy["text"] in sample["text"]
    train = TEXT[: int(len(TEXT) * 0.9)]
    assert copy["text"] in train
    starts = range(30 - copy["num_chars"])
    assert all(sample["text"][i : i + copy["num_chars"] + 1] not in train for i in starts)


def test_color_does_not_change_the_sample(run, stored):
    arguments = ("sample", "--prime", "qu", "--length", 40, "--seed", 1)
    shaded = run(*arguments, "--color")[1]
    assert "\x1b[38;5;16;48;5;" in shaded
    assert re.sub(r"\x1b\[[0-9;]*m", "", shaded) == run(*arguments)[1]


@pytest.mark.slow
def test_piped_sample_is_utf_8_in_any_locale(charlstm, tmp_path):
    text = "π\x1b[31m☃" * 40
    (tmp_path / "odd.txt").write_text(text, encoding="utf-8")
    environment = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    charlstm("train", "odd.txt", "--steps", 2, *SMALL, environment=environment)
    result = charlstm("sample", "--prime", "π\x1b[31m", "--seed", 1, environment=environment)
    assert result.stdout.decode("utf-8").startswith("π\x1b[31m")


def test_until_accepts_a_line_end(run, stored):
    options = ["sample", "--length", 400, "--seed", 3, "--until"]
    (sample,) = run.json(*options, "\\n")["samples"]
    assert sample["text"].find("\n") in (-1, len(sample["text"]) - 1)
    assert run.json(*options, "\n")["samples"] == [sample]


def test_no_color_is_respected(run, stored, monkeypatch):
    options = ["sample", "--color", "--length", 30, "--seed", 1]
    assert "\x1b" in run(*options)[1]
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert "\x1b" not in run(*options)[1]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (r"A:\n", "A:\n"),
        (r"\t", "\t"),
        (r"\\textbf", r"\textbf"),
        (r"\\n", r"\n"),
        (r"\d\x", r"\d\x"),
        ("a\\", "a\\"),
        ("\n", "\n"),
    ],
)
def test_typed_text_is_unescaped(typed, meant):
    assert unescape_text(typed) == meant


@pytest.mark.parametrize(
    "command",
    [
        ["sample", "--length", 0, "--seed", 1, "--prime"],
        ["predict"],
        ["inspect", "--json"],
    ],
)
def test_text_options_are_unescaped_and_documented(run, stored, command):
    written, typed = run(*command, "quips.\nquick"), run(*command, r"quips.\nquick")
    assert typed == written
    assert typed[0] == 0
    assert r"\n is a line end, \t a tab, \\ a backslash" in run(command[0], "--help")[1]
    assert run(*command, r"a\\b")[2].startswith(r"charlstm: not in the model's vocabulary: '\\'")


def test_sample_respects_forbid_until_and_max_lines(run, stored):
    options = ["--length", 400, "--seed", 3, "--temperature", 2]
    assert not set("aeiou") & set(run("sample", "--forbid", "aeiou", *options)[1])
    out = run("sample", "--until", "x", "--until", "z", *options)[1].strip("\n")
    assert out[-1] in "xz"
    assert not set("xz") & set(out[:-1])
    assert run("sample", "--max-lines", 2, *options)[1].count("\n") == 2
    without = run("sample", "--prime", "qu", "--no-prime", *options)[1]
    assert run("sample", "--prime", "qu", *options)[1] == f"qu{without}"


def test_primes_continues_each_line(run, stored, here):
    (here / "first.txt").write_text("the q\n\nqu\n", encoding="utf-8")
    options = ["--primes", "first.txt", "--seed", 1, "--length", 30]
    out = run.stdout("sample", *options)
    lines = out.splitlines()
    assert [line[:5] for line in lines[::2]] == ["the q", lines[2][:5]]
    assert lines[2].startswith("qu")
    assert len(lines) == 3
    result = run.json("sample", *options)
    assert result["prime"] is None
    assert [one["prime"] for one in result["samples"]] == ["the q", "", "qu"]
    shown = [one["prime"] + one["text"].removesuffix("\n") for one in result["samples"]]
    assert shown == lines
    for other in (["--prime", "a"], ["--new"]):
        assert "not both" in run("sample", *options, *other)[2]


def test_primes_with_num_samples_continues_each_line_that_often(run, stored, here):
    (here / "first.txt").write_text("the q\nqu\n", encoding="utf-8")
    out = run.works(
        "sample", "--primes", "first.txt", "--num-samples", 3, "--seed", 1, "--length", 30
    )[0]
    lines = out.splitlines()
    assert [line[:2] for line in lines] == ["th"] * 3 + ["qu"] * 3
    assert len(set(lines)) > 2


def test_cut_items_are_counted(run, here, monkeypatch):
    (here / "names.txt").write_text("anna\nberta\n" * 60, encoding="utf-8")
    run.train("names.txt", "--split-documents", "lines", "--steps", 1)  # items are long
    for options in (["--num-samples", 9, "--length", 2], ["--num-samples", 1, "--length", 1]):
        err = run("sample", "--seed", 1, *options)[2]
        assert re.search(r"[1-9] of [19] samples cut at [12] characters; --length N", err)
    monkeypatch.setattr(sampling, "_TEXT_CHARS", 1)
    assert run("sample", "--seed", 1)[2] == ""
    monkeypatch.setattr(sampling, "_MAX_ITEM_CHARS", 1)
    assert "samples cut at 1 characters" in run("sample", "--seed", 1)[2]


def test_new_items_are_in_no_split(run, here):
    items = [a + b for a in "abcdefgh" for b in "abcdefgh"] * 4
    (here / "items.txt").write_text("\n".join(items) + "\n", encoding="utf-8")
    shares = ["--val-fraction", 0.3, "--test-fraction", 0.3]
    run.train("items.txt", "--split-documents", "lines", "--steps", 60, *shares)
    out = run("sample", "--new", "--num-samples", 100, "--seed", 1)[1]
    assert len(out.splitlines()) == 100
    assert not set(out.splitlines()) & set(items)


def test_sample_writes_exact_bytes(here, capfdbinary):
    (here / "bytes.bin").write_bytes(bytes([0x83, 0x5C, 0x78, 0xFF]) * 300)
    assert main(["train", "bytes.bin", "--level", "byte", "--steps", "1", *SMALL]) == 0
    capfdbinary.readouterr()
    options = ["sample", "--length", "50", "--seed", "1"]
    assert main(options) == 0
    written = capfdbinary.readouterr().out
    assert len(written) == 50
    assert main([*options, "--json"]) == 0
    (sample,) = json.loads(capfdbinary.readouterr().out)["samples"]
    assert bytes.fromhex(sample["hex"]) == written


@pytest.mark.parametrize(
    "command",
    [["sample", "--seed", 1, "--prime"], ["predict"], ["inspect"], ["inspect", "--file"]],
)
def test_unknown_skip_drops_characters(run, stored, here, command):
    (here / "odd.txt").write_text("the \u2603quick\n", encoding="utf-8")
    text = "odd.txt" if "--file" in command else "the \u2603quick"
    assert "--unknown skip" in run.fails(1, *command, text)
    skipped = run.works(*command, text, "--unknown", "skip", "--json")
    typed = [part for part in command if part != "--file"]
    assert skipped == run.works(*typed, "the quick", "--json")


def test_list_model_samples_one_item_per_line(run, known_names):
    items = run.works("sample", "--seed", 1)[0].splitlines()
    assert len(items) == 20
    assert len(set(items) & {"anna", "berta", "clara", "dora"}) >= 2
    primed = run("sample", "--prime", "be", "--num-samples", 9, "--seed", 1)[1].splitlines()
    assert len(primed) == 9
    assert all(item.startswith("be") for item in primed)
    record = run.json("sample", "--seed", 1)
    assert [one["text"] for one in record["samples"]] == items
    for one in record["samples"]:
        assert one["is_ended"]
        # EOS has a surprisal.
        assert len(one["log_probabilities"]) == len(one["text"]) + 1
        assert one["bits"] == pytest.approx(-sum(one["log_probabilities"]) / math.log(2))


def test_prime_of_a_list_may_hold_whole_items(run, known_names):
    run.pipe_in(b"anna\nbe\n")
    out = run.works("sample", "--prime", "-", "--num-samples", 3, "--seed", 1)[0]
    lines = out.splitlines()
    assert lines[::2] == ["anna"] * 3
    assert [line[:2] for line in lines[1::2]] == ["be"] * 3


def test_new_and_unique_items_of_a_list(run, known_names, here):
    out, err = run.works("sample", "--new", "--unique", "--num-samples", 5, "--seed", 1)
    items = out.splitlines()
    assert len(set(items)) == 5
    assert not set(items) & {"anna", "berta", "clara", "dora"}
    assert re.search(r"kept \d+ of \d+ samples\n", err)
    arguments = ("--temperature", 0, "--num-samples", 5, "--seed", 1)
    err = run.fails(1, "sample", "--new", *arguments)
    assert "only 0 of 5 items in" in err
    assert "--temperature" in err


def test_new_and_unique_need_a_list(run, stored):
    for option in ("--unique", "--new"):
        err = run.fails(2, "sample", option)
        assert option in err
        assert "--split-documents lines" in err
