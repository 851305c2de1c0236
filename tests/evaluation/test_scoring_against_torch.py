"""`charlstm eval` against torch's own cells in float64, one character after another.

Nothing of charlstm's is used but the command line: the weights are read with safetensors, texts are
taken apart and probabilities are worked out here.
"""

import json
import math

import pytest
import torch
from conftest import SMALL
from safetensors import safe_open
from torch import nn

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
END = "\ufdd0"
NUM_LAYERS = 2

# Short: so that the least probability of the unknown is not small.
LEARNED = "the quick fox\n\nquiet owls\nhoot\n\nlazy dögs\n\n" * 6
# Unknown letters at the beginning, in the middle and in a row, empty and blank lines, a last line
# without an end, line ends of Windows.
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
    return [document + END for document in documents]


def as_bytes(text):
    return [text.encode().decode("latin-1")]


# Options of train, files that are scored, and the documents that they are.
LAYOUTS = {
    "running": ([], [SCORED], lambda text: [text]),
    "lines": (["--split-documents", "lines"], [SCORED], by_lines),
    "poems": (["--split-documents", "blank-lines"], [SCORED], by_blank_lines),
    "files": ([], [SCORED, "lazy", SCORED[5:30]], lambda text: [text + END]),
    "bytes": (["--level", "byte"], [SCORED], as_bytes),
}


@torch.no_grad()
def scored_by_torch(path, documents):
    """Costs in nats, whether each character was the likeliest, and how often the floor counted."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["charlstm"])
        weights = {
            name.removeprefix("model."): file.get_tensor(name).double()
            for name in file.keys()  # noqa: SIM118 - no dictionary
        }
    floor = 1 / (header["num_train_chars"] + 1)
    ids = {chr(code): number for number, code in enumerate(header["vocabulary"], 1)}
    boundary = len(ids) + 1
    config = header["model_config"]
    cells = CELLS[config["cell"]](
        config["embedding_size"], config["hidden_size"], NUM_LAYERS, dtype=torch.float64
    )
    for name, parameter in cells.named_parameters():
        kind, _, layer = name.rpartition("_l")
        parameter.copy_(weights[f"layers.{layer}.{kind}_l0"])
    nats, is_likeliest, num_floored = [], [], 0
    for document in documents:
        state, read = None, boundary
        for char in document:
            _, state = cells(weights["embedding.weight"][read][None, None], state)
            hidden = (state[0] if isinstance(state, tuple) else state).flatten()
            p = (weights["head.weight"] @ hidden + weights["head.bias"]).softmax(0)
            if p[0] < floor:
                p = torch.cat([torch.tensor([floor]), p[1:] * (1 - floor) / p[1:].sum()])
                num_floored += 1
            assert float(p.sum()) == pytest.approx(1, abs=1e-9)
            read = ids.get(char, 0)
            nats.append(-math.log(p[read]))
            is_likeliest.append(read != 0 and int(p.argmax()) == read)
    return nats, is_likeliest, num_floored


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
def test_eval_is_what_torchs_cells_say_in_float64(run, here, cell, layout):
    options, texts, documents_of = LAYOUTS[layout]
    learned = [here / f"learned-{number}.txt" for number in range(1 + (layout == "files"))]
    for path in learned:
        path.write_bytes(LEARNED.encode())
    scored = [here / f"scored-{number}.txt" for number in range(len(texts))]
    for path, text in zip(scored, texts, strict=True):
        path.write_bytes(text.encode())
    size = [*SMALL[:2], *SMALL[4:], "--num-layers", NUM_LAYERS, "--learning-rate", 0.03]
    run.works("train", *learned, "--steps", 40, "--cell", cell, *options, *size)
    found = run.json("eval", *scored)

    if layout != "bytes":
        texts = [text.replace("\r\n", "\n") for text in texts]
    documents = [document for text in texts for document in documents_of(text)]
    (store,) = here.glob("checkpoints/learned*")
    nats, is_likeliest, num_floored = scored_by_torch(store / "best.safetensors", documents)
    assert found["num_chars"] == len(nats) == sum(map(len, documents))
    assert found["nats_per_char"] == pytest.approx(sum(nats) / len(nats), abs=1e-5)
    assert found["accuracy"] == pytest.approx(sum(is_likeliest) / len(nats), abs=1e-9)
    # Or this would say less than it seems to.
    assert 0 < num_floored < len(nats)
    assert 0.1 < found["accuracy"] < 0.9
    assert found["num_unknown"] > 0
