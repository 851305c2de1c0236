"""Distributed training: several processes train one model, each on a part of the streams.

torchrun starts the processes; they communicate by torch.distributed (gloo on CPUs, NCCL on GPUs).
All processes make the same steps in the same order. The main process configures the run, keeps the
time, prints and writes files.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from charlstm.errors import ConfigError, TrainingError

# Workers wait this long while the main process reads a text or writes a checkpoint.
_DEFAULT_TIMEOUT_SECONDS: Final = 600.0
_TIMEOUT_NAME: Final = "CHARLSTM_DISTRIBUTED_TIMEOUT"
# Time for the main process to print its error.
_ERROR_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class World:
    """The training processes; `World()` is a single process without communication.

    Collective operations must be called by every process in the same order.

    Args:
        rank: number of this process; the main process is 0.
        size: number of processes.
        attempt: number of restarts by torchrun after losing a process.
        notes: torchrun's key-value store, which survives restarts; None without one.
    """

    rank: int = 0
    size: int = 1
    attempt: int = 0
    notes: Store | None = None

    @property
    def is_main_process(self) -> bool:
        return self.rank == 0

    def shard(self, number: int) -> slice:
        """Return this process's slice of `number` streams.

        Raises:
            ConfigError: if they can't be divided evenly.
        """
        self.require_divisible(number)
        num_streams = number // self.size
        return slice(self.rank * num_streams, (self.rank + 1) * num_streams)

    def require_divisible(self, number: int) -> None:
        """Refuse a number of streams that can't be divided evenly among the processes.

        Raises:
            ConfigError: naming both numbers.
        """
        if number % self.size:
            raise ConfigError(
                f"{number} streams (--batch-size, and fewer for a short text) can't be divided by "
                f"{self.size} processes"
            )

    def all_reduce(self, values: Sequence[float]) -> list[float]:
        """Add up each value over all processes, in float64 (all-reduce)."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        self.all_reduce_sum_(total)
        return [float(value) for value in total]

    def all_reduce_mean_(self, tensors: Sequence[Tensor]) -> None:
        """Average float32 tensors over all processes, in place, with one all-reduce."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.all_reduce_sum_(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def all_reduce_sum_(self, tensor: Tensor) -> None:
        """Sum a tensor over all processes, in place (all-reduce)."""
        if self.size == 1:
            return
        with _translate_errors():
            dist.all_reduce(tensor)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return every process's tensor, by rank; all must have the same shape (all-gather)."""
        if self.size == 1:
            return [tensor]
        tensors = [torch.empty_like(tensor) for _ in range(self.size)]
        with _translate_errors():
            dist.all_gather(tensors, tensor.contiguous())
        return tensors

    def broadcast(self, value: Any) -> Any:
        """Return the main process's value."""
        if self.size == 1:
            return value
        values = [value]
        with _translate_errors():
            dist.broadcast_object_list(values)
        return values[0]

    def wait_for_main_process(self) -> None:
        """Wait until the main process has ended.

        torchrun ends all processes when one ends; the main process must print its error first.
        """
        with contextlib.suppress(TrainingError):
            self.broadcast(None)
        # The main process leaves the group before printing.
        time.sleep(_ERROR_SECONDS)

    def note(self, name: str, value: str) -> None:
        """Store a value for later attempts."""
        if self.notes is not None:
            with _translate_errors():
                self.notes.set(name, value)

    def noted(self, name: str) -> str | None:
        """Return the value stored by an earlier attempt, or None."""
        if self.notes is None:
            return None
        with _translate_errors():
            return self.notes.get(name).decode() if self.notes.check([name]) else None

    def leave(self, exit_code: int) -> None:
        """If there are several processes, exit immediately, after everything is closed.

        gloo's threads sometimes abort the interpreter during a normal shutdown.
        """
        if self.size > 1:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(exit_code)


SINGLE_PROCESS: Final = World()


@contextlib.contextmanager
def join_world(environment: Mapping[str, str] = os.environ) -> Iterator[World]:
    """Initialize the process group, if torchrun started several processes.

    Raises:
        ConfigError: if a value in the environment is invalid.
        TrainingError: if the other processes can't be reached.
    """
    size = _whole_number(environment, "WORLD_SIZE", 1)
    attempt = _whole_number(environment, "TORCHELASTIC_RESTART_COUNT", 0)
    keeps_notes = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if "MASTER_ADDR" not in environment or (size == 1 and not keeps_notes):
        yield World(attempt=attempt)
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(_whole_number(environment, "LOCAL_RANK", 0))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    timeout = timedelta(seconds=_timeout(environment))
    with _translate_errors():
        store, rank, size = next(rendezvous("env://", timeout=timeout))
    notes = PrefixStore("charlstm", store) if keeps_notes else None
    if size == 1:
        yield World(attempt=attempt, notes=notes)
        return
    with _translate_errors():
        # After a restart, torchrun's store still has the addresses of the previous processes,
        # hence a prefix for each attempt.
        dist.init_process_group(
            backend,
            store=PrefixStore(f"charlstm/{attempt}", store),
            rank=rank,
            world_size=size,
            timeout=timeout,
        )
    try:
        yield World(rank=rank, size=size, attempt=attempt, notes=notes)
    finally:
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def _whole_number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal():
        raise ConfigError(f"{name}={text}: must be a whole number; torchrun sets it")
    return int(text)


def _timeout(environment: Mapping[str, str]) -> float:
    text = environment.get(_TIMEOUT_NAME, "")
    try:
        seconds = float(text or _DEFAULT_TIMEOUT_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < 1e6:
        raise ConfigError(f"{_TIMEOUT_NAME}={text}: must be a number of seconds greater than 0")
    return seconds


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"another process of this training can't be reached: {reason}"
        ) from error
