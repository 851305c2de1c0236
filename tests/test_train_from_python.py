"""Tests of `charlstm.train`: options, runs and errors."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import charlstm
from charlstm.errors import CharLSTMError, ConfigError, CorpusError
from charlstm.run.store import CheckpointStore

SMALL = {"hidden_size": 8, "num_layers": 1, "embedding_size": 5, "batch_size": 4, "seq_len": 16}
TEXT = "the quick brown fox jumps over the lazy dog. " * 20


@pytest.fixture
def train(here):
    """Return a function (options) -> tiny model, without a progress bar."""

    def trained(*corpus, **options):
        return charlstm.train(*corpus, **{"steps": 3, "progress": False} | SMALL | options)

    return trained


def flags(**options):
    """Return options of charlstm.train as arguments of the command."""
    return [
        part
        for name, value in (SMALL | options).items()
        for part in (f"--{name.replace('_', '-')}", value)
    ]


def test_train_creates_the_same_run_as_the_command(train, run, corpus_file):
    model = train(corpus_file, seed=3, run="ours")
    run.works("train", corpus_file, "--run", "theirs", *flags(steps=3, seed=3))
    theirs = CheckpointStore(model.path.parent.parent).run("theirs").best().checkpoint
    for name, value in theirs.weights.items():
        np.testing.assert_array_equal(model.checkpoint.weights[name], value)
    assert theirs.spec.to_plain() == model.checkpoint.spec.to_plain()
    assert [one["name"] for one in charlstm.runs()] == ["ours", "theirs"]
    listed = run.json("runs")
    assert [one | {"saved_at": 0} for one in listed] == [
        one | {"saved_at": 0} for one in charlstm.runs()
    ]


def test_train_limits_spinning_of_idle_threads(train, corpus_file, monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    train(corpus_file)
    assert (os.environ["GOMP_SPINCOUNT"], os.environ["OPENBLAS_NUM_THREADS"]) == ("3000", "1")


def test_train_has_every_option_of_the_command():
    import inspect

    from charlstm.commands.train import train as command

    options = set(inspect.signature(charlstm.train).parameters)
    wanted = set(inspect.signature(command).parameters)
    assert wanted - options <= {"context", "as_json", "quiet", "tensorboard"}
    assert options - wanted == {"text", "documents", "progress", "on_report"}


def test_a_text_in_memory(train):
    model = train(text=TEXT.replace(" ", "\r\n"))
    assert "\r" not in model.tokenizer.vocabulary.characters
    assert model.corpus().train.num_chars == 810
    assert model.name == "text"
    with pytest.warns(UserWarning, match="copy of its text"):
        again = train(resume=True, steps=5)
    assert again.checkpoint.step == 5
    assert train(text=TEXT).name == "text-2"
    assert train(text="\xe9" * 99, level="byte").tokenizer.is_byte


def test_documents_in_memory_are_separate(train):
    names = train(documents=(name for name in ["anna", "otto", "hannah"] * 50))
    assert names.tokenizer.documents_are_lines
    assert len(names.corpus().train.starts) == 135
    poems = train(documents=["a\nb", "ba\n", "ab\nba"] * 50)
    assert not poems.tokenizer.documents_are_lines
    assert poems.tokenizer.eos is not None
    assert len(poems.corpus().train.starts) == 135


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"text": ""}, CorpusError, "empty"),
        ({"documents": []}, CorpusError, "empty"),
        ({"documents": iter(())}, CorpusError, "empty"),
        ({"text": "ab", "documents": ["ab"]}, ConfigError, "not both"),
        ({"documents": "abc"}, ConfigError, "single string"),
        ({"documents": ["ab"], "split_documents": "lines"}, ConfigError, "already split"),
        ({"text": TEXT, "minutes": 1}, ConfigError, "--minutes or --steps"),
        ({"text": TEXT, "val": "a.txt", "val_fraction": 0.1}, ConfigError, "not both"),
        ({"text": TEXT, "hidden_size": 0}, ConfigError, "--hidden-size"),
        ({"resume": True, "run": "absent"}, CharLSTMError, "absent"),
        ({"resume": True, "text": TEXT}, ConfigError, "has its own text"),
        ({"text": TEXT.encode()}, ConfigError, "must be a string"),
        ({"documents": ["a", 3]}, ConfigError, "must be strings"),
        ({"text": TEXT, "include": "*.txt"}, ConfigError, "list of patterns"),
        ({"text": TEXT, "split_documents": "line"}, ConfigError, "neither lines"),
        ({"text": TEXT, "on_report": 3}, ConfigError, "callable"),
        ({"text": TEXT, "checkpoints": __file__}, CharLSTMError, "not a folder"),
    ],
)
def test_train_raises_the_errors_of_the_command(train, here, options, error, words):
    with pytest.raises(error, match=words):
        train(**options)
    assert not list(here.glob("checkpoints/*/*.safetensors"))


def test_reports_match_json(train, corpus_file, run):
    reports = []
    train(corpus_file, on_report=reports.append)
    theirs = run.json_lines("train", corpus_file, *flags(steps=3))
    assert [one["event"] for one in reports] == [one["event"] for one in theirs]
    assert [sorted(one) for one in reports] == [sorted(one) for one in theirs]
    json.dumps(reports, allow_nan=False)


def test_train_only_prints_the_bar(train, corpus_file, capfd):
    train(corpus_file)
    assert capfd.readouterr() == ("", "")
    train(corpus_file, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err
    assert "chars/s" in err


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_interrupt_saves_and_returns_the_model(train, corpus_file):
    reports = []

    def interrupt(report):
        reports.append(report)
        if report["event"] == "evaluated":
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    model = train(corpus_file, steps=100_000, on_report=interrupt)
    assert 0 < model.checkpoint.step < 100_000
    assert reports[-1]["was_interrupted"]
    assert signal.getsignal(signal.SIGINT) is before
    more = train(resume=True, steps=100_000, on_report=interrupt)
    assert more.checkpoint.step > model.checkpoint.step


def test_train_works_in_another_thread(train, corpus_file):
    with ThreadPoolExecutor() as threads:
        assert threads.submit(train, corpus_file).result().checkpoint.step == 3


def test_finished_run_is_returned_with_a_warning(train, corpus_file):
    first = train(corpus_file)
    assert train(resume=True, steps=None).checkpoint.step == first.checkpoint.step


@pytest.mark.slow
def test_thread_waiting_is_configured_before_torch_is_loaded(tmp_path):
    program = (
        "import charlstm, os, sys\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "charlstm.train(text='the quick brown fox ' * 99, steps=1, hidden_size=4, progress=False)\n"
        "print(os.environ['GOMP_SPINCOUNT'], os.environ['OPENBLAS_NUM_THREADS'])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert found.stdout.split() == ["3000", "1"]


def test_callbacks_cannot_change_the_history(train):
    def spoil(report):
        report.clear()
        report["other"] = object()

    assert train(text=TEXT, on_report=spoil).history[-1]["val_bits_per_char"] > 0
