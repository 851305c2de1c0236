import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from conftest import SMALL, TEXT, posix

from charlstm.run.store import CheckpointStore


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
    assert header.split("\t") == [
        "place", "document", "char", "code_point", "bits", "rank", "is_known",
    ]  # fmt: skip
    assert len(rows) == result["num_chars"]
    bits = sum(float(row.split("\t")[4]) for row in rows)
    assert bits / len(rows) == pytest.approx(result["bits_per_char"], abs=1e-4)
    out = run("eval")[1]
    assert "order 0" in out
    details = ("context length", "line ends", "calibration error", "surprising")
    assert not any(part in out for part in details)
    out = run("eval", "--details")[1]
    assert all(part in out for part in ("order 0", *details))


def test_eval_says_why_the_test_may_be_worse_than_validation(run, here, corpus_file):
    (here / "val.txt").write_text(TEXT)
    (here / "other.txt").write_text("zebras yawn; vexing jumps quiz box\n" * 30)
    for test, is_worse in (("other.txt", True), ("val.txt", False)):
        options = ["--val", "val.txt", "--test", test, "--run", test, "--steps", 60]
        assert run("train", corpus_file, *options, *SMALL)[0] == 0
        out = run("eval", "--run", test)[1]
        assert ("It is a different stretch of text (95 % interval" in out) is is_worse
        assert "different stretch" not in run("eval", "--run", test, "--split", "val")[1]
        assert "different stretch" not in run("eval", "other.txt", "--run", test)[1]


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
    more = both["baselines"][len(static["baselines"]) :]
    assert [one["is_dynamic"] for one in more] == [True, True]
    del both["baselines"][len(static["baselines"]) :]
    assert both == static
    assert dynamic["num_chars"] == static["num_chars"]
    assert 0 < dynamic["bits_per_char"] != static["bits_per_char"]
    out = run("eval", "--dynamic")[1]
    assert f"{static['bits_per_char']:.4f}" in out
    assert f"{dynamic['bits_per_char']:.4f}" in out


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


def test_copying_is_found_whatever_the_types_of_ids(run, here):
    common = "the quick brown fox. " * 100
    rare = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    (here / "many.txt").write_text(common + rare)
    assert run("train", "many.txt", "--steps", 3, "--val-fraction", 0.3, *SMALL)[0] == 0
    code, _, err = run("sample", "--length", 20, "--seed", 1, "--check-copying")
    assert code == 0
    assert "of 20 characters" in err


def test_json_has_no_infinity(run, stored, here):
    weights = {**stored.weights, "head.bias": stored.weights["head.bias"].copy()}
    weights["head.bias"][-1] = 1e30
    with CheckpointStore(here / "checkpoints").run("tiny").writer() as writer:
        writer.save_best(replace(stored, weights=weights, training=None))
    code, out, _ = run("eval", "--json")
    assert code == 0
    assert json.loads(out, parse_constant=pytest.fail)["perplexity"] is None
    assert run("eval")[0] == 0


