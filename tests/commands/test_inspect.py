import json
import re
import sys

import pytest
from conftest import TEXT


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_inspect_shows_gates_units_and_reach(run, trained, cell):
    trained(cell, "--steps", 30, "--cell", cell)
    run.works("inspect", TEXT[:300], "--units", "--reach", "--json")
    result = run.json("inspect", "the quick", "--gates")
    assert "".join(one["char"] for one in result["characters"]) == "the quick"
    gates = {"lstm": {"input", "forget", "output"}, "gru": {"reset", "update"}, "rnn": set()}[cell]
    assert {one["gate"] for one in result["gate_shares"]} == gates
    assert all("closed_before" in one for one in result["gate_shares"])
    assert gates < set(result["gates"]["values"])
    assert all(len(v) == 9 for unit in result["gates"]["values"].values() for v in unit.values())
    out = run.stdout("inspect", "the quick", "--gates", "--unit", 3, "--unit", 0)
    assert "layer 1, unit 3" in out
    assert "layer 1, unit 0" in out
    assert all(gate in out for gate in gates)


def test_inspect_defaults_to_held_out_text(run, stored, here):
    out = run("inspect")[1]
    assert "t h e" in out
    units = run("inspect", "--units", "--file", "tiny.txt")[1]
    assert "position in the word" in units
    assert "auc: 0.5 is chance; 1 and 0 are perfect" in units
    # The suggested command shows the unit.
    command = units.rpartition("charlstm ")[2].split()
    assert f"layer {command[-3]}, unit {command[-1]}" in run(*command, "--file", "tiny.txt")[1]
    assert "half of the gradient" in run("inspect", "--reach", "--file", "tiny.txt")[1]


def test_inspect_says_what_its_backgrounds_mean(run, stored, monkeypatch):
    legend = "bits  0.5 to 1.5  1.5 to 3  3 to 5  5 to 8  over 8"
    monkeypatch.setenv("TERM", "xterm")
    assert legend not in run.works("inspect", "the quick")[0]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", run.works("inspect", "the quick")[0])
    assert " ".join(legend.split()) in " ".join(shown.split())


def test_gates_are_explained_in_numbers(run, stored):
    out = run.works("inspect", "the quick", "--gates")[0]
    assert "each column is the step that reads the character above" in out
    marks = re.search(r"blank: below ([\d.]+); (.{4}): up to (.+), (.+), (.+), 1; (.{4}): neg", out)
    assert marks is not None
    limits = [float(marks[number]) for number in (1, 3, 4, 5)]
    values = run.json("inspect", "the quick", "--gates")["gates"]["values"]["input"]
    rows = re.findall(r"^input +[\d.]+ to [\d.]+ +(.{9})$", out, re.MULTILINE)
    assert len(rows) == len(values)
    for row, values_N in zip(rows, values.values(), strict=True):
        for mark, value in zip(row, values_N, strict=True):
            if min(abs(value - limit) for limit in limits) > 1e-3:
                assert mark == f" {marks[2]}"[sum(value > limit for limit in limits)]


def test_inspect_separates_documents(run, here):
    (here / "names.txt").write_text("anna\nberta\n" * 60, encoding="utf-8")
    run.train("names.txt", "--split-documents", "lines", "--steps", 30)
    (here / "two.txt").write_text("anna\nberta\n", encoding="utf-8")
    found = run.json("inspect", "--file", "two.txt", "--reach", "--gates")
    assert "".join(one["char"] for one in found["characters"]) == "anna\nberta"
    score = run.json("eval", "two.txt")
    # `inspect` drops the final newline, the eleventh character.
    single = run.json("inspect", "berta\n")["characters"]
    nats = sum(one["nats"] for one in found["characters"]) + single[-1]["nats"]
    assert nats == pytest.approx(score["nats_per_char"] * 11, rel=1e-4)
    assert len(found["reach"]["gradient"]) <= 5


