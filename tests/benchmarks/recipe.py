"""Is the plan's choice the best one? Each corpus with the plan's settings, and with ones near them.

    python tests/benchmarks/recipe.py [--minutes 3] [--threads 2] [--seed 0] [--out FILE] CORPUS...

The plan's own estimate of a usual machine is taken, minutes become steps, and every variant gets as
much arithmetic as the plan itself: the figures don't depend on how busy the machine is.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from charlstm.config import Budget, CorpusConfig
from charlstm.text.corpus import load_corpus
from charlstm.training.recipe import Overrides, Plan, make_plan

_MODEL_SETTINGS = ("hidden_size", "dropout", "recurrent_dropout")
_TRAIN_SETTINGS = ("weight_decay", "batch_size", "seq_len")


def variants(plan: Plan) -> Iterator[tuple[str, Overrides]]:
    """What is changed of a plan, one thing at a time."""
    size, decay = plan.model.hidden_size, plan.train.weight_decay
    before_head, recurrent = plan.train.dropouts(plan.model, plan.epochs)
    dropouts: dict[str, Any] = {
        "dropout": round(before_head, 3),
        "recurrent_dropout": round(recurrent, 3),
    }
    shape = {"batch_size": plan.train.batch_size, "seq_len": plan.train.seq_len}
    regularization = Overrides(weight_decay=decay, **dropouts, **shape)
    half: dict[str, Any] = {name: round(value / 2, 3) for name, value in dropouts.items()}
    more: dict[str, Any] = {
        name: min(0.6, round(0.1 + value * 1.3, 3)) for name, value in dropouts.items()
    }
    yield "plan", regularization
    yield "smaller", replace(regularization, hidden_size=max(32, round(size * 0.7 / 32) * 32))
    yield "larger", replace(regularization, hidden_size=round(size * 1.4 / 32) * 32)
    yield "half the dropouts", replace(regularization, **half)
    yield "more dropout", replace(regularization, **more)
    yield "half the decay", replace(regularization, weight_decay=decay / 2)
    yield "twice the decay", replace(regularization, weight_decay=decay * 2)


def train(
    path: Path, plan: Plan, *, threads: int, seed: int, documents: str | None
) -> dict[str, Any]:
    """The finished event of a run with a plan's settings."""
    steps = max(1, round(plan.num_chars / plan.train.chars_per_step))
    settings = {
        **{name: getattr(plan.model, name) for name in _MODEL_SETTINGS},
        **{name: getattr(plan.train, name) for name in _TRAIN_SETTINGS},
        "steps": steps,
        "threads": threads,
        "seed": seed,
    }
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "charlstm", "train", str(path), "--json", *options]
        command += ["--checkpoints", store, "--val-fraction=0.1", "--test-fraction=0"]
        command += [] if documents is None else ["--split-documents", documents]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    best = min(
        (event for event in events if event["event"] == "evaluated"),
        key=lambda event: event["val_bits_per_char"],
    )
    return {**events[-1], "best_epoch": best["epoch"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split-documents")
    parser.add_argument("--only", help="variants, joined by commas")
    parser.add_argument("--out", type=Path, help="append the figures to this file")
    arguments = parser.parse_args()
    print(
        "| corpus | variant | size | dropout | recurrent | decay | epochs | best at | train | val |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for path in arguments.corpus:
        config = CorpusConfig.of_new_run(
            paths=(str(path),),
            val_fraction=0.1,
            test_fraction=0.0,
            split_documents=arguments.split_documents,
        )
        corpus = load_corpus(config)

        def plan_for(overrides: Overrides, num_train: int, num_characters: int) -> Plan:
            return make_plan(
                num_train_chars=num_train,
                num_characters=num_characters,
                budget=Budget(minutes=arguments.minutes),
                overrides=overrides,
                device="cpu",
                precision="bfloat16",
                threads=arguments.threads,
            )

        size = (corpus.train.num_chars, len(corpus.vocabulary.characters))
        for name, overrides in variants(plan_for(Overrides(), *size)):
            if arguments.only and name not in arguments.only.split(","):
                continue
            plan = plan_for(overrides, *size)
            finished = train(
                path,
                plan,
                threads=arguments.threads,
                seed=arguments.seed,
                documents=arguments.split_documents,
            )
            row = (
                path.name,
                name,
                plan.model.hidden_size,
                plan.model.dropout,
                plan.model.recurrent_dropout,
                plan.train.weight_decay,
                f"{finished['epoch']:.3g}",
                f"{finished['best_epoch']:.3g}",
                f"{finished['train_bits_per_char']:.3f}",
                f"{finished['best_val_bits_per_char']:.4f}",
            )
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
            if arguments.out:
                with arguments.out.open("a") as out:
                    line = {"corpus": path.name, "variant": name, "seed": arguments.seed}
                    line |= {"plan": asdict(plan)}
                    out.write(json.dumps(line | {"finished": finished}) + "\n")


if __name__ == "__main__":
    main()