def test_per_char_tables_are_what_csv_readers_expect(run, stored, here):
    (here / "a.txt").write_text('"the" "quick"\n"fox' * 9)
    assert run("eval", "a.txt", "--per-char", "chars.tsv")[0] == 0
    with (here / "chars.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert len(rows) == 1 + len('"the" "quick"\n"fox' * 9)
    assert {len(row) for row in rows} == {7}


def test_what_is_unknown_keeps_its_character_in_the_tables(run, stored, here):
    (here / "a.txt").write_text("the \u2603 fox", encoding="utf-8")
    run("eval", "a.txt", "--per-char", "chars.tsv", "--per-document", "documents.tsv")
    rows = [line.split("\t") for line in (here / "chars.tsv").read_text("utf-8").splitlines()]
    assert [row[2] for row in rows[1:]] == list("the \u2603 fox")
    assert [row[6] for row in rows[1:]].count("no") == 1
    assert rows[5][2:4] + rows[5][6:] == ["\u2603", "U+2603", "no"]
    assert "the \u2603 fox" in (here / "documents.tsv").read_text("utf-8")


@pytest.mark.slow
@posix
def test_documents_go_into_a_pipe(stored, charlstm, here):
    (here / "a.txt").write_text("the quick fox")
    for name in ("a.txt", "-"):
        found = charlstm("eval", name, "--per-document", "-", stdin=b"the quick fox")
        header, row = found.stdout.decode().splitlines()
        assert header.startswith("number\tcharacters\tbits\t")
        assert row.split("\t")[:2] == ["1", "13"]
        assert row.endswith("\tthe quick fox")
    both = charlstm("eval", "a.txt", "--per-document", "-", "--json", check=False)
    assert both.returncode == 2
    assert b"stdout takes one of" in both.stderr


@pytest.mark.slow
@posix
def test_per_char_into_pipes(stored, charlstm, here):
    """As a shell makes them: a named one, and one that is /dev/fd/N."""
    program = f"{sys.executable} -m charlstm eval --per-char"
    for command in (
        f"mkfifo p && (cat p > one.tsv & {program} p > /dev/null && wait)",
        f"{program} >(cat > two.tsv) > /dev/null && sleep 0.5",
        f"{program} /dev/stdout > three.tsv",
    ):
        subprocess.run(["bash", "-c", command], cwd=here, check=True, timeout=60)
    tables = [(here / f"{name}.tsv").read_text() for name in ("one", "two", "three")]
    assert tables[0] == tables[1]
    assert tables[2].startswith(tables[0])
    assert tables[0].count("\n") == 117


def test_no_output_over_what_is_read(run, stored, corpus_file, here):
    model = here / "checkpoints/tiny/best.safetensors"
    copy = here / "model.safetensors"
    copy.write_bytes(model.read_bytes())
    (here / "other.txt").write_text("the quick")
    before = {path: path.read_bytes() for path in (corpus_file, model, copy, here / "other.txt")}
    for arguments in (
        ["eval", "--per-char", corpus_file],
        ["eval", "other.txt", "--per-char", "other.txt"],
        ["eval", "--checkpoint", copy, "--per-char", copy],
        ["inspect", "--checkpoint", copy, "--html", copy],
        ["inspect", "--html", corpus_file],
        ["export", "tiny", "--format", "onnx", "--output", corpus_file],
        ["inspect", "--html", model],
        ["inspect", "--file", "other.txt", "--html", "other.txt"],
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (1, ""), arguments
        assert "read by the same command" in err or "belongs to a store" in err
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_dash_is_stdout_and_pictures_are_announced(charlstm, stored, here):
    out = charlstm("eval", "--per-char", "-").stdout.decode()
    assert out.startswith("place\tdocument\tchar")
    assert not (here / "-").exists()
    assert b"eval.svg: written" in charlstm("eval", "--plot", "eval.svg").stderr


@pytest.fixture
def two_runs(run, corpus_file):
    """Two runs of the same text."""
    for seed in (1, 2):
        options = ["--steps", 3, "--seed", seed, "--run", f"s{seed}", *SMALL]
        assert run("train", corpus_file, *options)[0] == 0


def test_two_runs_are_compared_on_the_same_text(run, two_runs, here):
    code, out, err = run("eval", "--run", "s1", "--against", "s2", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["run"], found["against"], found["split"]) == ("s1", "s2", "test")
    alone = [json.loads(run("eval", "--run", name, "--json")[1]) for name in ("s1", "s2")]
    assert found["bits_per_char"] == pytest.approx(alone[0]["bits_per_char"], abs=1e-6)
    assert found["other_bits_per_char"] == pytest.approx(alone[1]["bits_per_char"], abs=1e-6)
    assert found["low_bits_per_char"] < found["difference_bits_per_char"]
    assert found["difference_bits_per_char"] < found["high_bits_per_char"]
    for name in ("by_kind", "by_context"):
        assert sum(one["num_chars"] for one in found[name]) == found["num_chars"]
    out = run("eval", "--run", "s1", "--against", "s2")[1]
    for part in ("s1 against s2: test", "95 % interval", "letters", "--seed", "text is short"):
        assert part in out
    assert re.search(r"characters before it .*\n.*\n 0 to 15 .*\n 16 to 63 .*\n 64 to 255 ", out)
    file = here / "checkpoints/s1/best.safetensors"
    out = run("eval", "--run", "s1", "--against-checkpoint", file)[1]
    assert "+0.0000 to +0.0000" in out
    assert "Every character costs both the same." in out


def test_the_better_run_is_named(run, stored, here):
    weights = {name: 0 * weight for name, weight in stored.weights.items()}
    with CheckpointStore(here / "checkpoints").run("zero").writer() as writer:
        writer.save_best(replace(stored, weights=weights, training=None))
    for names in (("tiny", "zero"), ("zero", "tiny")):
        out = run("eval", "--run", names[0], "--against", names[1])[1]
        assert "tiny predicts this text better than zero, by more than chance" in out


def test_other_vocabularies_can_be_compared_and_it_is_said_how(run, two_runs, corpus_file):
    options = ["--steps", 3, "--min-count", 60, "--run", "few", *SMALL]
    assert run("train", corpus_file, *options)[0] == 0
    found = json.loads(run("eval", "--run", "s1", "--against", "few", "--json")[1])
    assert found["num_unknown"] == 0 < found["other_num_unknown"]
    assert "unknown" in [kind["kind"] for kind in found["by_kind"]]
    assert "only that it is unknown" in run("eval", "--run", "s1", "--against", "few")[1]


def test_what_is_not_the_same_text_is_not_compared(run, two_runs, here, corpus_file):
    assert (
        run("train", corpus_file, "--steps", 3, "--level", "byte", "--run", "raw", *SMALL)[0] == 0
    )
    code, _, err = run("eval", "--run", "s1", "--against", "raw")
    assert code == 1
    assert "(--level: char and byte)" in err
    (here / "other.txt").write_text(TEXT + "quick\n" * 50)
    assert run("train", "other.txt", "--steps", 3, "--run", "other", *SMALL)[0] == 0
    code, _, err = run("eval", "--run", "s1", "--against", "other")
    assert code == 1
    assert "name a FILE" in err
    code, out, err = run("eval", "other.txt", "--run", "s1", "--against", "other", "--json")
    assert (code, json.loads(out)["num_chars"]) == (0, len(TEXT) + 300)
    assert "other.txt is of the text that other learned from" in err
    assert "s1 learned from" not in err
    assert "is not checked" in err
    options = ["--steps", 3, "--normalize", "nfc", "--run", "nfc", *SMALL]
    assert run("train", corpus_file, *options)[0] == 0
    code, _, err = run("eval", "other.txt", "--run", "s1", "--against", "nfc")
    assert code == 1
    assert "--normalize" in err
    assert run("eval", "--run", "s1", "--against", "nfc")[0] == 0  # the same characters
    code, _, err = run("eval", "--run", "s1", "--against", "s2", "--details")
    assert code != 0
    assert "give --against or --details" in err


def test_lists_are_compared_by_their_documents(run, here):
    names = [f"{first}{middle}{last}" for first in "abcdefghij" for middle in "aeiou"
             for last in ("n", "ra", "llo", "ska")]  # fmt: skip
    (here / "names.txt").write_text("\n".join(names))
    for seed in (1, 2):
        options = ["--split-documents", "lines", "--test-fraction", 0.6, "--steps", 3]
        options += ["--seed", seed, "--run", f"n{seed}", *SMALL]
        assert run("train", "names.txt", *options)[0] == 0
    found = json.loads(run("eval", "--run", "n1", "--against", "n2", "--json")[1])
    assert found["unit"] == "document"
    assert [(one["min_context"], one["max_context"]) for one in found["by_context"]] == [(0, 15)]
    assert found["by_context"][0]["bits_per_char"] == pytest.approx(found["bits_per_char"])
    # All of them are short: nothing to tell apart.
    assert "characters before it" not in run("eval", "--run", "n1", "--against", "n2")[1]
    (here / "more.txt").write_text("\n".join(names[:60] + [name * 3 for name in names]))
    code, _, err = run("eval", "more.txt", "--run", "n1", "--against", "n2")
    assert code == 0
    for name in ("n1", "n2"):
        assert re.search(rf"of 260 documents are also in {name}'s training text", err)
