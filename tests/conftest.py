"""A tiny text, a tiny model and runs made from them."""

import builtins
import functools
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

# The models here are too small for two threads to share, and the tests run in parallel. Processes
# that tests start inherit it; torch reads it when it is imported.
os.environ["OMP_NUM_THREADS"] = "1"
# Otherwise Python flushes for the program, which hides a missing flush.
os.environ.pop("PYTHONUNBUFFERED", None)

import hypothesis
import pytest

from charlstm.cli import main
from charlstm.config import Budget, ReadingConfig, TrainConfig
from charlstm.evaluation.scores import Evaluation
from charlstm.inference.predictor import Predictor
from charlstm.model.checkpoints import Checkpoint, RunSpec, read_checkpoint
from charlstm.model.config import ModelConfig
from charlstm.run.store import CheckpointStore
from charlstm.system.interrupts import has_torch
from charlstm.text.corpus import load_corpus
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import Vocabulary

# Tests must not fail on a busy machine.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

_NO_TORCH = "torch isn't installed"
if has_torch():
    import torch
else:
    # If a test module, a fixture or a command imports torch, its tests are skipped.
    def _import(name, *arguments, _import=builtins.__import__, **options):
        if name.partition(".")[0] == "torch":
            pytest.skip(_NO_TORCH, allow_module_level=True)
        return _import(name, *arguments, **options)

    builtins.__import__ = _import

TEXT = "the quick brown fox jumps over the lazy dog.\nquiet queens quote quick quips.\n" * 30

HOSTILE = "\x00\x07\x1b'\"&<>/\\`scriptx!-[]{}$\u2028\u2029\ufeff\ud800\U0001f600\u202e\u0301e"

posix = pytest.mark.skipif(os.name == "nt", reason="devices, pipes, links and modes of POSIX")


def raising(error):
    """Return a function that accepts any arguments and raises the error."""

    def fail(*_arguments, **_options):
        raise error

    return fail


DISK_FULL = OSError(28, "No space left on device")

# The fixture `checkpoint` for environments without torch; test_golden.py keeps it up to date.
TINY = Path(__file__).parent / "model" / "golden" / "tiny.safetensors"

# Options for a training that takes a moment.
SMALL = ["--hidden-size", "8", "--num-layers", "1", "--batch-size", "4", "--seq-len", "16"]
SMALL += ["--threads", "1", "--precision", "float32"]

MODEL = ModelConfig(
    num_characters=28,
    embedding_size=5,
    hidden_size=8,
    num_layers=2,
    cell="lstm",
)
TRAIN = TrainConfig(
    batch_size=4,
    seq_len=16,
    learning_rate=0.02,
    weight_decay=0.1,
    reset_probability=0.1,
    num_evaluations=3,
    seed=1,
    threads=1,
    device="cpu",
    precision="float32",
)


def with_spec(checkpoint, **changes):
    """Return a checkpoint with changed settings."""
    own = {name: changes.pop(name) for name in [*changes] if hasattr(checkpoint, name)}
    return replace(checkpoint, spec=replace(checkpoint.spec, **changes), **own)


def with_vocabulary(checkpoint, characters, *, cell="lstm", hidden_size=8, **corpus):
    """Return an untrained model with weights large enough for distinct predictions."""
    from charlstm.model.lstm import CharLSTM

    vocabulary = Vocabulary("".join(sorted(set(characters))))
    config = replace(MODEL, num_characters=len(vocabulary), cell=cell, hidden_size=hidden_size)
    model = CharLSTM(config, generator=torch.Generator().manual_seed(3))
    for parameter in model.parameters():
        parameter.data.mul_(2)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(4))
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    return with_spec(
        checkpoint,
        model_config=config,
        vocabulary=vocabulary,
        weights=weights,
        corpus=replace(checkpoint.spec.corpus, **corpus),
    )


def tokenizer_of(vocabulary, *, unknown_probability=1e-4, **reading):
    return CharTokenizer(
        vocabulary=vocabulary,
        config=ReadingConfig(**reading),
        num_train_chars=round(1 / unknown_probability) - 1,
    )


def evaluate(model, split):
    """Return the evaluation that users get."""
    from charlstm.evaluation.scoring import score

    return Evaluation.of_scores(split, score(model, split))


def network_of(checkpoint):
    """Return a checkpoint's torch module."""
    from charlstm.model.lstm import CharLSTM

    network = CharLSTM(
        checkpoint.spec.model_config,
        unknown_probability=checkpoint.spec.tokenizer.unknown_probability,
    )
    network.load_arrays(checkpoint.weights)
    return network


@pytest.fixture(scope="session")
def vocabulary():
    return Vocabulary.of(TEXT)


@pytest.fixture(scope="session")
def split(vocabulary):
    return EncodedText.of([TEXT], vocabulary)


@pytest.fixture(scope="session")
def make_trainer(split):
    """Return a function (budget, changes of TRAIN, other options) -> Trainer on the tiny text."""
    from charlstm.training.trainer import Resume, Trainer

    def make(*, steps=12, budget=None, model=MODEL, resume=None, options=None, **changes):
        return Trainer(
            replace(model, num_characters=int(split.ids.max())),
            replace(TRAIN, **changes),
            budget or Budget(steps=steps),
            start=None if resume is None else Resume(weights=resume[0], state=resume[1]),
            **{"train": split, "val": split} | (options or {}),
        )

    return make


