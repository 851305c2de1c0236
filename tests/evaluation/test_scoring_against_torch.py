"""Compare `charlstm eval` with torch's own cells in float64, one character at a time.

Only the command line of charlstm is used: this module reads the weights with safetensors, splits
the texts and computes the probabilities.
"""

import json
import math

import pytest
import torch
from conftest import SMALL
from safetensors import safe_open
from torch import nn

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
EOS = "\ufdd0"
NUM_LAYERS = 2

# Short, so that the floor of the unknown probability is large.
LEARNED = "the quick fox\n\nquiet owls\nhoot\n\nlazy dögs\n\n" * 6
# Unknown letters at the start, in the middle and in a row, empty and blank lines, Windows line
# ends, and a last line without a line end.
SCORED = "Éh the quick\r\nquiet ☃☃ owls\n\n\n  \nhoot lazy dögs fox Ж\n\nthe end"


def by_lines(text):
    return text.splitlines(keepends=True)


def by_blank_lines(text):
    documents = [""]
    was_blank = False
    for line in by_lines(text):
        if was_blank and line.strip():
            documents.append("")
        documents[-1] += line
        was_blank = not line.strip()
    return [document + EOS for document in documents]


def as_bytes(text):
    return [text.encode().decode("latin-1")]


# (train options, scored files, function that splits a file into documents)
LAYOUTS = {
    "running": ([], [SCORED], lambda text: [text]),
    "lines": (["--split-documents", "lines"], [SCORED], by_lines),
    "poems": (["--split-documents", "blank-lines"], [SCORED], by_blank_lines),
    "files": ([], [SCORED, "lazy", SCORED[5:30]], lambda text: [text + EOS]),
    "bytes": (["--level", "byte"], [SCORED], as_bytes),
}


@torch.no_grad()
def scored_by_torch(path, documents):
    """Return losses in nats, whether each character was ranked first, and uses of the floor."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["charlstm"])
        weights = {
            name.removeprefix("model."): file.get_tensor(name).double()
            for name in file.keys()  # noqa: SIM118 - no dictionary
        }
    floor = 1 / (header["num_train_chars"] + 1)
    ids = {chr(code): number for number, code in enumerate(header["vocabulary"], 1)}
    bos_id = len(ids) + 1
    config = header["model_config"]
    cells = CELLS[config["cell"]](
        config["embedding_size"], config["hidden_size"], NUM_LAYERS, dtype=torch.float64
    )
    for name, parameter in cells.named_parameters():
        kind, _, layer = name.rpartition("_l")
        parameter.copy_(weights[f"layers.{layer}.{kind}_l0"])
    nats, is_top, num_floored = [], [], 0
    for document in documents:
        state, previous = None, bos_id
        for char in document:
            _, state = cells(weights["embedding.weight"][previous][None, None], state)
            hidden = (state[0] if isinstance(state, tuple) else state).flatten()
            p = (weights["head.weight"] @ hidden + weights["head.bias"]).softmax(0)
            if p[0] < floor:
                p = torch.cat([torch.tensor([floor]), p[1:] * (1 - floor) / p[1:].sum()])
                num_floored += 1
            assert float(p.sum()) == pytest.approx(1, abs=1e-9)
            previous = ids.get(char, 0)
            nats.append(-math.log(p[previous]))
            is_top.append(previous != 0 and int(p.argmax()) == previous)
    return nats, is_top, num_floored


@pytest.mark.parametrize(
    ("cell", "layout"),
    [
        ("lstm", "running"),
        ("gru", "lines"),
        ("rnn", "poems"),
        ("lstm", "files"),
        ("lstm", "bytes"),
        ("gru", "poems"),
        ("rnn", "bytes"),
    ],
)
def test_eval_matches_torch_cells_in_float64(run, here, cell, layout):
    options, texts, documents_of = LAYOUTS[layout]
    learned = [here / f"learned-{number}.txt" for number in range(1 + (layout == "files"))]
    for path in learned:
        path.write_bytes(LEARNED.encode())
    scored = [here / f"scored-{number}.txt" for number in range(len(texts))]
    for path, text in zip(scored, texts, strict=True):
        path.write_bytes(text.encode())
    size = [*SMALL[:2], *SMALL[4:], "--num-layers", NUM_LAYERS, "--learning-rate", 0.03]
    run.works("train", *learned, "--steps", 20, "--cell", cell, *options, *size)
    found = run.json("eval", *scored)

    if layout != "bytes":
        texts = [text.replace("\r\n", "\n") for text in texts]
    documents = [document for text in texts for document in documents_of(text)]
    (store,) = here.glob("checkpoints/learned*")
    nats, is_top, num_floored = scored_by_torch(store / "best.safetensors", documents)
    assert found["num_chars"] == len(nats) == sum(map(len, documents))
    assert found["nats_per_char"] == pytest.approx(sum(nats) / len(nats), abs=1e-5)
    assert found["accuracy"] == pytest.approx(sum(is_top) / len(nats), abs=1e-9)
    # Check that the test covers the floor, errors and unknown characters.
    assert 0 < num_floored < len(nats)
    assert 0.1 < found["accuracy"] < 0.9
    assert found["num_unknown"] > 0