def test_inspect_shows_eos_in_one_column(run, here):
    (here / "poems.txt").write_text("fox\n\ndog\n\n" * 60, encoding="utf-8")
    run.train("poems.txt", "--split-documents", "blank-lines", "--steps", 30)
    out = run("inspect")[1]
    assert "\u220e" in out
    assert "\u25a1" not in out


def test_inspect_truncates_long_texts_with_a_notice(run, stored, here):
    (here / "long.txt").write_text(TEXT * 2, encoding="utf-8")
    out, err = run.works("inspect", "--file", "long.txt", "--json")
    assert len(json.loads(out)["characters"]) == 2000
    assert f"showing the first 2,000 of {2 * len(TEXT) - 1:,} characters" in err


def test_inspect_layer_or_unit_implies_gates(run, stored):
    assert "layer 1, unit 2" in run("inspect", "the", "--layer", 1, "--unit", 2)[1]
    assert run("inspect", "the", "--unit", 99)[0] == 2


def test_inspect_writes_a_page(run, stored, here, corpus_file):
    code, out, err = run("inspect", "--html", "page.html")
    assert (code, out) == (0, "")
    assert "page.html: 0.1" in err
    page = (here / "page.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "tiny: a character model" in page
    result = run.json("inspect", "the", "--html", "other.html")
    assert result["html"]["path"] == "other.html"
    assert result["html"]["num_bytes"] == (here / "other.html").stat().st_size
    assert "characters" not in result
    assert "nowhere/page.html: can't be written" in run.fails(
        1, "inspect", "--html", "nowhere/page.html"
    )
    assert run("inspect", "\u2603", "--html", "third.html")[0] == 1
    assert not (here / "third.html").exists()
    (here / "long.txt").write_text(TEXT * 2, encoding="utf-8")
    err = run("inspect", "--html", "page.html", "--file", "long.txt")[2]
    assert "the page opens with the first 2,000" in err
    # Without the corpus, rounding is measured on the given text.
    corpus_file.unlink()
    assert "(3 characters scored)" in run("inspect", "the", "--html", "page.html")[2]
    assert run("inspect", "--html", "page.html")[0] == 1


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_inspect_cell_shows_diagram_and_arithmetic(run, trained, cell):
    trained(cell, "--steps", 30, "--cell", cell)
    out = run.stdout("inspect", "the quick", "--cell", "1:3")
    *before, step = run.json("inspect", "the quick", "--cell", "1:3")["cell"]["steps"]
    assert step["char"] == "k"
    for gate in step["gates"]:
        assert f"{gate['value']:.2f}" in out
        total = gate["input"] + gate["hidden"] + gate["bias"]
        assert gate["pre_activation"] == pytest.approx(total)
    assert f"{step['hidden']:.3f}" in out
    assert "reads k, h before of " in out
    # Without the last character, the step before is the last one.
    assert run.json("inspect", "the quic", "--cell", "1:3")["cell"]["steps"] == before


@pytest.mark.parametrize(
    "wrong", ["3", "x:1", "1:x", "0:1", "9:1", "1:9999", "1:-1", ":", "\u00b2:1"]
)
def test_inspect_rejects_invalid_cell(run, stored, wrong):
    err = run.fails(2, "inspect", "the", "--cell", wrong)
    assert err.count("\n") == 1
    assert "--cell" in err


def test_inspect_shows_zero_width_characters(run, here):
    (here / "marks.txt").write_text("a\u0301\u200d\u034f" * 300, encoding="utf-8")
    run.train("marks.txt", "--steps", 1)
    for options in (["--gates"], ["--cell", "1:3"], []):
        out = run.stdout("inspect", "\u034f\u200d", *options)
        assert "\u200d" not in out


def test_inspect_without_corpus_needs_a_text(run, stored, here):
    (here / "tiny.txt").unlink()
    assert "give a TEXT or a --file" in run.fails(1, "inspect", "--html", "page.html")
    run.works("inspect", "the quick", "--html", "page.html")
