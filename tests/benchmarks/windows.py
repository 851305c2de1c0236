"""Score a run as nanoGPT does: random windows of 256 characters, each from an empty context.

    python tests/benchmarks/windows.py RUN [--checkpoints DIR] [--windows 2000]

nanoGPT reads characters 0 ... 255 of a window and predicts 1 ... 256. So 257 characters are scored
here, from the boundary symbol on, and the cost of the first is taken off.
"""

import argparse
from pathlib import Path

import numpy as np

from charlstm.evaluation.scoring import evaluate
from charlstm.model.network import CharLSTM
from charlstm.store.runs import CheckpointStore
from charlstm.text.cache import CorpusCache, load_corpus_of_run
from charlstm.text.split import Split

LENGTH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    parser.add_argument("--windows", type=int, default=2000)
    options = parser.parse_args()

    store = CheckpointStore(options.checkpoints)
    checkpoint = store.load(options.run, which="best").checkpoint
    cache = CorpusCache(store.cache_folder)
    val = load_corpus_of_run(checkpoint.corpus, checkpoint.fingerprint, cache).val
    model = CharLSTM(checkpoint.model_config)
    model.load_arrays(checkpoint.weights)
    firsts = np.random.default_rng(0).integers(0, val.num_chars - LENGTH, options.windows)

    def nats(length: int) -> float:
        split = Split(
            ids=np.concatenate([val.ids[first : first + length] for first in firsts]),
            starts=np.arange(options.windows) * length,
            num_bytes=1,
        )
        floor = checkpoint.unknown_probability
        return evaluate(model, split, unknown_probability=floor).nats

    per_char = (nats(LENGTH + 1) - nats(1)) / (LENGTH * options.windows)
    streamed = evaluate(model, val, unknown_probability=checkpoint.unknown_probability)
    print(f"one stream:                  {streamed.nats_per_char:.4f} nats per character")
    print(f"{options.windows} windows of {LENGTH} characters: {per_char:.4f} nats per character")


if __name__ == "__main__":
    main()
