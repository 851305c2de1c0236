"""Cross-entropy of the output layer, computed in chunks.

With a vocabulary of thousands, a window's logits are by far the largest tensor of a step, and
softmax, loss and gradient pass over it several times. Computing loss and gradient together in
cache-sized chunks takes a third of the time and little memory (fused linear cross-entropy: Wijmans
et al. 2024, "Cut Your Losses in Large-Vocabulary Language Models").

Shapes: N characters, H hidden size, V output ids.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn

from charlstm.training.hardware import chunk_size

# Lower bound of probabilities before the logarithm: about the smallest normal float32.
_MIN_PROBABILITY: Final = 1e-38


def head_loss(z_NH: Tensor, head: nn.Linear, y_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of the head's predictions, computed in the precision of `z_NH`.

    Args:
        z_NH: the layers' outputs.
        y_N: target ids, int64 [N].

    Returns:
        The differentiable mean in nats per character, float32 []; and the loss of each character,
        float32 [N], without gradient.
    """
    mean: Tensor
    mean, loss_N = _HeadLoss.apply(z_NH, head.weight, head.bias, y_N)  # type: ignore[no-untyped-call]
    return mean, loss_N


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, y_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        dtype, num_chars = z_NH.dtype, len(z_NH)
        loss_N = torch.empty(num_chars, device=z_NH.device)
        # Gradients of the sum of the losses: those of the mean would underflow in float16.
        grad_z_NH = torch.empty_like(z_NH)
        grad_weight_VH, grad_bias_V = torch.zeros_like(weight_VH), torch.zeros_like(bias_V)
        weight_VH, bias_V = weight_VH.to(dtype), bias_V.to(dtype)
        chunk = chunk_size(len(weight_VH), z_NH.device.type)
        for first in range(0, num_chars, chunk):
            part = slice(first, first + chunk)
            logits_NV = torch.addmm(bias_V, z_NH[part], weight_VH.t())
            p_NV = logits_NV.softmax(-1, dtype=torch.float32)
            y_N1 = y_N[part, None]
            p_N1 = p_NV.gather(-1, y_N1)
            loss_N[part] = -p_N1[:, 0].clamp(min=_MIN_PROBABILITY).log()
            # The probabilities minus the one-hot targets.
            grad_logits_NV = p_NV.scatter_(-1, y_N1, p_N1 - 1.0)
            grad_bias_V += grad_logits_NV.sum(0)
            grad_logits_NV = grad_logits_NV.to(dtype)
            grad_z_NH[part] = grad_logits_NV @ weight_VH
            grad_weight_VH += grad_logits_NV.t() @ z_NH[part]
        ctx.save_for_backward(grad_z_NH, grad_weight_VH, grad_bias_V)
        ctx.mark_non_differentiable(loss_N)
        return loss_N.mean(), loss_N

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        grad_z_NH, grad_weight_VH, grad_bias_V = ctx.saved_tensors
        scale = upstream / len(grad_z_NH)
        return (
            grad_z_NH * scale.to(grad_z_NH.dtype),
            grad_weight_VH * scale,
            grad_bias_V * scale,
            None,
        )
