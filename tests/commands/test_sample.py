import io
import json
import re
import sys

import pytest
from conftest import SMALL, TEXT


def test_a_prime_is_normalised_as_the_corpus_was(run, stored):
    code, out, _ = run("sample", "--prime", "quips.\r\nquick", "--length", 1, "--seed", 1)
    assert code == 0
    assert out.startswith("quips.\nquick")


def test_the_seed_is_told_when_it_was_not_given(run, stored):
    _, out, err = run("sample", "--length", 30)
    seed = re.fullmatch(r"seed (\d+)\n", err)[1]
    assert run("sample", "--length", 30, "--seed", seed)[1] == out


def test_a_text_in_another_encoding_gets_advice_that_helps(run, stored, here, monkeypatch):
    data = "caf\u00e9".encode("latin-1")
    (here / "text.txt").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    for command in (
        ["sample", "--prime", "-"],
        ["inspect", "--file", "text.txt"],
        ["eval", "text.txt"],
    ):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert "is not valid utf-8, as the model's own text was; convert it" in err
        assert "--encoding" not in err


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


def test_a_prime_comes_from_stdin(run, stored, monkeypatch):
    expected = run("sample", "--prime", "the q", "--length", 9, "--seed", 1)
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


@pytest.mark.slow
def test_in_a_pipe_text_is_raw_and_utf_8_whatever_the_locale(charlstm, tmp_path):
    text = "π\x1b[31m☃" * 40
    (tmp_path / "odd.txt").write_text(text, encoding="utf-8")
    environment = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    charlstm("train", "odd.txt", "--steps", 2, *SMALL, environment=environment)
    result = charlstm("sample", "--prime", "π\x1b[31m", "--seed", 1, environment=environment)
    assert result.stdout.decode("utf-8").startswith("π\x1b[31m")


def test_a_line_end_can_be_asked_for(run, stored):
    options = ["--length", 400, "--seed", 3, "--json"]
    written = json.loads(run("sample", "--until", "\\n", *options)[1])["samples"][0]["text"]
    assert written.find("\n") in (-1, len(written) - 1)
    assert written == json.loads(run("sample", "--until", "\n", *options)[1])["samples"][0]["text"]


def test_no_color_where_none_is_wanted(run, stored, monkeypatch):
    options = ["sample", "--color", "--length", 30, "--seed", 1]
    assert "\x1b" in run(*options)[1]
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert "\x1b" not in run(*options)[1]
