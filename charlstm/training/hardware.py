"""What the machine can do: device, precision, threads, memory; capabilities decide, no timing."""

import os

import torch
from torch import nn

from charlstm.config import Device, Precision, TrainConfig
from charlstm.errors import ConfigError, TrainingError
from charlstm.model.config import ModelConfig
from charlstm.settings import require_int
from charlstm.training.memory import available_bytes, estimate_bytes


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
