from dataclasses import replace

import pytest
from conftest import TEXT, save_run


def test_predict_ranks_the_next_characters(run, stored):
    result = run.json("predict", "the q")
    assert result["prefix"] == "the q"
    assert result["entropy_bits"] > 0
    probabilities = [one["probability"] for one in result["next"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    assert sum(one["char"] is None for one in result["next"]) == 1
    out = run.stdout("predict", "the q", "--top", 3)
    assert out.count("%") == 3


def test_predict_ladder_shows_context_lengths(run, stored):
    result = run.json("predict", "the qui", "--ladder", "--top", 2)
    assert [rung["num_context"] for rung in result["ladder"]] == [0, 1, 2, 4, 7]
    assert [rung["context"] for rung in result["ladder"]] == ["", "i", "ui", " qui", "the qui"]
    assert all(len(rung["next"]) == 2 for rung in result["ladder"])
    assert result["ladder"][-1]["next"] == result["next"]
    assert result["ladder"][0]["entropy_bits"] != result["entropy_bits"]
    out = run("predict", "the qui", "--ladder")[1]
    assert "the\u2423qui" in out


def test_predict_reads_stdin(run, stored):
    run.pipe_in(b"the q\n")
    assert run.json("predict")["prefix"] == "the q"


def test_final_crlf_is_dropped(run, corpus_file):
    corpus_file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    run.train(corpus_file, "--run", "crlf", "--keep-line-ends", "--steps", 2)
    run.pipe_in(b"the quick\r\n")
    found = run.json("sample", "--prime", "-", "--length", 1, "--run", "crlf")
    assert found["prime"] == "the quick"


def test_overflowing_weights_are_an_error(run, stored):
    bias = stored.weights["head.bias"] * 0 + 3e38
    bias[::2] *= -1
    save_run(replace(stored, weights=stored.weights | {"head.bias": bias}))
    for command in (["predict", "qu", "--json"], ["sample"], ["eval"], ["inspect", "--html", "p"]):
        assert "overflow" in run.fails(1, *command).splitlines()[-1]
