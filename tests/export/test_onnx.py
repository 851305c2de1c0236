import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXT

import charlstm
from charlstm.cli import main
from charlstm.errors import CharLSTMError, ConfigError
from charlstm.export import onnx as export
from charlstm.export.onnx import export_onnx
from charlstm.model.cell import CELLS, CellStack
from charlstm.text.vocabulary import Vocabulary


def test_onnx_graph_matches_the_model(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    assert export_onnx(model, path) <= 1e-4
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    characters = "".join(map(chr, json.loads(properties["characters"])))
    assert characters == model.spec.vocabulary.characters
    # Use it like a client: start with BOS, carry the state, any batch size.
    config = model.spec.model_config
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


def test_differing_onnx_graph_is_not_written(model, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    cell = model.spec.model_config.cell
    monkeypatch.setitem(CELLS, cell, replace(CELLS[cell], onnx_order=CELLS[cell].blocks))
    if cell == "rnn":
        monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(CharLSTMError, match="differs from the model"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_onnx_names_the_extra(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'charlstm\[onnx\]'"):
        export_onnx(checkpoint, tmp_path / "model.onnx")


def test_the_command(stored, here, capsys):
    pytest.importorskip("onnxruntime")
    assert main(["export", "tiny", "--format", "onnx", "--output", "tiny.onnx"]) == 0
    assert "opset 17" in capsys.readouterr().err
    assert main(["export", "tiny", "--format", "hf", "--output", "folder"]) == 0
    assert "--run folder" in capsys.readouterr().err
    assert main(["export", "nowhere", "--format", "hf", "--output", "other"]) == 1
    assert main(["export", "tiny", "--format", "png", "--output", "other"]) == 2
    (here / "file").write_bytes(b"")
    assert main(["export", "tiny", "--format", "hf", "--output", "file"]) == 1
    assert "can't be created" in capsys.readouterr().err
    assert main(["export", "tiny", "--format", "onnx", "--output", "."]) == 1
    assert "name a file" in capsys.readouterr().err
    assert main(["export", "tiny", "--format", "onnx", "--output", "nowhere/x.onnx"]) == 1
    assert "can't be written" in capsys.readouterr().err


def test_large_logits_are_compared_relatively(model, tmp_path):
    pytest.importorskip("onnxruntime")
    weights = {**model.weights, "head.weight": model.weights["head.weight"] * 3000}
    assert export_onnx(replace(model, weights=weights), tmp_path / "model.onnx") <= 1e-4


def test_guide_example_generates_the_model_text(stored, here, capsys):
    pytest.importorskip("onnxruntime")
    guide = (Path(__file__).parents[2] / "checkpoints/README.md").read_text("utf-8")
    (example,) = re.findall(r"^```py\n(import json\n.*?)^```", guide, re.DOTALL | re.MULTILINE)
    assert main(["export", "tiny", "--format", "onnx", "-o", "shakespeare.onnx"]) == 0
    capsys.readouterr()
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out == charlstm.load("tiny").sample(length=100, temperature=0) + "\n"
