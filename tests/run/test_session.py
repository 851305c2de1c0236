import numpy as np
import pytest
from conftest import SMALL

import charlstm
from charlstm.evaluation import scoring
from charlstm.run.writer import RunWriter
from charlstm.system import run_files
from charlstm.training.trainer import Trainer


def test_weights_are_copied_once_per_event(run, corpus_file, monkeypatch):
    steps = []
    weights = Trainer.weights

    def counted(self):
        steps.append(self.step)
        return weights(self)

    monkeypatch.setattr(Trainer, "weights", counted)
    run.works("train", corpus_file, "--steps", 8, *SMALL)
    # Started, four evaluations including the final one, finished.
    assert steps == [0, 2, 4, 6, 8, 8]


def test_saved_model_reaches_the_reported_validation_loss(run, corpus_file, here, monkeypatch):
    """The saved head is divided by the temperature that the loss was measured with."""
    monkeypatch.setattr(scoring, "_TEMPERATURES", (1.5,))
    monkeypatch.setattr(scoring, "_MIN_CALIBRATION_CHARS", 1)
    run.works("train", corpus_file, "--steps", 30, "--run", "one", *SMALL)
    model = charlstm.load("one")
    found = model.evaluate("val").bits_per_char
    assert found == pytest.approx(model.checkpoint.best_val_bits_per_char, rel=1e-4)
    # Training continues with the weights as they were.
    last = charlstm.load(checkpoint="checkpoints/one/last.safetensors").checkpoint
    assert last.step == model.checkpoint.step
    for name, value in last.weights.items():
        scale = 1.5 if name.startswith("head.") else 1.0
        np.testing.assert_allclose(value, model.checkpoint.weights[name] * scale, rtol=1e-6)


def test_equal_runs_have_equal_previews_and_one_copy_of_the_text(run, corpus_file, here):
    for name in ("one", "two"):
        run.works("train", corpus_file, "--steps", 4, "--run", name, *SMALL)
    one, two = (
        [entry["sample"] for entry in charlstm.load(name).history] for name in ("one", "two")
    )
    assert one == two
    assert len(set(one)) > 1
    # They share one copy of the text.
    first, second = (here / "checkpoints" / name / run_files.TEXT_IDS for name in ("one", "two"))
    assert first.samefile(second)


def test_earlier_checkpoints_are_kept_until_the_run_is_finished(
    run, corpus_file, here, monkeypatch
):
    kept = []
    drop_kept = RunWriter.drop_kept

    def dropped(self):
        kept.extend(sorted(file.name for file in self.folder.glob("step-*")))
        drop_kept(self)
        kept.append(len(list(self.folder.glob("step-*"))))

    monkeypatch.setattr(RunWriter, "drop_kept", dropped)
    run.works("train", corpus_file, "--steps", 8, *SMALL)
    assert kept == [*(f"step-{step:08d}.safetensors" for step in (4, 6, 8)), 0]


def test_given_number_of_threads_is_kept(run, corpus_file, here):
    for name, options in (("given", SMALL), ("free", SMALL[: SMALL.index("--threads")])):
        run.works(
            "train", corpus_file, "--minutes", "1s", "--device", "cpu", "--run", name, *options
        )
        assert charlstm.load(name).checkpoint.spec.train_config.adapts_threads == (name == "free")
