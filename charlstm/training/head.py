"""The loss of the head's linear layer, a chunk of characters after another.

With thousands of symbols the logits of a window are the largest tensor of a step by far, and
softmax, loss and gradient walk through it again and again. In chunks that stay in the processor's
cache, each with its gradient at once, this takes a third of the time and hardly any memory (the
idea of fused linear cross-entropy: Wijmans et al. 2024, "Cut Your Losses in Large-Vocabulary
Language Models").

Shapes: N characters, H hidden size, V symbols that can be predicted.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn

from charlstm.training.memory import chunk_size

# The smallest probability whose logarithm is taken: no number but zero is lost.
_LEAST: Final = 1e-38


def head_loss(z_NH: Tensor, head: nn.Linear, y_N: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the head's predictions, computed in the precision of `z_NH`.

    Args:
        z_NH: the last layer's output.
        y_N: the symbols that follow, int64 [N].

    Returns:
        The mean in nats per character, float32 [], whose gradient flows into `z_NH` and the head;
        and the loss of each character, float32 [N], without one.
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
        # By the sum of the losses: by their mean, float16 could not hold so small numbers.
        by_z_NH = torch.empty_like(z_NH)
        by_weight_VH, by_bias_V = torch.zeros_like(weight_VH), torch.zeros_like(bias_V)
        weight_VH, bias_V = weight_VH.to(dtype), bias_V.to(dtype)
        chunk = chunk_size(len(weight_VH), z_NH.device.type)
        for first in range(0, num_chars, chunk):
            part = slice(first, first + chunk)
            logits_NV = torch.addmm(bias_V, z_NH[part], weight_VH.t())
            p_NV = logits_NV.softmax(-1, dtype=torch.float32)
            y_N1 = y_N[part, None]
            p_N1 = p_NV.gather(-1, y_N1)
            loss_N[part] = -p_N1[:, 0].clamp(min=_LEAST).log()
            # By the logits: the probabilities, less 1 where the character is.
            by_logits_NV = p_NV.scatter_(-1, y_N1, p_N1 - 1.0)
            by_bias_V += by_logits_NV.sum(0)
            by_logits_NV = by_logits_NV.to(dtype)
            by_z_NH[part] = by_logits_NV @ weight_VH
            by_weight_VH += by_logits_NV.t() @ z_NH[part]
        ctx.save_for_backward(by_z_NH, by_weight_VH, by_bias_V)
        ctx.mark_non_differentiable(loss_N)
        return loss_N.mean(), loss_N

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        by_z_NH, by_weight_VH, by_bias_V = ctx.saved_tensors
        scale = upstream / len(by_z_NH)
        return by_z_NH * scale.to(by_z_NH.dtype), by_weight_VH * scale, by_bias_V * scale, None
