"""The model that comes with the package speaks on a fresh machine, and only by its name."""

from conftest import SMALL

import charlstm
from charlstm.run import store
from charlstm.system import layout


def test_it_speaks_without_a_store(run, here):
    code, out, err = run("sample", "--run", "example", "--prime", "ROMEO:", "--seed", 1)
    assert (code, err) == (0, "")
    assert out.startswith("ROMEO:")
    assert out.count(":") > 2
    assert not (here / "checkpoints").exists()
    likely = dict(charlstm.load("example").predict("q").next[:1])
    assert likely.keys() == {"u"}
    run.works("predict", "qu", "--run", "example")
    run.works("inspect", "O Romeo", "--gates", "--run", "example")


def test_it_scores_any_text_and_says_that_its_own_is_not_there(run, here):
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
        assert "the example comes without its text: name another text, or train" in run.fails(
            1, *asks, "--run", "example"
        )


def test_it_is_never_taken_unasked(run, here, corpus_file):
    assert "--run example" in run.fails(1, "sample")
    assert "example" not in run("runs")[1]
    assert "is reserved for charlstm's example model" in run.fails(
        1, "train", corpus_file, "--run", "example", "--steps", 2, *SMALL
    )
    assert "run example" in run("runs", "show", "example")[1]


def test_it_is_small_and_tells_no_path():
    path = store.Path(store.__file__).parent / layout.EXAMPLE_FILE
    data = path.read_bytes()
    assert len(data) < 1_000_000
    assert b"/home" not in data
    assert b"/tmp" not in data
