"""Score a run as nanoGPT does: random windows of 256 characters, each from an empty context.

    python tests/benchmarks/windows.py RUN [--checkpoints DIR] [--windows 2000]

nanoGPT reads characters 0 ... 255 of a window and predicts 1 ... 256. So 257 characters are scored
here, starting with BOS, and the loss of the first is subtracted.
"""

import argparse
from pathlib import Path

import numpy as np

from charlstm.api.loading import open_model
from charlstm.evaluation.scores import Evaluation
from charlstm.evaluation.scoring import score
from charlstm.text.encoded_text import EncodedText
from charlstm.training.hardware import resolve_device

LENGTH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    parser.add_argument("--windows", type=int, default=2000)
    options = parser.parse_args()

    model = open_model(options.run, checkpoints=options.checkpoints)
    network = model.network(resolve_device("auto"))
    val = model.corpus().val
    firsts = np.random.default_rng(0).integers(0, val.num_chars - LENGTH, options.windows)

    def evaluate(split: EncodedText) -> Evaluation:
        return Evaluation.of_scores(split, score(network, split))

    def nats(length: int) -> float:
        split = EncodedText(
            ids=np.concatenate([val.ids[first : first + length] for first in firsts]),
            starts=np.arange(options.windows) * length,
        )
        return evaluate(split).nats

    per_char = (nats(LENGTH + 1) - nats(1)) / (LENGTH * options.windows)
    streamed = evaluate(val)
    print(f"one stream:                  {streamed.nats_per_char:.4f} nats per character")
    print(f"{options.windows} windows of {LENGTH} characters: {per_char:.4f} nats per character")


if __name__ == "__main__":
    main()
