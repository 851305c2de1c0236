"""Tests of the page's scripts without DOM, run in Node against vectors from Python."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXT, with_vocabulary

from charlstm.analysis.unit import unit_steps
from charlstm.export.javascript import model_data
from charlstm.export.rounding import RoundedMatrix, rounded
from charlstm.inference.prediction import ladder, ranked
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import exclude, probabilities, with_temperature
from charlstm.reading.documents import EOS
from charlstm.text.vocabulary import UNKNOWN

NODE = shutil.which("node")
SCRIPT = Path(__file__).parent / "js" / "page.test.mjs"
BYTES = "".join(map(chr, range(256)))
MODELS = {
    "lstm": ({"cell": "lstm"}, TEXT),
    "gru": ({"cell": "gru"}, TEXT),
    "rnn": ({"cell": "rnn"}, TEXT),
    "wide": ({"cell": "gru", "hidden_size": 21}, TEXT),
    "lines": ({"split_documents": "lines"}, TEXT),
    "documents": ({"split_documents": "blank-lines"}, TEXT + EOS),
    "bytes": ({"level": "byte"}, BYTES),
    "crlf": ({"keep_line_ends": True}, TEXT + "\r"),
    "nfc": ({"normalize": "nfc"}, TEXT + "\u00e9"),
}
TEXTS = ["", "the quick\nbrown", "e\u0301\u00e9\u2603\U0001f600 fox", "a\r\nb"]


def with_biases(model):
    """Draw the biases at random: new models have zeros."""
    generator = np.random.default_rng(0)
    weights = {
        name: value if value.ndim == 2 else generator.normal(0, 0.5, len(value)).astype(np.float32)
        for name, value in sorted(model.weights.items())
    }
    return replace(model, weights=weights)


def vectors_of(model):
    """Return predictions, states and unit steps for some texts, with rounded weights."""
    config, weights = model_data(model)
    model = rounded(model)
    tokenizer, predictor = model.spec.tokenizer, Predictor(model)
    texts = []
    for text in TEXTS:
        symbols = tokenizer.to_chars(text)
        state = predictor.start()
        log_p, layers = [state.log_p[0].tolist()], []
        for symbol in symbols:
            state = predictor.read_all(symbol, state)
            log_p.append(state.log_p[0].tolist())
            names = model.spec.model_config.spec.values
            layers.append([[layer[n][0].tolist() for n in names] for layer in state.layers])
        ids = tokenizer.encode(symbols)
        bits = [-row[one] / np.log(2) for row, one in zip(log_p, ids.tolist(), strict=False)]
        texts.append(
            {"text": text, "ids": ids.tolist(), "log_p": log_p, "bits": bits, "layers": layers}
        )
    log_p = np.array(texts[1]["log_p"][-1])
    drawn = exclude(log_p, [UNKNOWN])
    temperatures = (0, 0.5, 1, 2)
    return {
        "config": config | {"lineEnd": [10]},
        "weights": weights,
        "texts": texts,
        "decoded": tokenizer.text_of(np.arange(1, len(tokenizer))).replace(EOS, "\n"),
        "readable": list(tokenizer.readable),
        "entropy": ranked(tokenizer, log_p).entropy_bits,
        "order": np.argsort(-log_p, kind="stable").tolist(),
        "tempered": [[t, probabilities(with_temperature(drawn, t)).tolist()] for t in temperatures],
        "ladder": [
            [one.num_context, one.prediction.entropy_bits] for one in ladder(predictor, "the quic")
        ],
        "steps": [
            [
                {
                    "hidden": step.hidden,
                    "hiddenBefore": step.hidden_before,
                    **({} if step.cell is None else {"cell": step.cell}),
                    "gates": [
                        [one.name, one.input, one.hidden, one.bias, one.pre_activation, one.value]
                        for one in step.gates
                    ],
                }
                for step in unit_steps(
                    model, tokenizer.encode_documents(["the quic"]), layer=layer, unit=3
                )
            ]
            for layer in range(model.spec.model_config.num_layers)
        ],
    }


def products():
    """Return products of matrices of unusual shapes: (rows, values, scales, vector, product)."""
    generator = np.random.default_rng(0)
    found = []
    for rows, columns in ((1, 1), (3, 15), (5, 16), (4, 33)):
        matrix = RoundedMatrix.of(generator.normal(size=(rows, columns)).astype(np.float32))
        vector = generator.normal(size=columns).astype(np.float32)
        found.append(
            {
                "values": matrix.values.ravel().tolist(),
                "scales": matrix.scales.tolist(),
                "vector": vector.tolist(),
                "rows": matrix.to_array().tolist(),
                "product": (matrix.to_array() @ vector).tolist(),
            }
        )
    return found


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_scripts_match_python(checkpoint, tmp_path):
    models = {
        name: vectors_of(with_biases(with_vocabulary(checkpoint, characters, **settings)))
        for name, (settings, characters) in MODELS.items()
    }
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps({"models": models, "products": products()}), encoding="utf-8")
    command = [NODE, "--test", str(SCRIPT)]
    result = subprocess.run(
        command, env={"VECTORS": str(path)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout
