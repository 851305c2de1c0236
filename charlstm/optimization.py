"""The optimizer and the learning-rate schedule.

Muon (Jordan et al. 2024) for the matrices of the recurrent stack, AdamW (Loshchilov & Hutter
2019) for embedding, head and biases. On tiny Shakespeare this pair was worth 0.11 nats per
character over AdamW at the same number of characters.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

WARMUP_FRACTION: Final = 0.03
MAX_GRADIENT_NORM: Final = 1.0

_MOMENTUM: Final = 0.95
_ADAM_BETAS: Final = (0.9, 0.99)
# The quintic of Jordan et al. 2024: singular values from 1e-3 upward end between 0.7 and 1.2.
_QUINTIC: Final = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS: Final = 5
# An orthogonal update times this has the root mean square of AdamW's usual update, so that one
# learning rate serves both (Liu et al. 2025, "Muon is scalable for LLM training").
_ADAM_UPDATE_RMS: Final = 0.2


def learning_rate_scale(progress: float) -> float:
    """Warm up over the first 3 % of the run, then fall linearly to zero at its end.

    Args:
        progress: the part of the run that is behind, from 0 to 1.
    """
    if progress < WARMUP_FRACTION:
        return progress / WARMUP_FRACTION
    return max(0.0, (1.0 - progress) / (1.0 - WARMUP_FRACTION))


class Optimizer:
    """Muon for `model.layers`' matrices, AdamW for every other parameter.

    Matrices of the same shape are stacked and orthogonalised in one batch.

    Args:
        weight_decay: for Muon's matrices, decoupled, times the learning rate. The others get none.
    """

    def __init__(self, model: nn.Module, *, weight_decay: float) -> None:
        self._weight_decay = weight_decay
        self._parameters = dict(model.named_parameters())
        by_shape: defaultdict[torch.Size, list[str]] = defaultdict(list)
        others: list[Tensor] = []
        for name, parameter in self._parameters.items():
            if name.startswith("layers.") and parameter.ndim == 2:  # noqa: PLR2004
                by_shape[parameter.shape].append(name)
            else:
                others.append(parameter)
        self._groups = list(by_shape.values())
        self._momentum = [
            torch.zeros(len(names), *shape, device=self._parameters[names[0]].device)
            for shape, names in by_shape.items()
        ]
        self._adamw = torch.optim.AdamW(others, lr=0.0, betas=_ADAM_BETAS, weight_decay=0.0)

    def zero_grad(self) -> None:
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def clip_gradient(self, *, divided_by: float = 1.0) -> float:
        """Divide the gradient by the loss's scale and shorten it to norm 1 where it is longer.

        Returns:
            The norm before it was shortened; not finite where any part of it isn't.
        """
        gradients = [_gradient(parameter) for parameter in self._parameters.values()]
        norm = float(nn.utils.get_total_norm(gradients)) / divided_by
        factor = min(1.0, MAX_GRADIENT_NORM / (norm + 1e-6)) / divided_by
        if math.isfinite(norm) and factor != 1.0:
            torch._foreach_mul_(gradients, factor)
        return norm

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every parameter from its gradient."""
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._adamw.step()
        for names, momentum in zip(self._groups, self._momentum, strict=True):
            matrices = [self._parameters[name] for name in names]
            gradient = torch.stack([_gradient(matrix) for matrix in matrices])
            momentum.lerp_(gradient, 1.0 - _MOMENTUM)
            update = orthogonalize(gradient.lerp_(momentum, _MOMENTUM))  # Nesterov's look ahead
            update *= _ADAM_UPDATE_RMS * math.sqrt(max(update.shape[-2:]))
            torch._foreach_mul_(matrices, 1.0 - learning_rate * self._weight_decay)
            torch._foreach_add_(matrices, list(update.unbind()), alpha=-learning_rate)

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that a step depends on, by name; not copied."""
        tensors = {}
        for names, momentum in zip(self._groups, self._momentum, strict=True):
            for name, part in zip(names, momentum, strict=True):
                tensors[f"{name}.momentum"] = part
        for name, parameter in self._parameters.items():
            for key, value in self._adamw.state.get(parameter, {}).items():
                tensors[f"{name}.{key}"] = value
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `state_tensors` gave.

        Raises:
            KeyError: when one is missing.
        """
        for names, momentum in zip(self._groups, self._momentum, strict=True):
            for name, part in zip(names, momentum, strict=True):
                part.copy_(tensors[f"{name}.momentum"])
        muon_names = {name for names in self._groups for name in names}
        for name, parameter in self._parameters.items():
            if name not in muon_names and f"{name}.step" in tensors:
                self._adamw.state[parameter] = {
                    key: tensors[f"{name}.{key}"].clone()
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }


def orthogonalize(matrices: Tensor) -> Tensor:
    """Move every singular value of each matrix close to 1 (Newton-Schulz).

    The polynomial is applied to the small Gram matrix G = X'X: every iterate is X times a
    polynomial of G, so only the first and the last product touch X.

    Args:
        matrices: float32 [N, rows, columns].

    Returns:
        float32 [N, rows, columns].
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        return orthogonalize(matrices.mT).mT
    a, b, c = _QUINTIC
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-20)
    gram = x.mT @ x
    identity = torch.eye(gram.shape[-1], device=gram.device)
    product: Tensor | None = None
    for step in range(_NEWTON_SCHULZ_STEPS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + a * identity
        product = factor if product is None else product @ factor
        if step < _NEWTON_SCHULZ_STEPS - 1:
            gram = gram @ (factor @ factor)
    return x @ product


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "step() comes after backward()"
    return parameter.grad
