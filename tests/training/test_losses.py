import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from charlstm.training.losses import head_loss


@pytest.mark.parametrize(("num_chars", "num_symbols"), [(1, 2), (130, 7), (200, 5000)])
def test_loss_and_gradients_are_those_of_plain_cross_entropy(num_chars, num_symbols):
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
    for one, other in zip(
        gradients, [expected.grad, layer.weight.grad, layer.bias.grad], strict=True
    ):
        torch.testing.assert_close(one, other)


def test_float16_gradients_of_many_characters_do_not_vanish():
    layer = nn.Linear(4, 3).half()
    z_NH = torch.ones(4096, 4, dtype=torch.float16, requires_grad=True)
    head_loss(z_NH, layer, torch.zeros(4096, dtype=torch.int64))[0].mul(65536.0).backward()
    assert (z_NH.grad != 0).all()
