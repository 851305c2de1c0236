"""Compare training speed with the loop that a user would write: float32 nn.LSTM and AdamW.

    python tests/benchmarks/training.py [--hidden-size 256] [--batch-size 32] [--seq-len 64]

Their steps alternate, so that a machine that slows down slows both; medians are compared. Also
prints the optimizer's fraction of a step and the fraction of the machine's matrix rate.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as the command line does

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from charlstm.config import TrainConfig
from charlstm.model.config import ModelConfig
from charlstm.model.lstm import CharLSTM
from charlstm.training.batches import Batch
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.hardware import resolve_device, resolve_precision

NUM_CHARACTERS = 65
EMBEDDING_SIZE = 64
NUM_LAYERS = 2
OPERATIONS_PER_WEIGHT = 6  # forward and backward


class UsersModel(nn.Module):
    """What tutorials show."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(NUM_CHARACTERS + 1, EMBEDDING_SIZE)
        self.lstm = nn.LSTM(EMBEDDING_SIZE, hidden_size, NUM_LAYERS)
        self.head = nn.Linear(hidden_size, NUM_CHARACTERS + 1)

    def forward(self, x_TB, state):  # type: ignore[no-untyped-def]
        z_TBH, state = self.lstm(self.embedding(x_TB), state)
        return self.head(z_TBH), state


def users_step(hidden_size: int, batch: Batch, device: torch.device) -> Callable[[], object]:
    model = UsersModel(hidden_size).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    carried = None

    def step() -> float:
        nonlocal carried
        logits, state = model(batch.x_TB.to(device), carried)
        loss = cross_entropy(logits.flatten(0, 1), batch.y_TB.to(device).flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        carried = tuple(part.detach() for part in state)
        return float(loss.detach())

    return step


def own_step(
    hidden_size: int, batch: Batch, threads: int, device: torch.device
) -> tuple[Callable[[], object], list[float], CharLSTM]:
    """A step, the seconds that its optimizer takes, and the model."""
    batch_size, seq_len = batch.x_TB.shape[1], batch.x_TB.shape[0]
    model = CharLSTM(
        ModelConfig(
            num_characters=NUM_CHARACTERS,
            embedding_size=EMBEDDING_SIZE,
            hidden_size=hidden_size,
            num_layers=NUM_LAYERS,
            cell="lstm",
        )
    ).to(device)
    config = TrainConfig(
        batch_size=batch_size,
        seq_len=seq_len,
        learning_rate=1e-3,
        weight_decay=0.1,
        dropout=0.2,
        reset_probability=0.01,
        num_evaluations=1,
        seed=0,
        threads=threads,
        device=device.type,
        precision=resolve_precision("auto", device.type),
    )
    bptt = TruncatedBPTT(model, config)
    optimizer = bptt._optimizer
    seconds: list[float] = []
    inner_step = optimizer.step

    def timed_step(learning_rate: float, *, loss_scale: torch.Tensor | None = None) -> torch.Tensor:
        begin = time.perf_counter()
        is_finite = inner_step(learning_rate, loss_scale=loss_scale)
        bool(is_finite)  # waits for the device
        seconds.append(time.perf_counter() - begin)
        return is_finite

    optimizer.step = timed_step  # type: ignore[method-assign]
    return lambda: bptt.step(batch, 1e-3), seconds, model


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second in a product of two large matrices."""
    matrix = torch.randn(2048, 2048, device=device).to(dtype)
    return 2 * 2048**3 / median_seconds(lambda: float((matrix @ matrix)[0, 0]), 5)


def median_seconds(function: Callable[[], object], repeats: int) -> float:
    function()
    return statistics.median(timed(function) for _ in range(repeats))


def timed(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seq-len", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(resolve_device(options.device))

    shape = (options.seq_len, options.batch_size)
    x_TB = torch.randint(1, NUM_CHARACTERS + 1, shape)
    batch = Batch(x_TB=x_TB, y_TB=x_TB.roll(-1, 0), begins_TB=torch.zeros(shape, dtype=torch.bool))
    own, optimizer_seconds, model = own_step(options.hidden_size, batch, options.threads, device)
    users = users_step(options.hidden_size, batch, device)
    for _ in range(3):
        own(), users()
    optimizer_seconds.clear()
    own_seconds, users_seconds, rates = [], [], {torch.float32: [], torch.bfloat16: []}
    for number in range(options.repeats):
        own_seconds.append(timed(own))
        users_seconds.append(timed(users))
        if number % 10 == 0:
            for dtype, found in rates.items():
                found.append(matrix_rate(dtype, device))

    num_chars = options.batch_size * options.seq_len
    own_median, users_median = statistics.median(own_seconds), statistics.median(users_seconds)
    weights = model.config.num_parameters - model.embedding.weight.numel()
    rate = OPERATIONS_PER_WEIGHT * weights * num_chars / own_median
    bfloat16 = statistics.median(rates[torch.bfloat16])
    print(f"{NUM_LAYERS} x {options.hidden_size}, {options.batch_size} x {options.seq_len}")
    print(f"user's loop, float32:  {num_chars / users_median:10,.0f} characters/s")
    print(f"charlstm:              {num_chars / own_median:10,.0f} characters/s")
    print(f"ratio:                 {users_median / own_median:10.2f}")
    print(f"optimizer's share:     {statistics.median(optimizer_seconds) / own_median:10.1%}")
    print(f"matrix rate, float32:  {statistics.median(rates[torch.float32]) / 1e9:10,.0f} GFLOP/s")
    print(f"matrix rate, bfloat16: {bfloat16 / 1e9:10,.0f} GFLOP/s")
    print(f"of it in training:     {rate / bfloat16:10.1%}")


if __name__ == "__main__":
    main()
