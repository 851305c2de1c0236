import json

import pytest

SMALL = ["--hidden-size", 8, "--threads", 1]


def test_compare_shows_all_cells(run, corpus_file, here):
    out, err = run.works("compare", corpus_file, "--steps", 3, *SMALL, "--plot", "cells.svg")
    for cell in ("lstm", "gru", "rnn"):
        assert f"{cell}: " in err
        assert cell in out
    assert "order 0" in out
    assert "cells.svg: written" in err
    assert b"<svg" in (here / "cells.svg").read_bytes()
    result = run.json("compare", corpus_file, "--steps", 3, *SMALL, "--seeds", 1)
    assert [one["cell"] for one in result["cells"]] == ["lstm", "gru", "rnn"]
    kept = [[each["kept_as"] for each in one["runs"]] for one in result["cells"]]
    assert kept == [[None]] * 3
    assert not (here / "checkpoints").exists()


def test_compare_accepts_reading_options_of_train(run, here):
    text = "caf\u00e9 au lait, th\u00e9 au citron\r\n" * 300
    (here / "old.txt").write_bytes(text.encode("latin-1"))
    command = ["compare", "old.txt", "--steps", 2, *SMALL, "--seeds", 1]
    assert "use --encoding cp1252" in run.fails(1, *command)
    _, err = run.works(*command, "--encoding", "cp1252", "--split-documents", "lines")
    assert "old.txt: CR and CRLF line ends became LF" in err


def test_compare_keep_creates_runs(run, corpus_file, here):
    out, err = run.works(
        "compare", corpus_file.name, "--steps", 3, *SMALL, "--seeds", 2, "--json", "--keep"
    )
    cells = json.loads(out)["cells"]
    assert [[one["kept_as"] for one in cell["runs"]] for cell in cells] == [
        ["tiny-lstm", "tiny-lstm-2"], ["tiny-gru", "tiny-gru-2"], ["tiny-rnn", "tiny-rnn-2"]
    ]  # fmt: skip
    assert "; kept as tiny-gru, tiny-gru-2\n" in err
    corpus_file.unlink()  # the store has a copy
    found = run.json("eval", "--run", "tiny-gru-2")
    assert found["bits_per_char"] == pytest.approx(cells[1]["runs"][1]["bits_per_char"])
    assert len(run("sample", "--run", "tiny-rnn", "--length", 5, "--seed", 1)[1]) == 6
    shown = run.json("runs", "show", "tiny-lstm-2")
    assert (shown["step"], shown["is_finished"]) == (3, True)
    assert shown["settings"]["train"]["seed"] == 1
    assert any(entry["val_bits_per_char"] for entry in shown["history"])
    _, err = run.works("train", "--resume", "--run", "tiny-lstm", "--steps", 5)
    assert "resumed at step 3" in err


def test_compare_keep_checks_store_before_training(run, corpus_file, here):
    (here / "checkpoints").write_text("no folder")
    err = run.fails(1, "compare", corpus_file, "--keep")
    assert err.count("\n") == 1
    assert "give --keep or --recall, not both" in run.fails(2, "compare", "--recall", "--keep")


def test_interrupted_compare_shows_partial_results(run, corpus_file, here, monkeypatch):
    from charlstm.analysis import comparison

    original = comparison.trained_model
    cells = []

    def interrupted(model, *arguments, **options):
        cells.append(model.cell)
        if len(cells) > 1:
            raise KeyboardInterrupt
        return original(model, *arguments, **options)

    monkeypatch.setattr(comparison, "trained_model", interrupted)
    command = ["compare", corpus_file, "--steps", 3, *SMALL, "--seeds", 1, "--json"]
    code, out, _ = run(*command, "--plot", "cells.svg")
    assert code == 130
    assert (here / "cells.svg").is_file()
    assert [one["cell"] for one in json.loads(out)["cells"]] == ["lstm"]
    assert run(*command)[:2] == (130, "")


def test_compare_recall_generates_its_text(run, here, monkeypatch):
    from charlstm.analysis import recall

    monkeypatch.setattr(recall, "RECALL_DISTANCES", (2, 4))
    monkeypatch.setattr(recall, "_NUM_DOCUMENTS", 50)
    monkeypatch.setattr(recall, "_NUM_TEST_DOCUMENTS", 20)
    command = ["compare", "--recall", "--steps", 2, *SMALL, "--seeds", 1]
    assert "chance is 12%" in run(*command, "--plot", "recall.svg")[1]
    assert b"<svg" in (here / "recall.svg").read_bytes()
    result = run.json(*command)
    assert [one["cell"] for one in result["recall"]] == ["lstm", "gru", "rnn"]
    assert all(set(one["accuracy"]) == {"2", "4"} for one in result["recall"])
    assert run("compare", "text.txt", "--recall")[0] == 2


def test_too_little_memory_is_said_before_the_first_step(run, corpus_file, monkeypatch):
    from charlstm.training import hardware

    monkeypatch.setattr(hardware, "available_bytes", lambda: 1 << 30)
    assert "GB are free" in run.fails(1, "compare", corpus_file, "--hidden-size", 17_000)


def test_compare_with_run_names_suggests_other_commands(run, trained, stored):
    err = run.fails(2, "compare", "tiny", "--steps", 1)
    assert "tiny: is a run" in err
    assert "runs show tiny" in err
    trained("two", "--steps", 4)
    assert "eval --run tiny --against two" in run.fails(2, "compare", "tiny", "two", "--steps", 1)
    assert run("compare", "nothing", "--steps", 1)[0] == 1
