"""Network, counts of its training text, and both: nats per character of runs in a store.

    python tests/benchmarks/counts.py RUN... [--checkpoints DIR] [--split val]

Of the validation text each half is mixed with weights that were fitted on the other.
"""

import argparse
import time
from pathlib import Path

from charlstm.api.loading import open_model
from charlstm.evaluation.scoring import score_with_counts


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
        val = text if options.split == "val" else None
        beside = model.counts_beside(corpus, val=val)
        seconds = time.perf_counter() - began
        assert beside is not None
        network, mixed = score_with_counts(model.network(), text, beside.mixed, beside.mixtures)
        both = mixed[-1].joined(mixed[0], beside.edge) if val is not None else mixed[0]
        counts = beside.alone.score(text).nats_N.mean()
        print(
            f"{run:20} {network.nats_N.mean():8.4f} {counts:8.4f} {both.nats_N.mean():8.4f} "
            f"{beside.alone.order:6} {beside.alone.num_ngrams:9,} {seconds:8.1f}"
        )


if __name__ == "__main__":
    main()