@pytest.fixture(scope="session")
def checkpoint(request, vocabulary, split):
    """Return the checkpoint of a short run, or without torch the one on file."""
    if not has_torch():
        return read_checkpoint(TINY)
    trainer = request.getfixturevalue("make_trainer")(steps=4)
    for _ in trainer.run():
        pass
    return Checkpoint(
        spec=RunSpec(
            model_config=trainer.model.config,
            train_config=TRAIN,
            budget=Budget(steps=4),
            corpus=ReadingConfig(paths=("/somewhere/tiny.txt",)),
            corpus_name="tiny",
            fingerprint="f" * 64,
            num_train_chars=split.num_chars,
            vocabulary=vocabulary,
        ),
        weights=trainer.weights(),
        step=4,
        history=({"step": 4, "val_bits_per_char": 3.5},),
        is_finished=True,
        saved_at=1000.0,
        training=trainer.state_dict(),
    )


@pytest.fixture(scope="session")
def predictor(checkpoint):
    return Predictor(checkpoint)


@pytest.fixture
def corpus_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Change to an empty folder and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_run(checkpoint, name="tiny"):
    """Save a checkpoint as the best and the last one of a run in the working folder's store."""
    with CheckpointStore(Path("checkpoints")).run(name).writer() as writer:
        writer.save_best(replace(checkpoint, training=None))
        writer.save_last(checkpoint)


@pytest.fixture
def stored(here, checkpoint, corpus_file):
    """Return a store with one trained run and its corpus."""
    config = ReadingConfig(paths=(str(corpus_file),))
    fingerprint = load_corpus(config).fingerprint
    checkpoint = with_spec(checkpoint, corpus=config, fingerprint=fingerprint)
    save_run(checkpoint)
    return checkpoint


@pytest.fixture
def charlstm(tmp_path):
    """Return a function that runs the program in its own process and folder."""

    def run(*arguments, check=True, stdin=b"", environment=None, **options):
        result = subprocess.run(
            [sys.executable, "-m", "charlstm", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            timeout=120,
            check=False,
            env={**os.environ, **(environment or {})},
            **options,
        )
        if not has_torch() and b"needs PyTorch" in result.stderr:
            pytest.skip(_NO_TORCH)
        if check:
            assert result.returncode == 0, result.stderr.decode()
        return result

    return run


class Program:
    """Function that runs commands in this process."""

    def __init__(self, capsys, monkeypatch):
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments):
        """Return (exit code, stdout, stderr)."""
        code = main([str(argument) for argument in arguments])
        return code, *self._capsys.readouterr()

    def works(self, *arguments):
        """Return (stdout, stderr) of a command that must succeed."""
        code, out, err = self(*arguments)
        assert code == 0, err
        return out, err

    def train(self, *arguments):
        """Train a tiny model and return (stdout, stderr)."""
        return self.works("train", *arguments, *SMALL)

    def stdout(self, *arguments):
        """Return the stdout of a command that must succeed, with nothing on stderr."""
        out, err = self.works(*arguments)
        assert err == ""
        return out

    def json(self, *arguments):
        """Return a command's parsed --json output."""
        return json.loads(self.works(*arguments, "--json")[0])

    def json_lines(self, *arguments):
        """Return the parsed lines of a command's --json output."""
        return [json.loads(line) for line in self.works(*arguments, "--json")[0].splitlines()]

    def fails(self, code, *arguments):
        """Return the message of a command that must fail without output on stdout."""
        result = self(*arguments)
        assert result[:2] == (code, ""), result
        return result[2]

    def rejects(self, *arguments):
        """Return the message of a command that must fail with 1 or 2, without output on stdout."""
        code, out, err = self(*arguments)
        assert code in (1, 2), (code, out)
        assert out == ""
        return err

    def pipe_in(self, data):
        """Let the next command read these bytes from stdin."""
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.fixture
def run(here, capsys, monkeypatch):
    return Program(capsys, monkeypatch)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """Return a function (run, options, text) -> folder of the run, trained at the first call."""

    @functools.cache
    def train(name, *options, text=TEXT):
        folder = tmp_path_factory.mktemp(name)
        (folder / f"{name}.txt").write_text(text)
        store = folder / "checkpoints"
        arguments = ["train", str(folder / f"{name}.txt"), "--checkpoints", str(store)]
        assert main([*arguments, *options, *SMALL]) == 0
        return store / name

    return train


@pytest.fixture
def trained(trained_once, here, capsys):
    """Return a function that copies a run of `trained_once` to the store in the working folder."""

    def copy(name, *options, text=TEXT):
        folder = trained_once(name, *map(str, options), text=text)
        shutil.copytree(folder, here / "checkpoints" / name)
        capsys.readouterr()

    return copy


@pytest.fixture
def two_runs(trained):
    """Provide two runs of the tiny text, `one` with more steps than `two`."""
    trained("one", "--steps", 30)
    trained("two", "--steps", 4)


@pytest.fixture
def known_names(trained):
    """Provide a run `names` that has memorized four names."""
    options = ["--split-documents", "lines", "--steps", 200, "--learning-rate", 0.02]
    trained("names", *options, text="anna\nberta\nclara\ndora\n" * 60)
