import json


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


def test_compare_reads_what_train_can(run, here):
    text = "caf\u00e9 au lait, th\u00e9 au citron\n" * 300
    (here / "old.txt").write_bytes(text.encode("latin-1"))
    small = ["--steps", 2, "--hidden-size", 8, "--threads", 1, "--seeds", 1]
    code, out, err = run("compare", "old.txt", *small)
    assert (code, out) == (1, "")
    assert "give --encoding cp1252" in err
    options = ["--encoding", "cp1252", "--split-documents", "lines"]
    assert run("compare", "old.txt", *small, *options)[0] == 0


def test_an_interrupted_comparison_shows_what_it_has(run, corpus_file, monkeypatch):
    from charlstm.analysis import comparison

    original = comparison.trained_model
    cells = []

    def interrupted(model, *arguments, **options):
        cells.append(model.cell)
        if len(cells) > 1:
            raise KeyboardInterrupt
        return original(model, *arguments, **options)

    monkeypatch.setattr(comparison, "trained_model", interrupted)
    small = ["--steps", 3, "--hidden-size", 8, "--threads", 1, "--seeds", 1, "--json"]
    code, out, _ = run("compare", corpus_file, *small)
    assert code == 130
    assert [one["cell"] for one in json.loads(out)["cells"]] == ["lstm"]
    assert run("compare", corpus_file, *small)[:2] == (130, "")


def test_compare_recall_makes_its_own_text(run, here, monkeypatch):
    from charlstm.analysis import recall

    monkeypatch.setattr(recall, "RECALL_DISTANCES", (2, 4))
    monkeypatch.setattr(recall, "_NUM_DOCUMENTS", 50)
    monkeypatch.setattr(recall, "_NUM_TEST_DOCUMENTS", 20)
    small = ["--recall", "--steps", 2, "--hidden-size", 8, "--threads", 1, "--seeds", 1]
    assert "chance is 12%" in run("compare", *small, "--plot", "recall.svg")[1]
    assert b"<svg" in (here / "recall.svg").read_bytes()
    result = json.loads(run("compare", *small, "--json")[1])
    assert [one["cell"] for one in result["recall"]] == ["lstm", "gru", "rnn"]
    assert all(set(one["accuracy"]) == {"2", "4"} for one in result["recall"])
    assert run("compare", "text.txt", "--recall")[0] == 2


def test_too_little_memory_is_said_before_the_first_step(run, corpus_file, monkeypatch):
    from charlstm.training import hardware

    monkeypatch.setattr(hardware, "available_bytes", lambda: 1 << 30)
    code, _, err = run("compare", corpus_file, "--hidden-size", 17_000)
    assert code == 1
    assert "GB are free" in err
