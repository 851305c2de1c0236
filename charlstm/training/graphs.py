"""Gradient steps as CUDA graphs: a whole step is launched at once, not kernel by kernel.

A step of 2 x 256, 32 x 64, has 290 kernels. To launch them took 10 ms on the host of an H100, which
computes them in 1.7 ms (tests/benchmarks/LOG.md).

Shapes: T sequence length, B batch size.
"""

from collections.abc import Callable, Hashable
from typing import Any, Final

import torch
from torch import Tensor

from charlstm.config import Dropouts

# Before one is captured: they set up what is set up once, such as the optimizer's moments.
_EAGER_STEPS: Final = 2

# (window, learning rate, dropout, recurrent dropout) -> outcome.
Step = Callable[[Tensor, Tensor, float | Tensor, float | Tensor], tuple[Tensor, ...]]


class StepGraphs:
    """A step of whole windows, captured when its third is due, and replayed from then on.

    All that changes from step to step lies in fixed places on the device: the window, the rate and
    the dropouts here, the rest where `step` keeps it, which has to change it in place.

    Args:
        step: must neither wait for the device nor copy to it.
        generator: that the step draws from, on the device.
    """

    def __init__(self, step: Step, generator: torch.Generator) -> None:
        self._step = step
        self._generator = generator
        self._by_kind: dict[Hashable, _StepGraph] = {}
        # One is replayed at a time.
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(
        self, window: Tensor, learning_rate: float, dropouts: Dropouts
    ) -> tuple[Tensor, ...]:
        """Make the step.

        Args:
            window: in main memory; of any shape, which seldom changes.
            dropouts: where one is zero, nothing is drawn for it.
        """
        kind = (window.shape, *map(bool, dropouts))
        if kind not in self._by_kind:
            self._by_kind[kind] = _StepGraph(
                self._step, self._generator, window, dropouts, pool=self._pool
            )
        return self._by_kind[kind](window, learning_rate, dropouts)


class _StepGraph:
    def __init__(
        self,
        step: Step,
        generator: torch.Generator,
        window: Tensor,
        dropouts: Dropouts,
        *,
        pool: Any,
    ) -> None:
        device = generator.device
        self._step = step
        self._generator = generator
        self._pool = pool
        self._window = torch.empty_like(window, device=device)
        self._learning_rate = torch.zeros((), device=device)
        self._rates = [torch.zeros((), device=device) if rate else None for rate in dropouts]
        # Autograd remembers the stream that it ran on: the same for all.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._num_eager = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._made: tuple[Tensor, ...] = ()

    def __call__(
        self, window: Tensor, learning_rate: float, dropouts: Dropouts
    ) -> tuple[Tensor, ...]:
        self._window.copy_(window.pin_memory(), non_blocking=True)
        self._learning_rate.fill_(learning_rate)
        for place, rate in zip(self._rates, dropouts, strict=True):
            if place is not None:
                place.fill_(rate)
        if self._num_eager < _EAGER_STEPS:
            self._num_eager += 1
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                made = self._make()
            current.wait_stream(self._stream)
            return made
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            self._graph.register_generator_state(self._generator)
            with torch.cuda.graph(self._graph, pool=self._pool, stream=self._stream):
                self._made = self._make()
        self._graph.replay()
        # The next replay writes to the same places.
        return tuple(part.clone() for part in self._made)

    def _make(self) -> tuple[Tensor, ...]:
        dropout, recurrent_dropout = (0.0 if rate is None else rate for rate in self._rates)
        return self._step(self._window, self._learning_rate, dropout, recurrent_dropout)
