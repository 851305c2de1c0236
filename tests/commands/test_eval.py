import json
import re
from dataclasses import replace
from itertools import product

import pytest
from conftest import TEXT, save_run


def test_eval_without_test_split_uses_validation(run, corpus_file):
    run.train(corpus_file, "--test-fraction", 0, "--steps", 2)
    out, err = run.works("eval", "--json")
    assert json.loads(out)["split"] == "val"
    assert "no test split" in err


def test_eval_without_held_out_text_is_an_error(run, corpus_file):
    run.train(corpus_file, "--val-fraction", 0, "--test-fraction", 0, "--steps", 2)
    err = run.fails(1, "eval")
    assert "neither test nor validation text" in err
    assert "scoring" not in err


def test_eval_scores_any_text(run, stored, here):
    (here / "a.txt").write_bytes("quick\r\nquips☃".encode())
    result = run.json("eval", "a.txt")
    assert (result["num_chars"], result["num_unknown"]) == (12, 1)
    assert result["num_bytes"] == 14
    assert result["split"] is None
    assert "bits per character" in run("eval", "a.txt")[1]


def test_eval_details_shows_all_tables(run, stored, here):
    result = run.json("eval")
    names = [baseline["name"] for baseline in result["baselines"]]
    assert names == ["uniform", "order 0", "n-gram (order 11, Kneser-Ney)"]
    # The text is too short for xz.
    names = [one["name"] for one in run.json("eval", "tiny.txt")["baselines"]]
    assert names[2] == "xz"
    assert list(result["top_accuracy"]) == ["1", "3", "5"]
    assert result["top_accuracy"]["1"] == pytest.approx(result["accuracy"])
    assert sum(one["num_chars"] for one in result["calibration"]["bins"]) == result["num_chars"]
    assert sum(kind["num_chars"] for kind in result["by_kind"]) == result["num_chars"]
    assert sum(kind["nats"] for kind in result["by_kind"]) == pytest.approx(result["nats"])
    assert [one["num_context"] for one in result["by_context"]] == [1, 10, 100]
    assert len(result["most_surprising"]) == 10
    out = run("eval")[1]
    assert "order 0" in out
    details = ("context length", "line ends", "calibration error", "surprising")
    assert not any(part in out for part in details)
    out = run("eval", "--details")[1]
    assert all(part in out for part in ("order 0", *details))


def test_eval_explains_test_loss_above_validation_loss(run, here, corpus_file):
    (here / "val.txt").write_text(TEXT)
    (here / "other.txt").write_text("zebras yawn; vexing jumps quiz box\n" * 700)
    for test, is_worse in (("other.txt", True), ("val.txt", False)):
        options = ["--val", "val.txt", "--test", test, "--run", test, "--steps", 60]
        run.train(corpus_file, *options)
        out = run("eval", "--run", test)[1]
        assert ("The test split is another part of the text (95 % interval" in out) is is_worse
        assert "another part" not in run("eval", "--run", test, "--split", "val")[1]
        assert "another part" not in run("eval", "other.txt", "--run", test)[1]


def test_eval_of_a_file_works_without_the_corpus(run, stored, here, corpus_file):
    (here / "a.txt").write_text("quick quips")
    assert run.json("eval", "a.txt")["baselines"]
    corpus_file.unlink()
    out, err = run.works("eval", "a.txt", "--json")
    assert json.loads(out)["baselines"] == []
    assert err.startswith("no baselines, because the training text is unavailable: ")
    assert corpus_file.name in err
    assert run("eval")[0] == 1


def test_eval_dynamic_adds_a_score(run, stored):
    static = run.json("eval")
    both = run.json("eval", "--dynamic")
    dynamic = both.pop("dynamic")
    assert both == static
    assert dynamic["num_chars"] == static["num_chars"]
    assert 0 < dynamic["bits_per_char"] != static["bits_per_char"]
    out = run("eval", "--dynamic")[1]
    assert f"{static['bits_per_char']:.4f}" in out
    assert f"{dynamic['bits_per_char']:.4f}" in out


def test_eval_uses_stored_text_of_missing_file(run, corpus_file):
    run.train(corpus_file, "--steps", 3)
    before = run.json("eval")
    corpus_file.unlink()
    assert run.json("eval") == before
    run.works("sample", "--length", 9, "--seed", 1, "--check-copying")
    run.works("train", "--resume", "--steps", 5)
    run.pipe_in(TEXT.encode())
    run.train("-", "--steps", 3, "--run", "piped")
    run.works("eval", "--run", "piped")
    run.works("train", "--resume", "--run", "piped", "--steps", 5)


