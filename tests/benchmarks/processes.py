"""Measure what several processes gain: the parts of a step, and the bytes exchanged.

    torchrun --standalone --nproc-per-node 2 tests/benchmarks/processes.py [--hidden-size 256]

Each process has a batch of its own. Prints the time of a joint step, the time of independent steps
of all processes at the same time, and the efficiency that the model in LOG.md predicts here and
with more workers.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from charlstm.config import TrainConfig
from charlstm.model.config import ModelConfig
from charlstm.model.lstm import CharLSTM
from charlstm.system.distributed import SINGLE_PROCESS, World, join_world
from charlstm.training.batches import Batch
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.hardware import resolve_device, resolve_precision
from charlstm.training.optimization import orthogonalize

NUM_CHARACTERS = 65
FLOAT_BYTES = 4
NUM_LAYERS = 2
WORKERS = (2, 4, 8, 16, 64, 256, 1024)
# Bytes per second for each worker, and seconds for each exchange between two.
NETWORKS = {"10 Gbit/s Ethernet": (1.25e9, 30e-6), "400 Gbit/s InfiniBand": (50e9, 3e-6)}


def make_step(model_config: ModelConfig, config: TrainConfig, world: World) -> Callable[[], object]:
    torch.manual_seed(0)
    share = world.shard(config.batch_size)
    shape = (config.seq_len, share.stop - share.start)
    generator = torch.Generator().manual_seed(world.rank)
    batch = Batch(
        x_TB=torch.randint(NUM_CHARACTERS, shape, generator=generator),
        y_TB=torch.randint(NUM_CHARACTERS, shape, generator=generator),
        begins_TB=torch.zeros(shape, dtype=torch.bool),
    )
    bptt = TruncatedBPTT(CharLSTM(model_config), config, world=world)
    return lambda: bptt.step(batch, 1e-4)


def seconds(step: Callable[[], object], number: int) -> float:
    times = []
    for _ in range(number):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def exchange_seconds(num_workers: int, num_bytes: float, rate: float, latency: float) -> float:
    """An all-reduce by halving and doubling (Thakur et al. 2005): each byte twice over the wire."""
    rounds = 2 * math.ceil(math.log2(num_workers))
    return 2 * (num_workers - 1) / num_workers * num_bytes / rate + rounds * latency


def efficiency(num_workers: int, step: float, muon: float, exchange: float) -> float:
    """Characters per second of a worker beside one alone, each with a batch of its own.

    Gradients are exchanged, then what Muon made of the matrices, about as many bytes; each worker
    orthogonalises only some of them.
    """
    saved = muon * (1 - 1 / min(num_workers, 2 * NUM_LAYERS - 1))
    return step / (step - saved + 2 * exchange)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seq-len", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = resolve_device("auto")
    model_config = ModelConfig(
        num_characters=NUM_CHARACTERS,
        embedding_size=64,
        hidden_size=arguments.hidden_size,
        num_layers=NUM_LAYERS,
        cell="lstm",
    )
    config = TrainConfig(
        batch_size=arguments.batch_size,
        seq_len=arguments.seq_len,
        learning_rate=1e-3,
        weight_decay=0.1,
        reset_probability=0.0,
        num_evaluations=1,
        seed=0,
        threads=1,
        device=device,
        precision=resolve_precision("auto", device),
    )
    with join_world() as world:
        whole = replace(config, batch_size=config.batch_size * world.size)
        together = make_step(model_config, whole, world)
        alone = make_step(model_config, config, SINGLE_PROCESS)
        for step in (together, alone):
            seconds(step, 3)
        with_others, by_itself = [], []
        for _ in range(arguments.steps // 5):
            world.all_reduce([0.0])
            with_others.append(seconds(together, 5))
            by_itself.append(seconds(alone, 5))
        gradient = torch.zeros(model_config.num_parameters)
        exchange = seconds(lambda: world.all_reduce_sum_(gradient), 10)
        size = arguments.hidden_size
        matrices = torch.randn(2 * NUM_LAYERS - 1, 4 * size, size)
        dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        muon = seconds(lambda: orthogonalize(matrices, dtype), 5)
        step = statistics.median(by_itself)
        if world.is_main_process:
            num_bytes = FLOAT_BYTES * model_config.num_parameters
            print(f"2 x {size}, {config.batch_size} x {config.seq_len} for each process")
            print(f"a step by itself        {step * 1e3:.1f} ms")
            print(f"of that orthogonalising {muon * 1e3:.1f} ms")
            print(f"exchanging {num_bytes / 1e6:5.2f} MB     {exchange * 1e3:.1f} ms")
            print(
                f"a step of {world.size} together    {statistics.median(with_others) * 1e3:.1f} ms"
            )
            print(f"efficiency measured     {sum(by_itself) / sum(with_others):.0%}")
            print(f"efficiency predicted    {efficiency(world.size, step, muon, exchange):.0%}")
            for name, (rate, latency) in NETWORKS.items():
                shares = ", ".join(
                    f"{number}: {efficiency(number, step, muon, seconds_of):.0%}"
                    for number in WORKERS
                    for seconds_of in [exchange_seconds(number, num_bytes, rate, latency)]
                )
                print(f"predicted, {name}: {shares}")


if __name__ == "__main__":
    main()
