"""Hardware capabilities: device, precision, threads, memory."""

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
from charlstm.training.auto_config import Machine

# Allocated by torch itself at the first step.
_BASE_BYTES: Final = 80_000_000
# Weight, gradient, momentum (two for AdamW), a copy in the training precision, and temporary copies
# during the update.
_BYTES_PER_PARAMETER: Final = 28
# float32 values kept for the backward pass: per logit of a chunk (logits, probabilities, gradients)
# and per unit between layers.
_VALUES_PER_LOGIT: Final = 4
_VALUES_BETWEEN_LAYERS: Final = 2
_FLOAT_BYTES: Final = 4
# Maximum number of logits computed at a time. With a vocabulary of 6,257, chunks of 256 characters
# took 86 ms, chunks of 64 took 131 ms and an entire window 236 ms (one thread, AVX-512).
_CHUNK_LOGITS: Final = {"cpu": 1 << 18, "mps": 1 << 26, "cuda": 1 << 26}
_MIN_CHUNK: Final = 256
_CGROUP: Final = "/sys/fs/cgroup"


def resolve_device(wanted: str) -> Device:
    """Return the device to train on; `auto` is CUDA if available, otherwise the CPU.

    Raises:
        ConfigError: if the machine doesn't have the device.
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
    """Return the training precision.

    `auto` is float16 on CUDA, because cuDNN's fastest recurrent kernels need it on many GPUs (an
    H100 is as fast in bfloat16). Elsewhere it is bfloat16 if the hardware supports it.

    Raises:
        ConfigError: if the device doesn't support the precision.
    """
    supported: list[Precision] = ["float32"]
    if device == "cuda":
        supported.append("float16")
    if _supports_bfloat16(device):
        supported.append("bfloat16")
    if wanted == "auto":
        fastest: tuple[Precision, ...] = ("float16", "bfloat16", "float32")
        return next(precision for precision in fastest if precision in supported)
    for precision in supported:
        if precision == wanted:
            return precision
    raise ConfigError(
        f"--precision {wanted}: the {device} of this machine supports {' and '.join(supported)}"
    )


def resolve_threads(wanted: int | None) -> int:
    """Return the number of threads; None is torch's default, one per core.

    Raises:
        ConfigError: if it is less than 1, or so large that starting threads might fail.
    """
    if wanted is None:
        return torch.get_num_threads()
    require_int("--threads", wanted, 1, max(64, 4 * (os.cpu_count() or 1)))
    return wanted


def resolve_machine(settings: TrainSettings) -> Machine:
    """Return the device, precision and threads of a new run: the user's settings or defaults.

    Raises:
        ConfigError: if the machine doesn't support a setting.
    """
    device = resolve_device(settings.device or "auto")
    return Machine(
        device=device,
        precision=resolve_precision(settings.precision or "auto", device),
        threads=resolve_threads(settings.threads),
    )


def set_threads(wanted: int | None) -> int:
    """Set torch's number of threads, see `resolve_threads`, and return it."""
    threads = resolve_threads(wanted)
    torch.set_num_threads(threads)
    return threads


def require_memory(model: ModelConfig, train: TrainConfig) -> None:
    """Raise TrainingError if training needs more memory than available, before allocating any."""
    available = available_bytes()
    if train.device == "cuda":
        available = torch.cuda.mem_get_info()[0]
    needed = estimate_bytes(model, train)
    if available is not None and needed > available:
        raise TrainingError(
            f"training needs about {needed / 1e9:.1f} GB of memory, but only "
            f"{available / 1e9:.1f} GB are free; try a smaller --hidden-size or --batch-size"
        )


def _supports_bfloat16(device: Device) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "mps":
        return False
    # Emulation on other CPUs is up to 20 times slower than float32.
    capability: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    if not (capability.get("avx512_bf16") or capability.get("amx_bf16")):
        return False
    return _lstm_trains_in_bfloat16()


def _lstm_trains_in_bfloat16() -> bool:
    """Return whether oneDNN has bfloat16 kernels for nn.LSTM, forward and backward."""
    layer = nn.LSTM(8, 8)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            z_TBH, _ = layer(torch.zeros(2, 1, 8))
        z_TBH.float().sum().backward()
    except RuntimeError:
        return False
    return True


def chunk_size(num_outputs: int, device: str) -> int:
    """Return the number of characters whose logits are computed at a time.

    On a CPU their logits fit in a core's cache, unless the vocabulary is very large.
    """
    return max(_MIN_CHUNK, _CHUNK_LOGITS[device] // num_outputs)


def estimate_bytes(model: ModelConfig, train: TrainConfig) -> int:
    """Return the memory needed for training, without the program itself, in bytes.

    For five models from 1 x 2048 to 2 x 512 units, the latter in batches of 128 x 128, the estimate
    was 1.0 to 1.9 times the measured peak.
    """
    per_unit = 2 * len(model.spec.values) + _VALUES_BETWEEN_LAYERS
    per_char = model.num_layers * model.hidden_size * per_unit + model.embedding_size
    num_predicted = min(train.chars_per_step, chunk_size(model.num_outputs, train.device))
    per_output = num_predicted * _VALUES_PER_LOGIT
    activations = train.chars_per_step * per_char + model.num_outputs * per_output
    return _BASE_BYTES + model.num_parameters * _BYTES_PER_PARAMETER + activations * _FLOAT_BYTES


@contextlib.contextmanager
def explain_memory_errors() -> Iterator[None]:
    """Within the context, convert out-of-memory errors to TrainingError with advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        raise TrainingError(
            "out of memory; try a smaller --batch-size, --seq-len or --hidden-size"
        ) from error


def available_bytes() -> int | None:
    """Return the main memory available to this process, in bytes, or None if unknown."""
    limits = [_system_available(), _address_space_available(), _cgroup_available()]
    return min((limit for limit in limits if limit is not None), default=None)


def _system_available() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _address_space_available() -> int | None:
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            with open("/proc/self/statm") as file:
                used = int(file.read().split()[0]) * resource.getpagesize()
            return max(0, limit - used)
    return None


def _cgroup_available() -> int | None:
    """Return the memory left under a container's limit (cgroup v2)."""
    with contextlib.suppress(OSError, ValueError):
        with open(f"{_CGROUP}/memory.max") as file:
            limit = int(file.read())  # ValueError for "max": no limit
        with open(f"{_CGROUP}/memory.current") as file:
            used = int(file.read())
        with open(f"{_CGROUP}/memory.stat") as file:
            counts = dict(line.split() for line in file)
        # The reclaimable page cache counts as used.
        return max(0, min(limit, limit - used + int(counts.get("inactive_file", 0))))
    return None
