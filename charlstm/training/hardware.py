"""What the machine can do, without timing anything: device, precision, threads, memory."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

import torch
from torch import nn

from charlstm.config import Device, Precision, TrainConfig
from charlstm.errors import ConfigError, TrainingError
from charlstm.model.config import ModelConfig
from charlstm.settings import TrainSettings, require_int
from charlstm.training.recipe import Machine

# What torch's own machinery takes at the first step.
_BASE_BYTES: Final = 80_000_000
# Bytes for each parameter: weight, gradient, momentum (two for AdamW's), the copy in the steps'
# precision, and the copies that an update makes, float32 each.
_BYTES_PER_PARAMETER: Final = 28
# Numbers kept for the backward pass, float32: for each id of a chunk logits, probabilities and
# gradients; for each unit of a layer all that a step computes and its gradients, and what lies
# between layers.
_NUMBERS_PER_SYMBOL: Final = 4
_NUMBERS_BETWEEN_LAYERS: Final = 2
_FLOAT_BYTES: Final = 4
# Logits that the head predicts at a time, at most; with thousands of symbols, characters. 256 of
# 6,257 symbols took 86 ms where 64 took 131 and a whole window 236 (one thread, AVX-512).
_CHUNK_LOGITS: Final = {"cpu": 1 << 18, "mps": 1 << 26, "cuda": 1 << 26}
_MIN_CHUNK: Final = 256
_CGROUP: Final = "/sys/fs/cgroup"


def resolve_device(wanted: str) -> Device:
    """The device to train on; `auto` is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: when the machine lacks it, naming what it has.
    """
    available: list[Device] = ["cpu"]
    if torch.cuda.is_available():
        available.append("cuda")
    if torch.backends.mps.is_available():
        available.append("mps")
    if wanted == "auto":
        return "cuda" if "cuda" in available else "cpu"
    for device in available:
        if device == wanted:
            return device
    raise ConfigError(f"--device {wanted}: this machine has {' and '.join(available)}")


def resolve_precision(wanted: str, device: Device) -> Precision:
    """The precision of gradient steps.

    `auto` is float16 on CUDA, since on many GPUs cuDNN's fastest kernels of recurrent layers take
    nothing else (an H100 is as fast in bfloat16); elsewhere bfloat16 where the processor computes
    in it.

    Raises:
        ConfigError: when the device can't train in it, naming what it can.
    """
    possible: list[Precision] = ["float32"]
    if device == "cuda":
        possible.append("float16")
    if _computes_bfloat16(device):
        possible.append("bfloat16")
    if wanted == "auto":
        fastest: tuple[Precision, ...] = ("float16", "bfloat16", "float32")
        return next(precision for precision in fastest if precision in possible)
    for precision in possible:
        if precision == wanted:
            return precision
    raise ConfigError(
        f"--precision {wanted}: the {device} of this machine trains in {' and '.join(possible)}"
    )


def resolve_threads(wanted: int | None) -> int:
    """The number of threads; None is torch's choice, one per core.

    Raises:
        ConfigError: when there are none, or so many that starting them might fail.
    """
    if wanted is None:
        return torch.get_num_threads()
    require_int("--threads", wanted, 1, max(64, 4 * (os.cpu_count() or 1)))
    return wanted


def resolve_machine(settings: TrainSettings) -> Machine:
    """Return the machine that a new run trains on, where the user's settings leave it open.

    Raises:
        ConfigError: when it lacks what was asked for.
    """
    device = resolve_device(settings.device or "auto")
    return Machine(
        device=device,
        precision=resolve_precision(settings.precision or "auto", device),
        threads=resolve_threads(settings.threads),
    )


def set_threads(wanted: int | None) -> int:
    """Let torch compute on so many threads, see `resolve_threads`; returns the number."""
    threads = resolve_threads(wanted)
    torch.set_num_threads(threads)
    return threads


def require_memory(model: ModelConfig, train: TrainConfig) -> None:
    """Refuse a training that can't fit, before it takes anything.

    Raises:
        TrainingError: with both figures, and what makes it smaller.
    """
    available = available_bytes()
    if train.device == "cuda":
        available = torch.cuda.mem_get_info()[0]
    needed = estimate_bytes(model, train)
    if available is not None and needed > available:
        raise TrainingError(
            f"training would take about {needed / 1e9:.1f} GB of memory and "
            f"{available / 1e9:.1f} GB are free; try a smaller --hidden-size, or "
            "smaller batches"
        )


def _computes_bfloat16(device: Device) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "mps":
        return False
    # Other processors emulate bfloat16, up to 20 times slower than float32.
    capability: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    if not (capability.get("avx512_bf16") or capability.get("amx_bf16")):
        return False
    return _lstm_trains_in_bfloat16()


def _lstm_trains_in_bfloat16() -> bool:
    """Instructions are not enough: oneDNN must have kernels for nn.LSTM, forward and backward."""
    layer = nn.LSTM(8, 8)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            z_TBH, _ = layer(torch.zeros(2, 1, 8))
        z_TBH.float().sum().backward()
    except RuntimeError:
        return False
    return True


def chunk_size(num_symbols: int, device: str) -> int:
    """How many characters the head predicts at a time: their logits stay in a core's cache."""
    return max(_MIN_CHUNK, _CHUNK_LOGITS[device] // num_symbols)


def estimate_bytes(model: ModelConfig, train: TrainConfig) -> int:
    """Memory that training takes beyond the program itself, in bytes.

    Against the peak of resident memory of five shapes, from 1 x 2048 units to 2 x 512 in batches of
    128 x 128, it was between 1.0 and 1.9 times what was taken.
    """
    per_unit = 2 * len(model.spec.values) + _NUMBERS_BETWEEN_LAYERS
    per_char = model.num_layers * model.hidden_size * per_unit + model.embedding_size
    num_predicted = min(train.chars_per_step, chunk_size(model.num_outputs, train.device))
    per_symbol = num_predicted * _NUMBERS_PER_SYMBOL
    activations = train.chars_per_step * per_char + model.num_outputs * per_symbol
    return _BASE_BYTES + model.num_parameters * _BYTES_PER_PARAMETER + activations * _FLOAT_BYTES


@contextlib.contextmanager
def memory_errors_explained() -> Iterator[None]:
    """Turn what says that memory ran out into advice.

    Raises:
        TrainingError: naming what makes a training smaller.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        raise TrainingError(
            "out of memory; try a smaller --batch-size, --seq-len or --hidden-size"
        ) from error


def available_bytes() -> int | None:
    """Main memory that this process can still take, in bytes; None where nobody tells."""
    limits = [_free_of_system(), _free_of_address_space(), _free_of_cgroup()]
    return min((limit for limit in limits if limit is not None), default=None)


def _free_of_system() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _free_of_address_space() -> int | None:
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            with open("/proc/self/statm") as file:
                used = int(file.read().split()[0]) * resource.getpagesize()
            return max(0, limit - used)
    return None


def _free_of_cgroup() -> int | None:
    """What is left of a container's limit (cgroup version 2)."""
    with contextlib.suppress(OSError, ValueError):
        with open(f"{_CGROUP}/memory.max") as file:
            limit = int(file.read())  # "max" is no number: no limit
        with open(f"{_CGROUP}/memory.current") as file:
            used = int(file.read())
        with open(f"{_CGROUP}/memory.stat") as file:
            counts = dict(line.split() for line in file)
        # Files that were read and may be forgotten count as used.
        return max(0, min(limit, limit - used + int(counts.get("inactive_file", 0))))
    return None
