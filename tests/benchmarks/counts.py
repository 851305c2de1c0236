"""Compare LSTM, n-grams of its training text, and both, in nats per character.

    python tests/benchmarks/counts.py RUN... [--checkpoints DIR] [--split val]

Order and weights were chosen on the validation text.
"""

import argparse
import time
from pathlib import Path

from charlstm.api.loading import open_model
from charlstm.evaluation.scoring import predictions
from charlstm.evaluation.with_ngrams import score_with_ngrams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    parser.add_argument("--split", choices=("val", "test"), default="val")
    options = parser.parse_args()
    print(f"{'run':20} {'network':>8} {'counts':>8} {'both':>8}  order   n-grams  s of counting")
    for run in options.runs:
        model = open_model(run, checkpoints=options.checkpoints)
        corpus = model.corpus()
        text = getattr(corpus, options.split)
        began = time.perf_counter()
        counts = model.counts()
        seconds = time.perf_counter() - began
        found = score_with_ngrams(predictions(model.network(), text), text, counts)
        print(
            f"{run:20} {found.lstm.nats_N.mean():8.4f} {found.ngram_nats_N.mean():8.4f} "
            f"{found.interpolated.nats_N.mean():8.4f} {counts.ngrams.order:6} "
            f"{counts.ngrams.num_ngrams:9,} {seconds:8.1f}"
        )


if __name__ == "__main__":
    main()
