"""The LSTM with n-grams, in every command that can use them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import save_run

from charlstm import load
from charlstm.config import SampleConfig
from charlstm.inference.draft import Draft
from charlstm.system import run_files


@pytest.fixture
def folder(stored, here):
    """Return the folder of a run whose text repeats itself, which is easy for n-grams."""
    return here / "checkpoints/tiny"


def test_eval_shows_lstm_ngrams_and_their_interpolation(run, folder):
    record = run.json("eval")
    network, counts, both = (record[name] for name in ("network", "counts", "both"))
    assert network["bits_per_char"] == record["bits_per_char"]
    # The LSTM learns little in four steps, but the text repeats itself.
    assert both["bits_per_char"] < counts["bits_per_char"] * 1.2 < network["bits_per_char"] / 3
    by_known = record["by_known_context"]
    assert sum(one["num_chars"] for one in by_known) == record["num_chars"]
    for name in ("network", "both"):
        total = sum(one["num_chars"] * one[f"{name}_bits_per_char"] for one in by_known)
        assert total / record["num_chars"] == pytest.approx(record[name]["bits_per_char"])
    out = run("eval", "--details")[1]
    assert "LSTM + n-grams " in out
    assert "Kneser-Ney" in out
    assert "better than the LSTM" in out
    assert "matched context" in out


def test_eval_reports_no_gain_from_interpolation(run, corpus_file):
    generator = np.random.default_rng(0)
    corpus_file.write_text("".join(generator.choice(list("acgt"), 40_000)))
    run.train(corpus_file, "--steps", 2)
    record = run.json("eval")
    only = record["counts"]["only"]
    assert only in ("network", "counts")
    part = "n-grams" if only == "counts" else "LSTM"
    bits = {name: record[name]["bits_per_char"] for name in ("network", "counts", "both")}
    assert bits["both"] == pytest.approx(bits[only], abs=1e-4)
    assert f"--with-counts only uses the {part}" in run("eval")[1]


def test_eval_on_validation_marks_the_tuned_interpolation(run, folder):
    out = run("eval", "--split", "val")[1]
    assert "LSTM + n-grams*" in out
    assert "* interpolation tuned on this text" in out
    assert "counts*" not in run("eval")[1]
    # The stored interpolation doesn't depend on the split that is scored first.
    before = (folder / run_files.COUNTS).read_bytes()
    (folder / run_files.COUNTS).unlink()
    run.works("eval")
    assert (folder / run_files.COUNTS).read_bytes() == before


def test_eval_on_train_split_has_no_ngrams(run, folder):
    assert "both" not in run.json("eval", "--split", "train")


def test_eval_sample_predict_and_python_agree(run, folder, here):
    (here / "a.txt").write_text("the quick brown dog")
    both = run.json("eval", "a.txt")["both"]
    model = load()
    assert model.score("the quick brown dog", with_counts=True).nats == pytest.approx(
        both["nats"], rel=1e-4
    )
    nats = 0.0
    for place, char in enumerate("the quick brown dog"):
        prefix = "the quick brown dog"[:place]
        found = dict(model.predict(prefix, with_counts=True).next)
        assert sum(found.values()) == pytest.approx(1)
        nats -= math.log(found[char])
    assert nats == pytest.approx(both["nats"], rel=1e-4)
    record = run.json("predict", "the qu", "--with-counts")
    assert record["with_counts"]
    assert record["next"][0]["char"] == "i"
    assert record["next"][0]["probability"] > 0.5
    alone = run.json("predict", "the qu")
    assert not alone["with_counts"]
    assert alone["next"][0]["probability"] < 0.5
    rungs = run.json("predict", "the qu", "--ladder", "--with-counts")["ladder"]
    assert rungs[-1]["next"][0]["probability"] == pytest.approx(record["next"][0]["probability"])
    assert rungs[0]["entropy_bits"] > rungs[-1]["entropy_bits"]
    options = ("sample", "--prime", "the q", "--length", 8, "--seed", 1, "--temperature", 0)
    assert run(*options, "--with-counts")[1] == "the quick bro\n"
    assert model.sample("the q", length=8, temperature=0, with_counts=True) == "uick bro"
    sample = run.json(*options, "--with-counts")
    assert sample["with_counts"]
    assert sample["samples"][0]["bits"] < 8


def test_lists_are_sampled_with_ngrams(run, here):
    (here / "names.txt").write_text("anna\notto\nhannah\nbob\n" * 40)
    run.train("names.txt", "--split-documents", "lines", "--steps", 2)
    out, _ = run.works("sample", "--with-counts", "--seed", 0, "--num-samples", 50)
    names = out.splitlines()
    assert len(names) == 50
    assert sum(name in ("anna", "otto", "hannah", "bob") for name in names) > 25


def test_byte_level_runs_are_scored_with_ngrams(run, here):
    (here / "bytes.bin").write_bytes(bytes([0, 255, 7, 200]) * 300)
    run.train("bytes.bin", "--level", "byte", "--steps", 2)
    record = run.json("eval")
    assert record["both"]["bits_per_char"] < 1


def test_unseen_bytes_get_a_probability(run, here):
    (here / "bytes.bin").write_bytes(b"the quick brown fox. " * 99 + b"\xc3\xa9" * 90)
    run.train("bytes.bin", "--level", "byte", "--test-fraction", 0.08, "--steps", 2)
    record = run.json("eval")
    assert record["num_unknown"] > 0
    run.works("eval", "--details")
    assert "\ufffd" in "".join(one.char for one in load().surprise("fox \xe9"))
    run.works("inspect", "the fox", "--gates")


def test_eval_warns_about_training_text(run, folder, corpus_file):
    assert "is also in tiny's training text" in run("eval", corpus_file)[2]


def test_ngrams_are_stored_in_the_run_s_folder(run, folder):
    path = folder / run_files.COUNTS
    assert "counted" in run("predict", "the", "--with-counts")[2]
    data = path.read_bytes()
    assert path.stat().st_mode & 0o777 == (folder / run_files.BEST).stat().st_mode & 0o777
    # The second call reads the file, without a notice.
    assert run("predict", "the", "--with-counts")[2] == ""
    weights = sum(array.nbytes for array in load().checkpoint.weights.values())
    assert len(data) < 4 * weights + 4096
    run.works("runs", "rm", "tiny", "--yes")
    assert not folder.exists()


def test_stored_ngrams_work_without_the_text(run, folder, corpus_file):
    before = run("predict", "the", "--with-counts")[1]
    corpus_file.unlink()
    assert run("predict", "the", "--with-counts")[1] == before
    (folder / run_files.COUNTS).unlink()
    err = run.fails(1, "predict", "the", "--with-counts")
    assert corpus_file.name in err


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "other", "folder"])
def test_damaged_or_foreign_ngram_files_are_rebuilt_with_a_notice(run, folder, harm):
    path = folder / run_files.COUNTS
    before = run("predict", "the", "--with-counts")[1]
    data = path.read_bytes()
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm == "other":
        path.write_bytes((folder / run_files.BEST).read_bytes())
    else:
        flipped = data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]
        path.write_bytes({"cut": data[:500], "flip": flipped, "empty": b""}[harm])
    out, err = run.works("predict", "the", "--with-counts")
    assert out == before
    assert "counting n-grams again" in err
    if harm != "folder":
        assert path.read_bytes() == data


def test_ngram_file_belongs_to_one_model(run, stored):
    run("predict", "the", "--with-counts")
    bias = stored.weights["head.bias"] + np.float32(0.5)
    save_run(replace(stored, weights=stored.weights | {"head.bias": bias}))
    assert "belongs to another model" in run("predict", "the", "--with-counts")[2]
    assert run("predict", "the", "--with-counts")[2] == ""


def test_no_ngrams_are_stored_for_a_checkpoint_file(run, folder):
    _, err = run.works("predict", "the", "--with-counts", "--checkpoint", folder / run_files.BEST)
    assert "counted" in err
    assert not (folder / run_files.COUNTS).exists()


def test_ngrams_work_without_validation_text(run, corpus_file):
    run.train(corpus_file, "--val-fraction", 0, "--steps", 2)
    run.works("predict", "the", "--with-counts")
    assert "both" in run.json("eval")


def test_ngram_baseline_is_shown_before_and_after_training(run, folder, corpus_file, here):
    record = run.json("corpus", "check", corpus_file)
    assert 0 < record["ngram_bits_per_char"] < 0.5
    assert "n-gram (order" in run("corpus", "check", corpus_file)[1]
    run.works("export", "tiny", "--format", "hf", "--output", "card")
    assert (
        "an n-gram model of the same training text reaches" in (here / "card/README.md").read_text()
    )


def test_runs_show_includes_the_ngram_loss(run, folder):
    assert "counting n-grams" not in run("runs", "show", "tiny")[1]
    assert run.json("runs", "show", "tiny")["counts_val_bits_per_char"] is None
    run.works("predict", "the", "--with-counts")
    bits = run.json("runs", "show", "tiny")["counts_val_bits_per_char"]
    counts = load().counts()
    val = load().corpus().val
    assert bits == pytest.approx(counts.ngrams.score(val).mean() / math.log(2))
    out = run("runs", "show", "tiny")[1]
    assert "bits above an n-gram model" in out
    (folder / run_files.COUNTS).write_bytes(b"damaged")
    assert "counting n-grams" not in run("runs", "show", "tiny")[1]


def test_draft_predicts_with_ngrams_like_the_model(run, folder):
    model = load()
    draft = Draft(
        model.predictor_for(with_counts=True), SampleConfig(), generator=np.random.default_rng(0)
    )
    for char in "the quick brown ":
        draft.insert(char)
        while draft.work():
            pass
    expected = model.ladder("the quick brown ", with_counts=True)
    found = draft.ladder()
    assert found[-1][1].next[0].char == "f"
    for (num_context, prediction), other in zip(found, expected, strict=True):
        assert num_context == other.num_context
        bits = other.prediction.entropy_bits
        assert prediction.entropy_bits == pytest.approx(bits, abs=1e-4)


@pytest.mark.parametrize("is_known", [False, True])
def test_stdin_is_not_recognized_by_its_name(run, is_known):
    own, other = "the quick brown fox. " * 90, "brown quick fox, the the. " * 90
    run.pipe_in(own.encode())
    run.train("-", "--steps", 2)
    run.pipe_in((own if is_known else other).encode())
    _, err = run.works("eval", "-")
    assert ("% of the text is also in stdin's training text" in err) == is_known
