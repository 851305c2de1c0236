import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import TEXT

from charlstm import export
from charlstm.cell import CellStack
from charlstm.checkpoints import read_checkpoint
from charlstm.cli import main
from charlstm.config import ModelConfig
from charlstm.errors import CharLSTMError, ConfigError
from charlstm.export import export_folder, export_onnx
from charlstm.model import CharLSTM
from charlstm.vocabulary import Vocabulary


@pytest.fixture(params=["lstm", "gru", "rnn"])
def model(request, checkpoint):
    """A model of each cell, all its weights and biases drawn at random."""
    from dataclasses import replace

    import torch

    config = replace(checkpoint.model_config, cell=request.param, num_layers=3)
    model = CharLSTM(config)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    return replace(checkpoint, model_config=config, weights=weights, training=None)


def test_the_graph_is_the_model(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    assert export_onnx(model, path) <= 1e-4
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    characters = "".join(map(chr, json.loads(properties["characters"])))
    assert characters == model.vocabulary.characters
    # As its user would: begin with the boundary, carry the state, any number of streams.
    config = model.model_config
    ids = Vocabulary(characters).encode(TEXT[:50]).astype(np.int64)
    stack = CellStack(config, model.weights)
    for num_streams in (1, 5):
        shape = (config.num_layers, num_streams, config.hidden_size)
        names = ["h", "c"] if config.cell == "lstm" else ["h"]
        states = {name: np.zeros(shape, np.float32) for name in names}
        before = stack.zero_state(num_streams)
        for symbol in (int(properties["boundary"]), *ids):
            symbols = np.full(num_streams, symbol)
            logits, *after = session.run(None, {"symbol": symbols, **states})
            states = dict(zip(names, after, strict=True))
            expected, before = stack.step(symbols, before)
            np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_graph_that_computes_something_else_is_not_written(model, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    wrong = {"lstm": (0, 1, 2, 3), "gru": (0, 1, 2), "rnn": (0,)}
    monkeypatch.setattr(export, "_GATES", wrong)
    if model.model_config.cell == "rnn":
        monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(CharLSTMError, match="something else"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_one_line_names_it(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'charlstm\[onnx\]'"):
        export_onnx(checkpoint, tmp_path / "model.onnx")


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
    assert ModelConfig(**fields) == model.model_config
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    assert "".join(map(chr, vocabulary["code_points"])) == model.vocabulary.characters
    card = (folder / "README.md").read_text("utf-8")
    assert model.fingerprint in card
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


def test_the_command(stored, here, capsys):
    pytest.importorskip("onnxruntime")
    assert main(["export", "tiny", "--format", "onnx", "--output", "tiny.onnx"]) == 0
    assert "opset 17" in capsys.readouterr().err
    assert main(["export", "tiny", "--format", "hf", "--output", "folder"]) == 0
    assert "--checkpoint folder" in capsys.readouterr().err
    assert main(["export", "nowhere", "--format", "hf", "--output", "other"]) == 1
    assert main(["export", "tiny", "--format", "png", "--output", "other"]) == 2
    (here / "file").write_bytes(b"")
    assert main(["export", "tiny", "--format", "hf", "--output", "file"]) == 1
    assert "can't be made" in capsys.readouterr().err
    assert main(["export", "tiny", "--format", "onnx", "--output", "."]) == 1
    assert "name a file" in capsys.readouterr().err
    assert main(["export", "tiny", "--format", "onnx", "--output", "nowhere/x.onnx"]) == 1
    assert "can't be written" in capsys.readouterr().err


def test_the_card_has_no_figure_of_other_weights(checkpoint, tmp_path):
    measured = {"step": checkpoint.step, "val_bits_per_char": 2.5}
    best = replace(checkpoint, training=None, history=(measured,))
    card = tmp_path / "best" / "README.md"
    export_folder(best, card.parent, name="best")
    assert "2.5000 bits per character on the validation" in card.read_text("utf-8")
    for other in (replace(best, step=99), replace(checkpoint, history=(measured,))):
        export_folder(other, card.parent, name="best")
        assert "Measured: not measured" in card.read_text("utf-8")
