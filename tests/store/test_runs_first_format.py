"""Checkpoints that older versions of charlstm wrote: each after 6 steps, then resumed by it to 12.

Both were trained on conftest's text: an LSTM of characters and a GRU of bytes, 1 x 8, float32,
with dropout and recurrent dropout.
"""

import json
import shutil
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "first_format"
# Validation bits per character after 9 and 12 steps. The optimizer has changed since: these were
# logged when it did, and before it as the older version had logged them.
RESUMED = {
    "lstm": (4.787719159082905, 4.754382881196387),
    "gru": (4.757286665925735, 4.718599385075069),
}


@pytest.mark.parametrize("name", list(RESUMED))
def test_an_old_run_is_resumed(run, here, corpus_file, name):
    folder = here / "checkpoints" / name
    folder.mkdir(parents=True)
    shutil.copy(FILES / f"{name}.safetensors", folder / "last.safetensors")
    code, out, _ = run("train", corpus_file, "--resume", "--run", name, "--steps", 12, "--json")
    assert code == 0
    records = [json.loads(line) for line in out.splitlines()]
    bits = [one["val_bits_per_char"] for one in records if one["event"] == "evaluated"]
    assert bits == pytest.approx(RESUMED[name], abs=1e-6)
    assert run("sample", "--run", name, "--length", 5, "--seed", 1)[0] == 0
