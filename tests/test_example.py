"""Tests of the bundled example model."""

from conftest import SMALL

import charlstm
from charlstm.run import store
from charlstm.system import run_files


def test_example_samples_without_a_store(run, here):
    out = run.stdout("sample", "--run", "example", "--prime", "ROMEO:", "--seed", 1)
    assert out.startswith("ROMEO:")
    assert out.count(":") > 2
    assert not (here / "checkpoints").exists()
    likely = dict(charlstm.load("example").predict("q").next[:1])
    assert likely.keys() == {"u"}
    run.works("predict", "qu", "--run", "example")
    run.works("inspect", "O Romeo", "--gates", "--run", "example")


def test_example_scores_any_text_but_its_own(run, here):
    (here / "a.txt").write_text("To be, or not to be, that is the question.\n" * 3)
    record = run.json("eval", "a.txt", "--run", "example")
    assert record["bits_per_char"] < 3
    for asks in (
        ["eval"],
        ["inspect"],
        ["sample", "--with-counts"],
        ["sample", "--check-copying", "--length", 5],
        ["predict", "q", "--with-counts"],
    ):
        assert "the example comes without its text; models that you train have theirs" in run.fails(
            1, *asks, "--run", "example"
        )


def test_example_is_never_the_default(run, here, corpus_file):
    assert "--run example" in run.fails(1, "sample")
    assert "example" not in run("runs")[1]
    assert "is reserved for charlstm's example model" in run.fails(
        1, "train", corpus_file, "--run", "example", "--steps", 2, *SMALL
    )
    assert "run example" in run("runs", "show", "example")[1]


def test_example_is_small_and_contains_no_path():
    path = store.Path(store.__file__).parent / run_files.EXAMPLE_FILE
    data = path.read_bytes()
    assert len(data) < 1_000_000
    assert b"/home" not in data
    assert b"/tmp" not in data
