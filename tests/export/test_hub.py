import json
from dataclasses import replace

import numpy as np
import pytest

from charlstm.cli import main
from charlstm.config import ModelConfig
from charlstm.errors import CharLSTMError
from charlstm.export.hub import export_folder
from charlstm.model.checkpoints import HistoryEntry, read_checkpoint


def test_a_folder_for_the_hub_is_read_back(model, tmp_path, capsys):
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
    export_folder(model, folder, name="again")
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(CharLSTMError, match="something else"):
        export_folder(model, folder, name="again")
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(CharLSTMError, match="something else"):
        export_folder(model, other, name="again")
    assert (other / "README.md").read_text("utf-8") == "mine"
    file = str(folder / "model.safetensors")
    assert main(["sample", "--checkpoint", file, "--length", "20", "--seed", "1"]) == 0
    assert len(capsys.readouterr().out) == 21


def test_the_card_has_no_figure_of_other_weights(checkpoint, tmp_path):
    measured = HistoryEntry.of({"step": checkpoint.step, "val_bits_per_char": 2.5})
    best = replace(checkpoint, training=None, history=(measured,))
    card = tmp_path / "best" / "README.md"
    export_folder(best, card.parent, name="best")
    assert "2.5000 bits per character on the validation" in card.read_text("utf-8")
    for other in (replace(best, step=99), replace(checkpoint, history=(measured,))):
        export_folder(other, card.parent, name="best")
        assert "Measured: not measured" in card.read_text("utf-8")
