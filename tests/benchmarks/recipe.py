"""Train texts with the settings of auto-configuration and with their neighbors.

    python tests/benchmarks/recipe.py [--minutes 1] [--threads 1] [--seed 0] [--out FILE] TEXT...

Every variant has the same number of minutes, so the machine must be otherwise idle. The variants
change the size, dropouts and weight decay that were chosen.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Args:
        nats: per character of the validation text, of the best evaluation.
    """

    hidden_size: int
    dropout: float
    recurrent_dropout: float
    weight_decay: float
    chars_per_second: float
    epochs: float
    nats: float

    def row(self, text: str, variant: str, seed: int) -> str:
        cells = (
            text,
            variant,
            seed,
            self.hidden_size,
            f"{self.dropout:.2f}, {self.recurrent_dropout:.2f}, {self.weight_decay:.2f}",
            f"{self.chars_per_second:,.0f}",
            f"{self.epochs:.3g}",
            f"{self.nats:.4f}",
        )
        return "| " + " | ".join(map(str, cells)) + " |"


def train(path: Path, *options: str) -> Result:
    """A run of the command."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "charlstm", "train", str(path), "--json", *options]
        command += ["--checkpoints", store, "--val-fraction=0.1", "--test-fraction=0"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    started, finished = events[0], events[-1]
    last = [event for event in events if event["event"] == "evaluated"][-1]
    return Result(
        hidden_size=started["hidden_size"],
        dropout=last["dropout"],
        recurrent_dropout=last["recurrent_dropout"],
        weight_decay=started["weight_decay"],
        chars_per_second=finished["chars_per_second"],
        epochs=finished["epoch"],
        nats=finished["best_val_bits_per_char"] * math.log(2),
    )


def variants(plan: Result) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is changed, one thing at a time. Other sizes are regularized by the rule for them."""
    size, decay = plan.hidden_size, plan.weight_decay
    dropouts = {"dropout": plan.dropout, "recurrent-dropout": plan.recurrent_dropout}
    yield "smaller", (f"--hidden-size={max(32, round(size * 0.7 / 32) * 32)}",)
    yield "larger", (f"--hidden-size={round(size * 1.4 / 32) * 32}",)
    kept = f"--hidden-size={size}"
    less = [f"--{name}={value / 2:.3f}" for name, value in dropouts.items()]
    yield "less regularized", (kept, *less, f"--weight-decay={decay / 1.5:.3f}")
    more = [f"--{name}={min(0.6, 0.05 + 1.4 * value):.3f}" for name, value in dropouts.items()]
    yield "more regularized", (kept, *more, f"--weight-decay={decay * 1.5:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("text", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split-documents")
    parser.add_argument("--only", help="variants, joined by commas")
    parser.add_argument("--out", type=Path, help="append the figures to this file")
    options = parser.parse_args()
    common = [f"--{name}={getattr(options, name)}" for name in ("minutes", "threads", "seed")]
    if options.split_documents is not None:
        common.append(f"--split-documents={options.split_documents}")
    print("| text | variant | seed | size | dropouts, decay | characters/s | epochs | nats |")
    print("|---|---|---|---|---|---|---|---|")
    for path in options.text:

        def show(variant: str, result: Result, path: Path = path) -> None:
            print(result.row(path.name, variant, options.seed), flush=True)
            if options.out:
                line: dict[str, Any] = {"text": path.name, "variant": variant}
                with options.out.open("a") as out:
                    out.write(json.dumps(line | {"seed": options.seed} | vars(result)) + "\n")

        plan = train(path, *common)
        show("plan", plan)
        for variant, changed in variants(plan):
            if options.only is None or variant in options.only.split(","):
                show(variant, train(path, *common, *changed))


if __name__ == "__main__":
    main()
