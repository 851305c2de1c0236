import json
import os
from dataclasses import replace

import numpy as np
import pytest
from conftest import posix, with_spec

from charlstm.cli import main
from charlstm.errors import CharLSTMError
from charlstm.export.hub import export_folder
from charlstm.model.checkpoints import read_checkpoint
from charlstm.model.config import ModelConfig


def test_hub_folder_round_trips(model, tmp_path, capsys):
    folder = tmp_path / "folder" / "inner"
    export_folder(model, folder, name="a run")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "vocab.json",
    ]  # fmt: skip
    again = read_checkpoint(folder / "model.safetensors")
    for name, value in model.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    fields = {name: config[name] for name in ModelConfig.__dataclass_fields__}
    assert ModelConfig(**fields) == model.spec.model_config
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    assert "".join(map(chr, vocabulary["code_points"])) == model.spec.vocabulary.characters
    card = (folder / "README.md").read_text("utf-8")
    assert model.spec.fingerprint in card
    assert "3.5000 bits per character" in card
    export_folder(model, folder, name="a run")
    with pytest.raises(CharLSTMError, match="read by the same command"):
        export_folder(model, folder, name="a run", inputs=[folder / "README.md"])
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(CharLSTMError, match="not an export of charlstm"):
        export_folder(model, folder, name="a run")
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(CharLSTMError, match="not an export of charlstm"):
        export_folder(model, other, name="a run")
    assert (other / "README.md").read_text("utf-8") == "mine"
    file = str(folder / "model.safetensors")
    assert main(["sample", "--checkpoint", file, "--length", "20", "--seed", "1"]) == 0
    assert len(capsys.readouterr().out) == 21


def test_card_only_has_scores_of_its_weights(checkpoint, tmp_path):
    measured = {"step": checkpoint.step, "val_bits_per_char": 2.5}
    best = replace(checkpoint, training=None, history=(measured,))
    card = tmp_path / "best" / "README.md"
    export_folder(best, card.parent, name="best")
    assert "2.5000 bits per character on the validation" in card.read_text("utf-8")
    for other in (replace(best, step=99), replace(checkpoint, history=(measured,))):
        export_folder(other, card.parent, name="best")
        assert "Evaluation: not measured" in card.read_text("utf-8")


def test_export_contains_no_local_paths(checkpoint, tmp_path):
    corpus = replace(checkpoint.spec.corpus, paths=("/home/me/secret/a.txt", "-"), val="/x/b.txt")
    export_folder(with_spec(checkpoint, corpus=corpus), tmp_path / "hub", name="mine")
    for file in (tmp_path / "hub").iterdir():
        assert b"secret" not in file.read_bytes(), file
    again = read_checkpoint(tmp_path / "hub/model.safetensors")
    assert (again.spec.corpus.paths, again.spec.corpus.val) == (("a.txt", "-"), "b.txt")


def test_card_escapes_names(checkpoint, tmp_path):
    hostile = with_spec(checkpoint, corpus_name="<img src=x onerror=alert(1)>\n# [a](b)")
    export_folder(hostile, tmp_path / "hub", name="*a*")
    card = (tmp_path / "hub/README.md").read_text("utf-8")
    assert "<img" not in card
    assert "\n# \\[a" not in card
    assert "[a](b)" not in card
    assert "# \\*a\\*" in card


def test_full_disk_keeps_the_old_export(checkpoint, tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    export_folder(checkpoint, folder, name="new")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    calls = []
    fsync = os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CharLSTMError, match="No space left"):
        export_folder(replace(checkpoint, step=99), folder, name="new")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("num_renamed", range(4))
@pytest.mark.parametrize("is_new", [True, False])
def test_killed_export_can_be_repeated(checkpoint, tmp_path, monkeypatch, num_renamed, is_new):
    """No partial files may remain to be published."""
    folder = tmp_path / "hub"
    if not is_new:
        export_folder(checkpoint, folder, name="killed")
    renamed = []
    rename = os.replace

    def killed(source, target):
        if len(renamed) == num_renamed:
            raise KeyboardInterrupt
        renamed.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        # A killed process doesn't clean up.
        patch.setattr(type(folder), "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            export_folder(checkpoint, folder, name="killed")
    assert len(list(folder.glob(".charlstm-*.tmp"))) == 4 - num_renamed
    export_folder(checkpoint, folder, name="killed")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "vocab.json",
    ]  # fmt: skip
    assert "# killed" in (folder / "README.md").read_text("utf-8")


def test_export_of_another_run_is_not_replaced(checkpoint, tmp_path):
    export_folder(checkpoint, tmp_path, name="one")
    export_folder(replace(checkpoint, step=5), tmp_path, name="one")
    for name, other in (("two", checkpoint), ("one", with_spec(checkpoint, fingerprint="0" * 64))):
        with pytest.raises(CharLSTMError, match="export of another run"):
            export_folder(other, tmp_path, name=name)
    assert read_checkpoint(tmp_path / "model.safetensors").step == 5


@posix
@pytest.mark.parametrize("kind", ["pipe", "endless", "nested", "folder", "list"])
def test_foreign_config_is_rejected(checkpoint, tmp_path, kind):
    path = tmp_path / "config.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("[" * 50_000 if kind == "nested" else "[1]", encoding="utf-8")
    with pytest.raises(CharLSTMError, match="not an export of charlstm"):
        export_folder(checkpoint, tmp_path, name="mine")
