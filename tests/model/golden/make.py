"""Write the golden checkpoint files again, after a deliberate change of the format.

    python tests/model/golden/make.py

It prints the figures that tests/model/test_golden.py expects of them.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import charlstm
from charlstm.export.hub import without_paths
from charlstm.run.store import CheckpointStore

FOLDER = Path(__file__).parent
TEXT = "the quick brown fox jumps over the lazy dog.\nquiet queens quote quick quips.\n" * 30
SMALL = {"hidden_size": 8, "num_layers": 1, "batch_size": 4, "seq_len": 16}
SMALL |= {"threads": 1, "device": "cpu", "precision": "float32", "steps": 6, "progress": False}
RUNS = {
    "lstm": {"dropout": 0.2, "recurrent_dropout": 0.1},
    "gru": {"cell": "gru", "num_layers": 2},
    "rnn": {"cell": "rnn"},
    "list": {"split_documents": "lines"},
    "bytes": {"level": "byte"},
}


def main() -> None:
    with tempfile.TemporaryDirectory() as store:
        text = Path(store) / "tiny.txt"
        text.write_text(TEXT, encoding="utf-8")
        for name, options in RUNS.items():
            charlstm.train(text, run=name, checkpoints=store, **(SMALL | options))
            run = CheckpointStore(Path(store)).run(name)
            checkpoint = run.last().checkpoint if name == "lstm" else run.best().checkpoint
            plain = replace(without_paths(checkpoint), saved_at=1.8e9)
            (FOLDER / f"{name}.safetensors").write_bytes(plain.to_bytes())
            model = charlstm.load(checkpoint=FOLDER / f"{name}.safetensors")
            print(json.dumps({name: model.score("the quick brown fox\n").bits_per_char}))


if __name__ == "__main__":
    main()
