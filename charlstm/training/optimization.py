"""The optimizer and the learning-rate schedule.

Muon (Jordan et al. 2024) for the matrices of the recurrent stack, AdamW (Loshchilov & Hutter
2019) for embedding, head and biases. On tiny Shakespeare this pair was 0.11 nats per
character better than AdamW at the same number of characters.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from charlstm.system.distributed import ALONE, World
from charlstm.training.state import tensor_entry

WARMUP_FRACTION: Final = 0.03
# Of the full rate: even a run of one step learns something.
_FIRST_RATE: Final = 0.1
MAX_GRADIENT_NORM: Final = 1.0

_MOMENTUM: Final = 0.95
# After n steps the momentum is (1 + n) / (10 + n), while that is less, up to step 170: gradients of
# the first steps are soon out of date.
_MOMENTUM_DELAY: Final = 10.0
# AdamW's rate, times Muon's.
_ADAMW_RATE: Final = 3.0
_ADAM_BETAS: Final = (0.9, 0.99)
# Odd quintics a x + b x^3 + c x^5, applied one after another: each the best approximation of 1 on
# the interval that the one before leaves, beginning with singular values in [0.003, 1] (the idea
# of Amsel et al. 2025, "The Polar Express"; the coefficients are our own). Each interval was made
# 6 % longer at its upper end: the quintics diverge just beyond it, and bfloat16 rounds.
_QUINTICS: Final = (
    (7.9160, -20.8181, 13.7346),
    (3.8381, -2.5466, 0.4283),
    (3.4072, -2.2822, 0.4040),
    (2.5298, -1.7021, 0.3532),
)
_TINY: Final = 1e-20
# An orthogonal update times this has the root mean square of AdamW's usual update, so that one
# learning rate serves both (Liu et al. 2025, "Muon is scalable for LLM training").
_ADAM_UPDATE_RMS: Final = 0.2


def learning_rate_scale(progress: float) -> float:
    """Warm up from a tenth over the first 3 % of the run, then fall linearly to zero at its end.

    Args:
        progress: the part of the run that is done, from 0 to 1.
    """
    if progress < WARMUP_FRACTION:
        return max(_FIRST_RATE, progress / WARMUP_FRACTION)
    return max(0.0, (1.0 - progress) / (1.0 - WARMUP_FRACTION))


class Optimizer:
    """Muon for `model.layers`' matrices, AdamW for every other parameter.

    Matrices of the same shape are stacked and orthogonalized in one batch.

    Args:
        weight_decay: for Muon's matrices, decoupled, times the learning rate; only of the weights
            that the same step moves toward zero anyway (Chen et al. 2025, "Cautious weight
            decay").
        vocabulary_decay: for the matrices with a row for each symbol, embedding and head,
            decoupled, times AdamW's learning rate. Biases get none.
        dtype: that Muon's matrix products are made in.
        world: the processes that make the same step; they share the work of orthogonalizing.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        weight_decay: float,
        vocabulary_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
        world: World = ALONE,
    ) -> None:
        self._dtype = dtype
        self._world = world
        self._weight_decay = weight_decay
        self._parameters = dict(model.named_parameters())
        by_shape: defaultdict[torch.Size, list[str]] = defaultdict(list)
        vocabulary: list[Tensor] = []
        biases: list[Tensor] = []
        for name, parameter in self._parameters.items():
            if parameter.ndim == 1:
                biases.append(parameter)
            elif name.startswith("layers."):
                by_shape[parameter.shape].append(name)
            else:
                vocabulary.append(parameter)
        self._groups = list(by_shape.values())
        self._means = [
            torch.zeros(len(names), *shape, device=self._parameters[names[0]].device)
            for shape, names in by_shape.items()
        ]
        # The fused kernel alone can be told by a tensor to do nothing.
        groups = [
            {"params": vocabulary, "weight_decay": vocabulary_decay},
            {"params": biases, "weight_decay": 0.0},
        ]
        self._adamw = torch.optim.AdamW(
            groups,
            lr=0.0,
            betas=_ADAM_BETAS,
            fused=True,
        )

    def zero_grad(self) -> None:
        for parameter in self._parameters.values():
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """Of every parameter, in order."""
        return [_gradient(parameter) for parameter in self._parameters.values()]

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor, *, loss_scale: Tensor | None = None) -> Tensor:
        """Update every parameter from its gradient, or none, where any part of it isn't finite.

        The gradient is divided by the loss's scale, then shortened to norm 1 where it is longer.
        No value of a tensor is read: a GPU is given its work without waiting for it.

        Args:
            learning_rate: Muon's; a tensor on a GPU, where a CUDA graph finds it.
            loss_scale: what the loss was multiplied with, float32 []; None for 1.

        Returns:
            Whether the gradient was finite, bool [].
        """
        is_finite = self._clip_gradient(loss_scale)
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate * _ADAMW_RATE
            # The fused kernel always is; torch warns where that is said without need.
            group["capturable"] = (
                isinstance(learning_rate, Tensor)
                and learning_rate.is_cuda
                and torch.cuda.is_current_stream_capturing()
            )
        # As torch.amp.GradScaler tells it.
        self._adamw.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
        self._adamw.step()
        momentum = self._momentum_now()
        kept = 1.0 - is_finite * (learning_rate * self._weight_decay)
        for names, mean in zip(self._groups, self._means, strict=True):
            matrices: list[Tensor] = [self._parameters[name] for name in names]
            gradient = torch.stack([_gradient(matrix) for matrix in matrices])
            # Where the step is skipped: NaN times zero stays NaN, hence both.
            gradient.masked_fill_(~is_finite, 0.0)
            mean.lerp_(gradient, is_finite * (1.0 - momentum))
            # Nesterov's look ahead.
            update = self._orthogonalize(gradient.lerp_(mean, momentum))
            length = _ADAM_UPDATE_RMS * math.sqrt(max(update.shape[-2:]))
            update *= is_finite * (-learning_rate * length)
            for matrix, change in zip(matrices, update, strict=True):
                matrix.mul_(torch.where(matrix * change < 0, kept, 1.0)).add_(change)
        return is_finite

    def _momentum_now(self) -> Tensor:
        """By the steps made, which AdamW counts where it runs: float32 []."""
        counted: Tensor = self._adamw.state[self._adamw.param_groups[0]["params"][0]]["step"]
        return ((1.0 + counted) / (_MOMENTUM_DELAY + counted)).clamp(max=_MOMENTUM)

    def _clip_gradient(self, loss_scale: Tensor | None) -> Tensor:
        gradients = self.gradients()
        norm = nn.utils.get_total_norm(gradients)
        scale = torch.ones_like(norm) if loss_scale is None else loss_scale
        # The longest that the gradient may be as it lies there is the scale's MAX_GRADIENT_NORM.
        factor = (MAX_GRADIENT_NORM * scale / (norm + 1e-6 * scale)).clamp(max=1.0) / scale
        torch._foreach_mul_(gradients, factor)
        return norm.isfinite()

    def _orthogonalize(self, matrices: Tensor) -> Tensor:
        """Each process some of the matrices, where there are several."""
        if self._world.size == 1:
            return orthogonalize(matrices, self._dtype)
        mine = slice(self._world.rank, None, self._world.size)
        found = torch.zeros_like(matrices)
        if self._world.rank < len(matrices):
            found[mine] = orthogonalize(matrices[mine], self._dtype)
        self._world.add_up_(found)
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that a step depends on, by name; not copied."""
        state = {}
        for names, mean in zip(self._groups, self._means, strict=True):
            for name, part in zip(names, mean, strict=True):
                state[f"{name}.momentum"] = part
        for name, parameter in self._parameters.items():
            for key, value in self._adamw.state.get(parameter, {}).items():
                state[f"{name}.{key}"] = value
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what `state_dict` returned.

        Raises:
            CheckpointError: when an entry is missing or has another shape, type or range than this
                model's: fused kernels check none of them.
        """
        for names, mean in zip(self._groups, self._means, strict=True):
            for name, part in zip(names, mean, strict=True):
                part.copy_(tensor_entry(state, f"{name}.momentum", part.shape))
        muon_names = {name for names in self._groups for name in names}
        for name, parameter in self._parameters.items():
            # AdamW has no state before its first step.
            if name not in muon_names and f"{name}.step" in state:
                shapes = {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
                # The step is counted where the kernel runs.
                self._adamw.state[parameter] = {
                    key: tensor_entry(
                        state, f"{name}.{key}", shape, least=None if key == "exp_avg" else 0.0
                    ).to(parameter.device, copy=True)
                    for key, shape in shapes.items()
                }


def orthogonalize(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Move the singular values of each matrix close to 1 (Newton-Schulz).

    Args:
        matrices: float32 [N, rows, columns].
        dtype: to compute in; bfloat16 is enough and, where it is native, faster.

    Returns:
        float32 [N, rows, columns]; singular values down to 0.003 of the largest end in
        [0.73, 1.27], smaller ones below.
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        return orthogonalize(matrices.mT, dtype).mT
    # Scaled twice: by its own norm against overflow, then by the fourth root of the sum of the
    # singular values' fourth powers: the closest bound of the largest that costs nothing.
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=_TINY)
    x = x.to(dtype)
    gram = x.mT @ x
    bound = gram.float().norm(dim=(-2, -1), keepdim=True).clamp(min=_TINY)
    gram = gram / bound.to(dtype)
    x = x / bound.sqrt().to(dtype)
    if dtype == torch.float32:
        return _by_gram_matrix(x, gram)
    for step, (a, b, c) in enumerate(_QUINTICS):
        if step:
            gram = x.mT @ x
        x = torch.baddbmm(x, x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), beta=a)
    orthogonal: Tensor = x.float()
    return orthogonal


def _by_gram_matrix(x: Tensor, gram: Tensor) -> Tensor:
    """The same polynomials, collected beside x.

    With G = X'X every iterate is X times a polynomial of G, so that only one more product touches
    the larger matrix. It saves half the work, and takes the precision of float32.
    """
    identity = torch.eye(gram.shape[-1], device=gram.device)
    product = identity.expand_as(gram)
    for a, b, c in _QUINTICS:
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + a * identity
        product = product @ factor
        gram = gram @ (factor @ factor)
    orthogonal: Tensor = x @ product
    return orthogonal


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "step() comes after backward()"
    return parameter.grad
