import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from charlstm.training.head import head_loss


@pytest.mark.parametrize(("num_chars", "num_symbols"), [(1, 2), (130, 7), (200, 5000)])
def test_head_loss_matches_cross_entropy(num_chars, num_symbols):
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(6, num_symbols)
    values = torch.randn(num_chars, 6, generator=generator)
    y_N = torch.randint(num_symbols, (num_chars,), generator=generator)
    found, expected = [values.clone().requires_grad_() for _ in range(2)]

    mean, loss_N = head_loss(found, layer, y_N)
    (mean * 3).backward()
    gradients = [found.grad, layer.weight.grad, layer.bias.grad]
    layer.zero_grad()
    plain_N = cross_entropy(layer(expected), y_N, reduction="none")
    (plain_N.mean() * 3).backward()

    torch.testing.assert_close(loss_N, plain_N.detach())
    torch.testing.assert_close(mean, plain_N.mean())
    for gradient, expected_gradient in zip(
        gradients, [expected.grad, layer.weight.grad, layer.bias.grad], strict=True
    ):
        torch.testing.assert_close(gradient, expected_gradient)


def test_float16_gradients_do_not_underflow():
    layer = nn.Linear(4, 3).half()
    z_NH = torch.ones(4096, 4, dtype=torch.float16, requires_grad=True)
    head_loss(z_NH, layer, torch.zeros(4096, dtype=torch.int64))[0].mul(65536.0).backward()
    assert (z_NH.grad != 0).all()


class LargestTensor(TorchDispatchMode):
    """Record the number of elements of the largest tensor that an operation returns."""

    num_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.num_elements = max(self.num_elements, *sizes, 0)
        return result


def test_logits_of_a_large_vocabulary_are_never_computed_all_at_once():
    num_chars, num_symbols = 2048, 6000
    layer = nn.Linear(2, num_symbols)
    z_NH = torch.zeros(num_chars, 2, requires_grad=True)
    with LargestTensor() as largest:
        head_loss(z_NH, layer, torch.zeros(num_chars, dtype=torch.int64))[0].backward()
    assert num_symbols <= largest.num_elements < num_chars * num_symbols / 4


def test_head_loss_of_impossible_target_is_finite():
    layer = nn.Linear(1, 2)
    nn.init.constant_(layer.bias, 0.0)
    layer.bias.data[0] = 1000.0
    mean, _ = head_loss(torch.zeros(3, 1), layer, torch.tensor([0, 1, 0]))
    assert 20 < mean < 40
