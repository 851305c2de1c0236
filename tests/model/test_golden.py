"""Tests on stored checkpoint files, to detect unintended changes of the format.

After a deliberate change, run `python tests/model/golden/make.py` and copy its scores here.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXT, TINY

import charlstm
from charlstm.model.checkpoints import FORMAT_VERSION, read_checkpoint

FOLDER = Path(__file__).parent / "golden"
# Bits per character of "the quick brown fox\n".
SCORES = {
    "lstm": 4.690818134357502,
    "gru": 4.4749673355929,
    "rnn": 4.3799698806750875,
    "list": 4.698197118785831,
    "bytes": 4.6834890420961885,
}


def path_of(name):
    return FOLDER / f"{name}.safetensors"


@pytest.mark.parametrize("name", SCORES)
def test_golden_file_round_trips_byte_for_byte(name):
    checkpoint = read_checkpoint(path_of(name))
    assert checkpoint.to_bytes() == path_of(name).read_bytes()
    assert FORMAT_VERSION == 2


@pytest.mark.parametrize("name", SCORES)
def test_golden_model_scores_are_unchanged(name):
    model = charlstm.load(checkpoint=path_of(name))
    assert model.score("the quick brown fox\n").bits_per_char == pytest.approx(
        SCORES[name], abs=1e-6
    )


def test_stored_tiny_checkpoint_matches_training(checkpoint):
    kept = read_checkpoint(TINY)
    hint = "write it again: TINY.write_bytes(checkpoint.to_bytes())"
    assert kept.spec.to_plain() == checkpoint.spec.to_plain(), hint
    assert kept.training.arrays.keys() == checkpoint.training.arrays.keys()
    assert kept.training.numbers.keys() == checkpoint.training.numbers.keys()
    for name, value in checkpoint.weights.items():
        np.testing.assert_allclose(kept.weights[name], value, atol=1e-4)


def test_golden_files_keep_user_settings():
    spec = read_checkpoint(path_of("list")).spec
    assert (spec.reading.split_documents, spec.settings.steps) == ("lines", 6)
    assert (spec.settings.dropout, spec.settings.cell, spec.settings.minutes) == (None, None, None)
    assert read_checkpoint(path_of("gru")).spec.settings.cell == "gru"
    assert read_checkpoint(path_of("bytes")).spec.reading.level == "byte"


def test_golden_run_resumes_with_unchanged_losses(run, here):
    folder = here / "checkpoints" / "old"
    folder.mkdir(parents=True)
    shutil.copy(path_of("lstm"), folder / "last.safetensors")
    (here / "tiny.txt").write_text(TEXT, encoding="utf-8")
    arguments = ["train", "tiny.txt", "--resume", "--run", "old", "--steps", 12, "--json"]
    code, out, err = run(*arguments)
    assert code == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    bits = [entry["val_bits_per_char"] for entry in records if entry["event"] == "evaluated"]
    assert bits == pytest.approx([4.520030668624254, 4.455463533358732], abs=1e-6)
