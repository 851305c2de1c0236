"""Gradient steps as CUDA graphs, which launch all kernels of a step at once.

A step of a 2 x 256 model on a batch of 32 x 64 has 290 kernels. An H100 computes them in 1.7 ms,
but launching them one by one took 10 ms (tests/benchmarks/LOG.md).
"""

from collections.abc import Callable, Hashable
from typing import Any, Final

import torch
from torch import Tensor

from charlstm.config import Dropouts

# Steps before capture, for one-time setup such as allocating the optimizer's moments.
_EAGER_STEPS: Final = 2

# (window, learning rate, dropout, recurrent dropout) -> outcome.
Step = Callable[[Tensor, Tensor, float | Tensor, float | Tensor], tuple[Tensor, ...]]


class StepGraphs:
    """Gradient step on unsplit windows, captured on the third call and replayed from then on.

    Values that change between steps stay at fixed addresses on the device: window, learning rate
    and dropout rates here, all others in `step`, which must update them in place.

    Args:
        step: must neither synchronize with the device nor copy to it.
        generator: random generator of the step, on the device.
    """

    def __init__(self, step: Step, generator: torch.Generator) -> None:
        self._step = step
        self._generator = generator
        self._graph_by_key: dict[Hashable, _StepGraph] = {}
        # Shared, because graphs never run concurrently.
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(
        self, window: Tensor, learning_rate: float, dropouts: Dropouts
    ) -> tuple[Tensor, ...]:
        """Run one step.

        Args:
            window: host tensor; each new shape needs a graph of its own.
            dropouts: no mask is drawn for a rate of zero.
        """
        key = (window.shape, *map(bool, dropouts))
        if key not in self._graph_by_key:
            self._graph_by_key[key] = _StepGraph(
                self._step, self._generator, window, dropouts, pool=self._pool
            )
        return self._graph_by_key[key](window, learning_rate, dropouts)


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
        # Autograd remembers its stream, so warm-up and capture use the same one.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._num_eager = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._outputs: tuple[Tensor, ...] = ()

    def __call__(
        self, window: Tensor, learning_rate: float, dropouts: Dropouts
    ) -> tuple[Tensor, ...]:
        self._window.copy_(window.pin_memory(), non_blocking=True)
        self._learning_rate.fill_(learning_rate)
        for buffer, rate in zip(self._rates, dropouts, strict=True):
            if buffer is not None:
                buffer.fill_(rate)
        if self._num_eager < _EAGER_STEPS:
            self._num_eager += 1
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                outputs = self._run_step()
            current.wait_stream(self._stream)
            return outputs
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            self._graph.register_generator_state(self._generator)
            with torch.cuda.graph(self._graph, pool=self._pool, stream=self._stream):
                self._outputs = self._run_step()
        self._graph.replay()
        # The next replay overwrites the outputs.
        return tuple(output.clone() for output in self._outputs)

    def _run_step(self) -> tuple[Tensor, ...]:
        dropout, recurrent_dropout = (0.0 if rate is None else rate for rate in self._rates)
        return self._step(self._window, self._learning_rate, dropout, recurrent_dropout)