def test_check_copying_works_with_different_id_dtypes(run, here):
    common = "the quick brown fox. " * 100
    rare = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    (here / "many.txt").write_text(common + rare)
    run.train("many.txt", "--steps", 3, "--val-fraction", 0.3)
    _, err = run.works("sample", "--length", 20, "--seed", 1, "--check-copying")
    assert "of 20 characters" in err


def test_eval_json_replaces_infinity_with_null(run, stored, here):
    bias = stored.weights["head.bias"].copy()
    bias[-1] = 1e30
    save_run(replace(stored, weights=stored.weights | {"head.bias": bias}))
    out, _ = run.works("eval", "--json")
    assert json.loads(out, parse_constant=pytest.fail)["perplexity"] is None
    run.works("eval")


def test_outputs_never_overwrite_inputs(run, stored, corpus_file, here):
    model = here / "checkpoints/tiny/best.safetensors"
    copy = here / "model.safetensors"
    copy.write_bytes(model.read_bytes())
    (here / "other.txt").write_text("the quick")
    before = {path: path.read_bytes() for path in (corpus_file, model, copy, here / "other.txt")}
    for arguments in (
        ["inspect", "--checkpoint", copy, "--html", copy],
        ["inspect", "--html", corpus_file],
        ["export", "tiny", "--format", "onnx", "--output", corpus_file],
        ["inspect", "--html", model],
        ["inspect", "--file", "other.txt", "--html", "other.txt"],
    ):
        err = run.fails(1, *arguments)
        assert "read by the same command" in err or "belongs to a store" in err
    assert all(path.read_bytes() == content for path, content in before.items())


def test_eval_against_scores_the_same_text(run, two_runs, here):
    found = json.loads(run.stdout("eval", "--run", "one", "--against", "two", "--json"))
    assert (found["run"], found["against"], found["split"]) == ("one", "two", "test")
    alone = [run.json("eval", "--run", name) for name in ("one", "two")]
    assert found["bits_per_char"] == pytest.approx(alone[0]["bits_per_char"], abs=1e-6)
    assert found["other_bits_per_char"] == pytest.approx(alone[1]["bits_per_char"], abs=1e-6)
    assert found["low_bits_per_char"] is found["high_bits_per_char"] is None
    for name in ("by_kind", "by_context"):
        assert sum(one["num_chars"] for one in found[name]) == found["num_chars"]
    out = run("eval", "--run", "one", "--against", "two")[1]
    parts = ("one against two: test", "letters", "too short for an interval", "1 block of 1,000")
    assert all(part in out for part in parts)
    assert re.search(r"context length .*\n.*\n 0 to 15 .*\n 16 to 63 .*\n 64 to 255 ", out)
    file = here / "checkpoints/one/best.safetensors"
    (here / "long.txt").write_text(TEXT * 10)
    found = run.json("eval", "long.txt", "--run", "one", "--against", "two")
    assert found["low_bits_per_char"] < found["difference_bits_per_char"]
    assert found["difference_bits_per_char"] < found["high_bits_per_char"]
    out = run("eval", "long.txt", "--run", "one", "--against-checkpoint", file)[1]
    assert "95 % interval +0.0000 to +0.0000" in out
    assert "Both assign every character the same probability." in out


def test_eval_against_names_the_better_run(run, stored, here):
    weights = {name: 0 * weight for name, weight in stored.weights.items()}
    save_run(replace(stored, weights=weights), "zero")
    (here / "long.txt").write_text(TEXT * 10)
    for names in (("tiny", "zero"), ("zero", "tiny")):
        out = run("eval", "long.txt", "--run", names[0], "--against", names[1])[1]
        assert "tiny predicts this text significantly better than zero" in out


