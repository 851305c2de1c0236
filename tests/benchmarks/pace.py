"""Train a run whose machine changes its speed half-way, and one that knew it in advance.

    python tests/benchmarks/pace.py TEXT            # a simulated clock: the speed changes by 3
    python tests/benchmarks/pace.py TEXT --busy 1   # a real clock, with one busy program

The run that knew has the same clock, and from its first step the dropout for the number of
characters that it will read. Prints nats per character on the last tenth.
"""

import argparse
import contextlib
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from charlstm.config import Budget, ReadingConfig, TrainConfig
from charlstm.events import Evaluated, Finished, Stepped
from charlstm.model.config import ModelConfig
from charlstm.settings import TrainSettings
from charlstm.text.corpus import Corpus, load_corpus
from charlstm.training.auto_config import Machine, auto_configure
from charlstm.training.hardware import resolve_precision, resolve_threads, set_threads
from charlstm.training.trainer import Trainer


class Clock:
    """Stands still but for the steps, whose time depends on how much of the budget is used."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def train(
    corpus: Corpus,
    model: ModelConfig,
    config: TrainConfig,
    *,
    minutes: float,
    paces: tuple[float, float] | None,
) -> tuple[float, float, list[int]]:
    """Nats per character, epochs read, the threads that were chosen.

    Args:
        paces: steps per second in the first and in the second half; None for a real clock.
    """
    clock = Clock()
    trainer = Trainer(
        model,
        config,
        Budget(minutes=minutes),
        train=corpus.train,
        val=corpus.val,
        started_at=None,
        clock=time.monotonic if paces is None else clock,
    )
    bits, epochs, threads = math.nan, 0.0, [config.threads]
    for event in trainer.run():
        match event:
            case Stepped():
                if paces is not None:
                    clock.now += 1 / paces[event.progress >= 0.5]
                if event.chose_threads:
                    threads.append(event.threads)
            case Evaluated():
                bits = event.val_bits_per_char or math.nan
            case Finished():
                epochs = event.epoch
    return bits * math.log(2), epochs, threads


def knowing(model: ModelConfig, config: TrainConfig, epochs: float) -> list[object]:
    """The same settings, with the dropout that suits so many epochs from the beginning."""
    dropouts = config.dropouts(epochs)
    return [
        model,
        replace(
            config,
            **dropouts._asdict(),
            dropout_epochs=(0.0, 0.0),
            recurrent_dropout_epochs=(0.0, 0.0),
        ),
    ]


@contextlib.contextmanager
def busy(number: int, *, after: float) -> Iterator[None]:
    """Programs that keep a core busy each, from so many seconds on."""
    programs: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        loop = "while True: pass"
        programs.extend(subprocess.Popen([sys.executable, "-c", loop]) for _ in range(number))

    timer = threading.Timer(after, start)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for program in programs:
            program.kill()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("--epochs", type=float, default=14.0, help="at an even pace")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--minutes", type=float, default=1.0, help="with --busy")
    parser.add_argument("--busy", type=int, default=0, help="programs, in the second half")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()

    corpus = load_corpus(ReadingConfig(paths=(options.text,), val_fraction=0.1, test_fraction=0.0))
    threads = set_threads(resolve_threads(options.threads))
    for seed in options.seeds:
        plan = auto_configure(
            TrainSettings(hidden_size=options.hidden_size, seed=seed, early_stop=False),
            num_train_chars=corpus.train.num_chars,
            num_characters=len(corpus.vocabulary),
            budget=Budget(minutes=1.0),
            machine=Machine(
                device="cpu", precision=resolve_precision("auto", "cpu"), threads=threads
            ),
        )
        config = replace(plan.train, num_evaluations=2)
        if options.busy:
            config = replace(config, adapts_threads=options.threads is None)
            with busy(options.busy, after=30 * options.minutes):
                found = train(corpus, plan.model, config, minutes=options.minutes, paces=None)
            nats, epochs, chosen = found
            print(
                f"seed {seed}, {options.busy} busy from the middle on: {nats:.4f} nats, "
                f"{epochs:.1f} epochs, threads {chosen}",
                flush=True,
            )
            continue
        steps = options.epochs * corpus.train.num_chars / config.chars_per_step
        even = steps / 60
        for name, paces in (
            ("even", (even, even)),
            ("3 times slower", (even, even / 3)),
            ("3 times faster", (even, even * 3)),
        ):
            nats, epochs, _ = train(corpus, plan.model, config, minutes=1.0, paces=paces)
            model, fixed = knowing(plan.model, config, epochs)
            knew, _, _ = train(corpus, model, fixed, minutes=1.0, paces=paces)
            print(
                f"seed {seed}, {name:14}: {nats:.4f} nats, the run that knew {knew:.4f}, "
                f"{epochs:.1f} epochs, {config.dropouts(epochs)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
