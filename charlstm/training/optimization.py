"""The optimizer and the learning-rate schedule.

Muon (Jordan et al. 2024) for the recurrent layers' matrices, AdamW (Loshchilov & Hutter 2019) for
embedding, head and biases. On tiny Shakespeare this combination was 0.11 nats per character better
than AdamW at the same number of characters.

A state_dict maps dotted names to tensors and may come from an untrusted checkpoint; all of training
reads its entries by `entry` and `tensor_entry`.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from charlstm.errors import CheckpointError
from charlstm.system.distributed import SINGLE_PROCESS, World

_Value = TypeVar("_Value")

WARMUP_FRACTION: Final = 0.03
# Fraction of the peak rate, so that even a run of one step learns something.
_MIN_WARMUP_SCALE: Final = 0.1
MAX_GRADIENT_NORM: Final = 1.0

_MOMENTUM: Final = 0.95
# After n steps the momentum is min((1 + n) / (10 + n), _MOMENTUM), which rises until step 170,
# because the first gradients are soon out of date.
_MOMENTUM_DELAY: Final = 10.0
# AdamW's learning rate relative to Muon's.
_ADAMW_RATE: Final = 3.0
_ADAM_BETAS: Final = (0.9, 0.99)
# Odd quintics a x + b x^3 + c x^5, applied in turn: each is the best approximation of 1 on the
# range of the previous one, starting with singular values in [0.003, 1] (Amsel et al. 2025, "The
# Polar Express"; the coefficients are our own). Each interval's upper end was extended by 6 %,
# because the quintics diverge just beyond it and bfloat16 rounds.
_QUINTICS: Final = (
    (7.9160, -20.8181, 13.7346),
    (3.8381, -2.5466, 0.4283),
    (3.4072, -2.2822, 0.4040),
    (2.5298, -1.7021, 0.3532),
)
_TINY: Final = 1e-20
# RMS of Muon's updates, matched to that of typical AdamW updates, so that both can share one
# learning rate (Liu et al. 2025, "Muon is scalable for LLM training").
_ADAM_UPDATE_RMS: Final = 0.2


def learning_rate_scale(progress: float) -> float:
    """Return the learning rate relative to its peak.

    It rises in proportion to `progress`, but from at least 0.1, to 1 at 3 % of the run, and then
    decays linearly to 0.

    Args:
        progress: fraction of the budget used, 0 to 1.
    """
    if progress < WARMUP_FRACTION:
        return max(_MIN_WARMUP_SCALE, progress / WARMUP_FRACTION)
    return max(0.0, (1.0 - progress) / (1.0 - WARMUP_FRACTION))


class Optimizer:
    """Muon for the matrices of `model.layers`, AdamW for all other parameters.

    Matrices of the same shape are stacked and orthogonalized in one batch.

    Args:
        weight_decay: decoupled weight decay of Muon's matrices, applied only to weights that the
            update moves toward zero (Chen et al. 2025, "Cautious weight decay").
        vocabulary_decay: decoupled weight decay of embedding and head; biases are not decayed.
        dtype: dtype of Muon's matrix products.
        world: the processes of the run; the orthogonalization is distributed over them.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        weight_decay: float,
        vocabulary_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
        world: World = SINGLE_PROCESS,
    ) -> None:
        self._dtype = dtype
        self._world = world
        self._weight_decay = weight_decay
        self._parameters = dict(model.named_parameters())
        by_shape: defaultdict[torch.Size, list[str]] = defaultdict(list)
        outer_matrices: list[Tensor] = []  # embedding and head
        biases: list[Tensor] = []
        for name, parameter in self._parameters.items():
            if parameter.ndim == 1:
                biases.append(parameter)
            elif name.startswith("layers."):
                by_shape[parameter.shape].append(name)
            else:
                outer_matrices.append(parameter)
        self._groups = list(by_shape.values())
        self._momenta = [
            torch.zeros(len(names), *shape, device=self._parameters[names[0]].device)
            for shape, names in by_shape.items()
        ]
        groups = [
            {"params": outer_matrices, "weight_decay": vocabulary_decay},
            {"params": biases, "weight_decay": 0.0},
        ]
        self._adamw = torch.optim.AdamW(
            groups,
            lr=0.0,
            betas=_ADAM_BETAS,
            fused=True,  # only the fused kernel supports found_inf
        )

    def zero_grad(self) -> None:
        for parameter in self._parameters.values():
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """Return the gradient of every parameter, in order."""
        return [_gradient(parameter) for parameter in self._parameters.values()]

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor, *, loss_scale: Tensor | None = None) -> Tensor:
        """Update all parameters, or none if the gradient is not finite.

        The gradient is divided by the loss scale and clipped to norm 1. The step never synchronizes
        with the device.

        Args:
            learning_rate: Muon's learning rate; within a CUDA graph, a tensor on the device.
            loss_scale: factor of the loss, float32 []; None for 1.

        Returns:
            Whether the gradient was finite, bool [].
        """
        is_finite = self._clip_gradient(loss_scale)
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate * _ADAMW_RATE
            # Set only while capturing, because torch warns otherwise.
            group["capturable"] = (
                isinstance(learning_rate, Tensor)
                and learning_rate.is_cuda
                and torch.cuda.is_current_stream_capturing()
            )
        # The interface of torch.amp.GradScaler.
        self._adamw.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
        self._adamw.step()
        momentum = self._momentum_factor()
        decay_factor = 1.0 - is_finite * (learning_rate * self._weight_decay)
        for names, momenta in zip(self._groups, self._momenta, strict=True):
            matrices: list[Tensor] = [self._parameters[name] for name in names]
            gradient = torch.stack([_gradient(matrix) for matrix in matrices])
            # For skipped steps: NaN * 0 is NaN, so the gradient must be zeroed as well.
            gradient.masked_fill_(~is_finite, 0.0)
            momenta.lerp_(gradient, is_finite * (1.0 - momentum))
            # Nesterov momentum.
            update = self._orthogonalize(gradient.lerp_(momenta, momentum))
            scale = _ADAM_UPDATE_RMS * math.sqrt(max(update.shape[-2:]))
            update *= is_finite * (-learning_rate * scale)
            for matrix, change in zip(matrices, update, strict=True):
                matrix.mul_(torch.where(matrix * change < 0, decay_factor, 1.0)).add_(change)
        return is_finite

    def _momentum_factor(self) -> Tensor:
        """Return the momentum at the current step, float32 [], from AdamW's step counter."""
        step: Tensor = self._adamw.state[self._adamw.param_groups[0]["params"][0]]["step"]
        return ((1.0 + step) / (_MOMENTUM_DELAY + step)).clamp(max=_MOMENTUM)

    def _clip_gradient(self, loss_scale: Tensor | None) -> Tensor:
        gradients = self.gradients()
        norm = nn.utils.get_total_norm(gradients)
        scale = torch.ones_like(norm) if loss_scale is None else loss_scale
        # The gradients are still multiplied by the loss scale, and so is the maximum norm.
        factor = (MAX_GRADIENT_NORM * scale / (norm + 1e-6 * scale)).clamp(max=1.0) / scale
        torch._foreach_mul_(gradients, factor)
        return norm.isfinite()

    def _orthogonalize(self, matrices: Tensor) -> Tensor:
        """Orthogonalize matrices [N, rows, columns], distributed over the processes."""
        if self._world.size == 1:
            return orthogonalize(matrices, self._dtype)
        own = slice(self._world.rank, None, self._world.size)
        result = torch.zeros_like(matrices)
        if self._world.rank < len(matrices):
            result[own] = orthogonalize(matrices[own], self._dtype)
        self._world.all_reduce_sum_(result)
        return result

    def state_dict(self) -> dict[str, Tensor]:
        """Return the optimizer state by name, not copied."""
        state = {}
        for names, momenta in zip(self._groups, self._momenta, strict=True):
            for name, momentum in zip(names, momenta, strict=True):
                state[f"{name}.momentum"] = momentum
        for name, parameter in self._parameters.items():
            for key, value in self._adamw.state.get(parameter, {}).items():
                state[f"{name}.{key}"] = value
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what `state_dict` returned.

        Raises:
            CheckpointError: if an entry is missing or has the wrong shape, dtype or range, which
                fused kernels don't check.
        """
        for names, momenta in zip(self._groups, self._momenta, strict=True):
            for name, momentum in zip(names, momenta, strict=True):
                momentum.copy_(tensor_entry(state, f"{name}.momentum", momentum.shape))
        muon_names = {name for names in self._groups for name in names}
        for name, parameter in self._parameters.items():
            # AdamW has no state before its first step.
            if name not in muon_names and f"{name}.step" in state:
                shapes = {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
                # The fused kernel keeps the step counter on the device.
                self._adamw.state[parameter] = {
                    key: tensor_entry(
                        state, f"{name}.{key}", shape, minimum=None if key == "exp_avg" else 0.0
                    ).to(parameter.device, copy=True)
                    for key, shape in shapes.items()
                }


def orthogonalize(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Move the singular values of each matrix close to 1 (Newton-Schulz iteration).

    Args:
        matrices: float32 [N, rows, columns].
        dtype: compute dtype; bfloat16 is precise enough and, with hardware support, faster.

    Returns:
        float32 [N, rows, columns]; singular values of at least 0.003 times the largest are mapped
        to [0.73, 1.27], smaller ones to lower values.
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        return orthogonalize(matrices.mT, dtype).mT
    # Scaled twice: by the Frobenius norm, against overflow, then by the fourth root of the sum of
    # the singular values' fourth powers, the tightest bound on the largest one that is free.
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=_TINY)
    x = x.to(dtype)
    gram = x.mT @ x
    bound = gram.float().norm(dim=(-2, -1), keepdim=True).clamp(min=_TINY)
    gram = gram / bound.to(dtype)
    x = x / bound.sqrt().to(dtype)
    if dtype == torch.float32:
        return _orthogonalize_by_gram_matrix(x, gram)
    for step, (a, b, c) in enumerate(_QUINTICS):
        if step:
            gram = x.mT @ x
        x = torch.baddbmm(x, x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), beta=a)
    orthogonal: Tensor = x.float()
    return orthogonal


def _orthogonalize_by_gram_matrix(x: Tensor, gram: Tensor) -> Tensor:
    """Apply the quintics as a polynomial of the Gram matrix.

    With G = X'X, every iterate is X times a polynomial of G, so only one more product involves the
    larger matrix. This halves the work, but needs float32 precision.
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


def entry(state: Mapping[str, _Value], name: str) -> _Value:
    """Return an entry of a state_dict.

    Raises:
        CheckpointError: if it is missing.
    """
    if name not in state:
        raise CheckpointError(f"{name} is missing")
    return state[name]


def tensor_entry(
    state: Mapping[str, Tensor],
    name: str,
    shape: Sequence[int],
    *,
    minimum: float | None = None,
) -> Tensor:
    """Return a float32 tensor of a state_dict.

    Args:
        minimum: smallest valid value; None for no minimum.

    Raises:
        CheckpointError: if it is missing, has another shape or dtype, or contains invalid values.
    """
    value = entry(state, name)
    if value.dtype is not torch.float32 or tuple(value.shape) != tuple(shape):
        raise CheckpointError(
            f"{name} is {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}, "
            f"not float32 {tuple(shape)}"
        )
    if not value.isfinite().all() or (minimum is not None and bool((value < minimum).any())):
        raise CheckpointError(f"{name} contains invalid values")
    return value