def test_eval_against_charges_for_unknown_characters(run, two_runs, corpus_file):
    run.train(corpus_file, "--steps", 3, "--min-count", 60, "--run", "few")
    found = run.json("eval", "--run", "two", "--against", "few")
    assert found["num_unknown"] == 0 < found["other_num_unknown"]
    assert "unknown" in [kind["kind"] for kind in found["by_kind"]]
    alone = run.json("eval", "--run", "few")
    assert alone["upper_bits_per_char"] == pytest.approx(found["other_bits_per_char"], abs=1e-5)
    assert alone["upper_bits_per_char"] > found["bits_per_char"] > alone["bits_per_char"]
    shown = run("eval", "--run", "few")[1]
    assert (
        f"{alone['upper_bits_per_char']:.4f} bits per character if each had to be named"
        in " ".join(shown.split())
    )


def test_eval_against_rejects_different_texts(run, two_runs, here, corpus_file):
    run.train(corpus_file, "--steps", 3, "--level", "byte", "--run", "raw")
    assert "(--level: char and byte)" in run.fails(1, "eval", "--run", "one", "--against", "raw")
    (here / "other.txt").write_text(TEXT + "quick\n" * 50)
    run.train("other.txt", "--steps", 3, "--run", "other")
    assert "give a FILE" in run.fails(1, "eval", "--run", "one", "--against", "other")
    out, err = run.works("eval", "other.txt", "--run", "one", "--against", "other", "--json")
    assert json.loads(out)["num_chars"] == len(TEXT) + 300
    assert "of the text is also in other's training text" in err
    assert "of the text is also in one's training text" in err  # under a different name
    run.train(corpus_file, "--steps", 3, "--normalize", "nfc", "--run", "nfc")
    assert "--normalize" in run.fails(1, "eval", "other.txt", "--run", "one", "--against", "nfc")
    assert run("eval", "--run", "one", "--against", "nfc")[0] == 0  # the same characters
    err = run.rejects("eval", "--run", "one", "--against", "two", "--details")
    assert "give --against or --details" in err


def test_eval_against_compares_lists_by_document(run, here):
    names = list(map("".join, product("abcdefghij", "aeiou", ("n", "ra", "llo", "ska"))))
    (here / "names.txt").write_text("\n".join(names))
    for seed in (1, 2):
        options = ["--split-documents", "lines", "--test-fraction", 0.6, "--steps", 3]
        run.train("names.txt", *options, "--seed", seed, "--run", f"n{seed}")
    found = run.json("eval", "--run", "n1", "--against", "n2")
    assert found["unit"] == "document"
    assert [(one["min_context"], one["max_context"]) for one in found["by_context"]] == [(0, 15)]
    assert found["by_context"][0]["bits_per_char"] == pytest.approx(found["bits_per_char"])
    # All contexts are short.
    assert "characters before it" not in run("eval", "--run", "n1", "--against", "n2")[1]
    (here / "more.txt").write_text("\n".join(names[:60] + [name * 3 for name in names]))
    _, err = run.works("eval", "more.txt", "--run", "n1", "--against", "n2")
    for name in ("n1", "n2"):
        assert re.search(rf"of 260 documents are also in {name}'s training text", err)


def test_undecodable_text_has_no_bits_per_byte(run, here):
    """Use the end of the last file as test text."""
    for name in "abc":
        (here / f"{name}.txt").write_text(TEXT)
    files = ["a.txt", "b.txt", "c.txt"]
    run.train(*files, "--test-fraction", 1e-5, "--steps", 2)
    assert re.search(r"bits per byte +-\n", run("eval")[1])
    assert run.json("eval")["bits_per_byte"] is None


def test_eval_excludes_list_items_in_the_training_text(run, here):
    names = list(map("".join, product("abcdef", "aeiou", "xyz", "\n")))
    (here / "names.txt").write_text("".join(names + 2 * names[::2]))
    run.train("names.txt", "--split-documents", "lines", "--steps", 1)
    _, out, err = run("eval", "--json")
    found = json.loads(out)
    number, of = map(int, re.search(r"(\d+) of (\d+) documents are also in", err).groups())
    assert found["num_chars"] == 4 * (of - number)
    assert found["with_repeated"]["num_chars"] == 4 * of
    bits = found["with_repeated"]["bits_per_char"]
    shown = f"{bits:.4f} bits per character, {4 * of} characters"
    assert shown in run("eval")[1]
    err = run.works("eval", "--against", "names")[1]
    assert f"{number} of {of} documents are also in the training text and are excluded" in err
    # Also in a file.
    _, out, _ = run("eval", "names.txt", "--json")
    assert json.loads(out)["num_chars"] < json.loads(out)["with_repeated"]["num_chars"]
