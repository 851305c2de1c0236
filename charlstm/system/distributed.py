"""Several processes that train one model together, each on its share of the streams.

They are started by torchrun and talk through torch.distributed: gloo between CPUs, NCCL between
GPUs. All of them make the same steps in the same order; the first one plans, keeps the time,
prints and writes.
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

# Longer than a text takes to be read and a checkpoint to be written, while the others wait.
_DEFAULT_TIMEOUT_SECONDS: Final = 600.0
_TIMEOUT_NAME: Final = "CHARLSTM_DISTRIBUTED_TIMEOUT"
# What the first process takes to say why it ends.
_LAST_WORDS_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of a training; `World()` is one alone, which exchanges nothing.

    What exchanges something has to be called by all processes, in the same order.

    Args:
        rank: this process's number; the first one, 0, leads.
        size: how many there are.
        attempt: how often torchrun has started them again, after it lost one.
        notes: outlive such a start, where torchrun keeps them.
    """

    rank: int = 0
    size: int = 1
    attempt: int = 0
    notes: Store | None = None

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, number: int) -> slice:
        """This process's part of so many streams.

        Raises:
            ConfigError: when they can't be divided evenly.
        """
        self.require_divisible(number)
        part = number // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def require_divisible(self, number: int) -> None:
        """Refuse a number of streams that the processes can't share evenly.

        Raises:
            ConfigError: naming both numbers.
        """
        if number % self.size:
            raise ConfigError(
                f"{number} streams (--batch-size, and fewer for a short text) can't be divided by "
                f"{self.size} processes"
            )

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums of numbers over all processes, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        self.add_up_(total)
        return [float(value) for value in total]

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace float32 tensors by their means over all processes, in one exchange."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.add_up_(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def add_up_(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.size == 1:
            return
        with _lost_peers_explained():
            dist.all_reduce(tensor)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Every process's tensor, all of one shape, by rank."""
        if self.size == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        with _lost_peers_explained():
            dist.all_gather(found, tensor.contiguous())
        return found

    def broadcast(self, value: Any) -> Any:
        """The first process's value."""
        if self.size == 1:
            return value
        values = [value]
        with _lost_peers_explained():
            dist.broadcast_object_list(values)
        return values[0]

    def wait_for_leader(self) -> None:
        """Return when the first process has ended.

        torchrun ends all of them when one does, and the first has to say why.
        """
        with contextlib.suppress(TrainingError):
            self.broadcast(None)
        # It leaves the others first, and then speaks.
        time.sleep(_LAST_WORDS_SECONDS)

    def note(self, name: str, value: str) -> None:
        """Write down what a later attempt may want to know."""
        if self.notes is not None:
            with _lost_peers_explained():
                self.notes.set(name, value)

    def noted(self, name: str) -> str | None:
        """What an earlier attempt wrote down, None for nothing."""
        if self.notes is None:
            return None
        with _lost_peers_explained():
            return self.notes.get(name).decode() if self.notes.check([name]) else None

    def leave(self, exit_code: int) -> None:
        """End this process, if it is one of several, when all is done and closed.

        At once: gloo's threads sometimes abort an interpreter that takes itself down.
        """
        if self.size > 1:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(exit_code)


ALONE: Final = World()


@contextlib.contextmanager
def join_world(environment: Mapping[str, str] = os.environ) -> Iterator[World]:
    """Meet the other processes, if torchrun started several.

    Raises:
        ConfigError: when the time limit in the environment is no number.
        TrainingError: when they can't be reached.
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
    with _lost_peers_explained():
        store, rank, size = next(rendezvous("env://", timeout=timeout))
    notes = PrefixStore("charlstm", store) if keeps_notes else None
    if size == 1:
        yield World(attempt=attempt, notes=notes)
        return
    with _lost_peers_explained():
        # torchrun keeps its store when it starts the processes again, with the addresses of those
        # that are no more.
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
    wanted = environment.get(_TIMEOUT_NAME, "")
    try:
        seconds = float(wanted or _DEFAULT_TIMEOUT_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < 1e6:
        raise ConfigError(f"{_TIMEOUT_NAME}={wanted}: must be seconds above 0")
    return seconds


@contextlib.contextmanager
def _lost_peers_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"another process of this training can't be reached: {reason}"
        ) from error
