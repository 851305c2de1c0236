"""Measure training speed on a CUDA device: full gradient steps, with and without a CUDA graph.

    python tests/benchmarks/cuda.py [--models 2x256,3x1024,2x1840] [--shapes 32x64,128x128,256x128]

Prints where the time of a step of the first model goes, on host and device; the time of
Newton-Schulz; and characters/s of the program's own steps, including batches and their copies,
launched kernel by kernel and as one CUDA graph, with the graph's fraction of the rate of a large
bfloat16 product.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import median

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from charlstm.config import Dropouts, Precision, TrainConfig
from charlstm.model.config import ModelConfig
from charlstm.model.lstm import CharLSTM
from charlstm.system.distributed import SINGLE_PROCESS
from charlstm.text.encoded_text import EncodedText
from charlstm.training.batches import PackedWindow
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.bucketing import Batches, batches_of
from charlstm.training.optimization import orthogonalize

NUM_CHARACTERS = 65
EMBEDDING_SIZE = 128
NUM_CHARS = 5_000_000
OPERATIONS_PER_WEIGHT = 6  # forward and backward
DROPOUTS = Dropouts(dropout=0.1, recurrent_dropout=0.1)
RATE = 1e-3
SECONDS = 0.25  # of each measurement
WARM_UP_STEPS = 4  # the third is captured
PROFILED_STEPS = 10


def learner_of(
    num_layers: int,
    hidden_size: int,
    shape: tuple[int, int],
    precision: Precision,
    split: EncodedText,
) -> tuple[TruncatedBPTT, Batches, CharLSTM]:
    train = TrainConfig(
        batch_size=shape[0],
        seq_len=shape[1],
        learning_rate=RATE,
        weight_decay=0.1,
        **DROPOUTS._asdict(),
        reset_probability=0.0,
        num_evaluations=1,
        seed=0,
        threads=1,
        device="cuda",
        precision=precision,
    )
    model = ModelConfig(
        num_characters=NUM_CHARACTERS,
        embedding_size=EMBEDDING_SIZE,
        hidden_size=hidden_size,
        num_layers=num_layers,
        cell="lstm",
    )
    network = CharLSTM(model).to("cuda")
    batches = batches_of(split, train, bos_id=model.bos_id, world=SINGLE_PROCESS)
    return TruncatedBPTT(network, train), batches, network


def seconds_of(step: Callable[[], object]) -> float:
    """Of one of many steps, the device never waited for in between."""
    for _ in range(WARM_UP_STEPS):
        step()
    torch.cuda.synchronize()
    seconds, number = 0.0, 3
    while seconds < SECONDS:
        began = time.perf_counter()
        for _ in range(number):
            step()
        torch.cuda.synchronize()
        seconds, made = time.perf_counter() - began, number
        number = max(3, round(1.2 * SECONDS / seconds * number))
    return seconds / made


def step_of(learner: TruncatedBPTT, batches: Batches) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    return lambda: learner.step(batches.next(generator), RATE, DROPOUTS)


def product_rate() -> float:
    """Operations per second in a product of two large bfloat16 matrices."""
    one, two = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / seconds_of(lambda: one @ two)


def speeds(
    models: list[tuple[int, int]],
    shapes: list[tuple[int, int]],
    precisions: list[Precision],
    split: EncodedText,
    peak: float,
) -> None:
    print("| model | precision | step | eager | characters/s | graph | characters/s | of peak |")
    print("|---|---|---|---|---|---|---|---|")
    for num_layers, hidden_size in models:
        for precision in precisions:
            for shape in shapes:
                learner, batches, network = learner_of(
                    num_layers, hidden_size, shape, precision, split
                )
                num_chars = shape[0] * shape[1]
                weights = network.config.num_parameters - network.embedding.weight.numel()
                captured = seconds_of(step_of(learner, batches))
                learner._graphs = None
                eager = seconds_of(step_of(learner, batches))
                share = OPERATIONS_PER_WEIGHT * weights * num_chars / captured / peak
                print(
                    f"| {num_layers} x {hidden_size} | {precision} | {shape[0]} x {shape[1]} "
                    f"| {eager * 1e3:.2f} ms | {num_chars / eager:,.0f} "
                    f"| {captured * 1e3:.2f} ms | {num_chars / captured:,.0f} | {share:.1%} |",
                    flush=True,
                )
                del learner, batches, network
                torch.cuda.empty_cache()


def parts(num_layers: int, hidden_size: int, shape: tuple[int, int], split: EncodedText) -> None:
    """Where the time of a step goes."""
    learner, batches, _ = learner_of(num_layers, hidden_size, shape, "float16", split)
    generator = torch.Generator().manual_seed(0)
    step = step_of(learner, batches)
    captured = seconds_of(step)
    learner._graphs = None
    wall = seconds_of(step)
    optimizer = seconds_of(lambda: learner._optimizer.step(0.0, loss_scale=learner._loss_scale))
    hosts, making, cutting, copying = [], [], [], []
    for _ in range(20):
        torch.cuda.synchronize()
        times = [time.perf_counter()]
        batch = batches.next(generator)
        times.append(time.perf_counter())
        PackedWindow.of(batch.begins_TB.numpy())
        times.append(time.perf_counter())
        learner._on_device(batch.x_TB)
        times.append(time.perf_counter())
        torch.cuda.synchronize()
        began = time.perf_counter()
        step()
        hosts.append(time.perf_counter() - began)
        for found, (before, after) in zip((making, cutting, copying), pairwise(times), strict=True):
            found.append(after - before)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiled:
        for _ in range(PROFILED_STEPS):
            step()
        torch.cuda.synchronize()
    kernels = [one for one in profiled.events() if one.device_type.name == "CUDA"]
    busy = sum(one.self_device_time_total for one in kernels) / PROFILED_STEPS
    print(f"\n{num_layers} x {hidden_size}, {shape[0]} x {shape[1]}, float16, a step:")
    print(f"  as one CUDA graph {captured * 1e3:.2f} ms; kernel by kernel {wall * 1e3:.2f} ms:")
    print(f"  the host's work {median(hosts) * 1e3:.2f} ms, of that")
    print(
        f"  batch {median(making) * 1e3:.3f}, pieces {median(cutting) * 1e3:.3f}, "
        f"one pinned copy {median(copying) * 1e3:.3f} ms; optimizer by itself "
        f"{optimizer * 1e3:.2f} ms"
    )
    print(
        f"  device busy {busy / 1e3:.2f} ms in {len(kernels) / PROFILED_STEPS:.0f} kernels/copies"
    )
    by_name: dict[str, list[float]] = {}
    for one in kernels:
        by_name.setdefault(one.name, []).append(one.self_device_time_total)
    for name, found in sorted(by_name.items(), key=lambda pair: -sum(pair[1]))[:8]:
        number = len(found) / PROFILED_STEPS
        print(f"  {sum(found) / PROFILED_STEPS / 1e3:7.3f} ms {number:6.1f}x  {name[:80]}")
    print("  most of the host's time (ms a step, calls):")
    for average in sorted(profiled.key_averages(), key=lambda one: -one.self_cpu_time_total)[:14]:
        milliseconds = average.self_cpu_time_total / PROFILED_STEPS / 1e3
        print(
            f"  {milliseconds:7.3f} ms {average.count / PROFILED_STEPS:6.1f}x  {average.key[:70]}"
        )


def newton_schulz(sizes: list[int]) -> None:
    print("\nNewton-Schulz of three [4H, H] matrices, ms: float32, bfloat16")
    for size in sizes:
        matrices = torch.randn(3, 4 * size, size, device="cuda")
        found = [
            seconds_of(partial(orthogonalize, matrices, dtype))
            for dtype in (torch.float32, torch.bfloat16)
        ]
        print(f"  {size}: {found[0] * 1e3:.2f}, {found[1] * 1e3:.2f}", flush=True)


def pairs(text: str) -> list[tuple[int, int]]:
    found = [tuple(map(int, one.split("x"))) for one in text.split(",")]
    return [(first, second) for first, second in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=pairs, default="2x256,3x1024,2x1840")
    parser.add_argument("--shapes", type=pairs, default="32x64,128x128,256x128")
    parser.add_argument("--precisions", default="float16,bfloat16")
    options = parser.parse_args()

    cudnn = torch.backends.cudnn.version()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, cuDNN {cudnn}")
    peak = product_rate()
    print(f"bfloat16 product of 8192^3: {peak / 1e12:,.0f} TFLOP/s")
    ids = np.random.default_rng(0).integers(1, NUM_CHARACTERS + 1, NUM_CHARS).astype(np.uint8)
    split = EncodedText(ids=ids, starts=np.zeros(1, np.int64))
    for shape in options.shapes[:1] + options.shapes[-1:]:
        parts(*options.models[0], shape, split)
    newton_schulz(sorted({size for _, size in options.models}))
    print()
    speeds(options.models, options.shapes, options.precisions.split(","), split, peak)


if __name__ == "__main__":
    main()
