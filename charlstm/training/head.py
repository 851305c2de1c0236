"""The loss of the head's linear layer, a chunk of characters after another.

With thousands of symbols the logits of a window are the largest tensor of a step by far, and
softmax, loss and gradient walk through it again and again. In chunks that stay in the processor's
cache, each with its gradient at once, this takes less than half the time and keeps a single copy
in the step's precision (the idea of fused linear cross-entropy: Wijmans et al. 2024, "Cut Your
Losses in Large-Vocabulary Language Models").

Shapes: N characters, H hidden size, V symbols that can be predicted.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn

# Logits of a chunk, float32: half a megabyte or one stays in a core's cache. A GPU would only wait.
_CHUNK_LOGITS: Final = {"cpu": 1 << 18, "mps": 1 << 26, "cuda": 1 << 26}
# Fewer make thin products of matrices.
_MIN_CHUNK: Final = 64


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
        dtype = z_NH.dtype
        weight_VH, bias_V = weight_VH.to(dtype), bias_V.to(dtype)
        num_chars, num_symbols = len(z_NH), len(weight_VH)
        # By the loss of each character, not of their mean: float16 could not hold so small numbers.
        gradient_NV = torch.empty(num_chars, num_symbols, dtype=dtype, device=z_NH.device)
        loss_N = torch.empty(num_chars, device=z_NH.device)
        chunk = max(_MIN_CHUNK, _CHUNK_LOGITS[z_NH.device.type] // num_symbols)
        for first in range(0, num_chars, chunk):
            part = slice(first, first + chunk)
            logits_NV = torch.addmm(bias_V, z_NH[part], weight_VH.t())
            log_p_NV = torch.log_softmax(logits_NV, -1, dtype=torch.float32)
            y_N1 = y_N[part, None]
            loss_N[part] = -log_p_NV.gather(-1, y_N1)[:, 0]
            p_NV = log_p_NV.exp_()
            gradient_NV[part] = p_NV.scatter_add_(-1, y_N1, -torch.ones_like(p_NV[:, :1]))
        ctx.save_for_backward(
            gradient_NV @ weight_VH,
            (gradient_NV.t() @ z_NH).float(),
            gradient_NV.sum(0, dtype=torch.float32),
        )
        ctx.mark_non_differentiable(loss_N)
        return loss_N.mean(), loss_N

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        by_z_NH, by_weight_VH, by_bias_V = ctx.saved_tensors
        scale = upstream / len(by_z_NH)
        return by_z_NH * scale.to(by_z_NH.dtype), by_weight_VH * scale, by_bias_V * scale, None
