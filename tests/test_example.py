"""The model that comes with the package speaks on a fresh machine, and only by its name."""

import json

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
    assert run("predict", "qu", "--run", "example")[0] == 0
    assert run("inspect", "O Romeo", "--gates", "--run", "example")[0] == 0


def test_it_scores_any_text_and_says_that_its_own_is_not_there(run, here):
    (here / "a.txt").write_text("To be, or not to be, that is the question.\n" * 3)
    record = json.loads(run("eval", "a.txt", "--run", "example", "--json")[1])
    assert record["bits_per_char"] < 3
    for asks in (
        ["eval"],
        ["inspect"],
        ["sample", "--with-counts"],
        ["sample", "--check-copying", "--length", 5],
        ["predict", "q", "--with-counts"],
    ):
        code, _, err = run(*asks, "--run", "example")
        assert code == 1
        assert "the example comes without its text: name another text, or train" in err


def test_it_is_never_taken_unasked(run, here, corpus_file):
    code, _, err = run("sample")
    assert code == 1
    assert "--run example" in err
    assert "example" not in run("runs")[1]
    code, _, err = run("train", corpus_file, "--run", "example", "--steps", 2, *SMALL)
    assert code == 1
    assert "is the model that comes with charlstm" in err
    assert "run example" in run("runs", "show", "example")[1]


def test_it_is_small_and_tells_no_path():
    path = store.Path(store.__file__).parent / layout.EXAMPLE_FILE
    data = path.read_bytes()
    assert len(data) < 1_000_000
    assert b"/home" not in data
    assert b"/tmp" not in data
