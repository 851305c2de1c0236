"""Measure sampling speed: one stream against nn.LSTM step by step, many against the matrix rate.

    python tests/benchmarks/sampling.py [--hidden-size 512] [--streams 256]

The methods alternate, and medians are compared.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as the command line does

import torch
from torch import nn

from charlstm.config import Budget, ReadingConfig, SampleConfig, TrainConfig
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import sample_many
from charlstm.model.checkpoints import Checkpoint, RunSpec
from charlstm.model.config import ModelConfig
from charlstm.model.lstm import CharLSTM
from charlstm.text.vocabulary import Vocabulary

CHARACTERS = "".join(map(chr, range(32, 97)))


def untrained(hidden_size: int) -> Checkpoint:
    """A checkpoint of two layers, as large as a trained one."""
    config = ModelConfig(
        num_characters=len(CHARACTERS),
        embedding_size=64,
        hidden_size=hidden_size,
        num_layers=2,
        cell="lstm",
    )
    model = CharLSTM(config, generator=torch.Generator().manual_seed(0))
    train = TrainConfig(
        batch_size=1,
        seq_len=1,
        learning_rate=0.0,
        weight_decay=0.0,
        reset_probability=0.0,
        num_evaluations=1,
        seed=0,
        threads=1,
        device="cpu",
        precision="float32",
    )
    return Checkpoint(
        spec=RunSpec(
            model_config=config,
            train_config=train,
            budget=Budget(steps=1),
            corpus=ReadingConfig(),
            corpus_name="none",
            fingerprint="",
            num_train_chars=1000,
            vocabulary=Vocabulary(CHARACTERS),
        ),
        weights={name: value.numpy() for name, value in model.state_dict().items()},
        step=0,
        history=(),
        is_finished=False,
        saved_at=0.0,
    )


@torch.inference_mode()
def users_loop(hidden_size: int) -> Iterator[int]:
    """What tutorials show: nn.LSTM, one character at a time."""
    embedding = nn.Embedding(len(CHARACTERS) + 2, 64)
    lstm = nn.LSTM(64, hidden_size, 2)
    head = nn.Linear(hidden_size, len(CHARACTERS) + 1)
    read, state = torch.zeros(1, 1, dtype=torch.long), None
    while True:
        z, state = lstm(embedding(read), state)
        read = torch.multinomial(head(z[0]).softmax(-1), 1)
        yield int(read)


def seconds_per_step(step: Callable[[], object], steps: int) -> float:
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - begin) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()

    checkpoint = untrained(options.hidden_size)
    predictor = Predictor(checkpoint)

    def own(num_samples: int) -> Callable[[], object]:
        drawn = sample_many(
            predictor,
            "",
            SampleConfig(length=10**9),
            num_samples=num_samples,
            generator=np.random.default_rng(0),
        )
        return lambda: next(drawn)

    users = users_loop(options.hidden_size)
    one, many = own(1), own(options.streams)
    matrix = np.random.default_rng(0).standard_normal((2048, 2048)).astype(np.float32)
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "nn.LSTM": (lambda: next(users), 20),
        "one": (one, 200),
        "many": (many, 10),
        "matrix": (lambda: matrix @ matrix, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, (step, steps) in ways.items():
            seconds[name].append(seconds_per_step(step, steps))
    median = {name: statistics.median(found[1:]) for name, found in seconds.items()}

    weights = sum(value.size for name, value in checkpoint.weights.items() if "bias" not in name)
    weights -= checkpoint.weights["embedding.weight"].size
    rate = 2 * weights * options.streams / median["many"]
    matrix_rate = 2 * 2048**3 / median["matrix"]
    print(f"2 x {options.hidden_size}")
    print(f"nn.LSTM, one stream:   {1 / median['nn.LSTM']:10,.0f} characters/s")
    print(f"charlstm, one stream:  {1 / median['one']:10,.0f} characters/s")
    print(f"ratio:                 {median['nn.LSTM'] / median['one']:10.1f}")
    print(
        f"charlstm, {options.streams:4} streams:{options.streams / median['many']:10,.0f} chars/s"
    )
    print(f"its matrix rate:       {rate / 1e9:10,.0f} GFLOP/s")
    print(f"the machine's:         {matrix_rate / 1e9:10,.0f} GFLOP/s")
    print(f"share:                 {rate / matrix_rate:10.1%}")


if __name__ == "__main__":
    main()
