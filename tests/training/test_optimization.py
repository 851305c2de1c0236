import pytest
import torch
from conftest import MODEL
from torch import nn

from charlstm.errors import CheckpointError
from charlstm.model.lstm import CharLSTM
from charlstm.system.distributed import World
from charlstm.training.optimization import Optimizer, learning_rate_scale, orthogonalize


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(20, 64, 16), (20, 16, 40), (20, 4, 1), (2, 256, 64)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_orthogonalize_keeps_singular_vectors(dtype, shape, scale):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * scale
    result = orthogonalize(matrices, dtype)
    values = torch.linalg.svdvals(result)
    slack = 0.02 if dtype == torch.bfloat16 else 0.001
    assert values.min() > 0.73 - 4 * slack
    assert values.max() < 1.27 + slack
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    likeness = ((u @ vh) * result).sum((-2, -1)) / result.norm(dim=(-2, -1)) / vh.shape[-2] ** 0.5
    assert likeness.min() > 0.93


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonalize_is_finite_for_degenerate_matrices(dtype):
    generator = torch.Generator().manual_seed(0)
    lopsided = torch.randn(5, 64, 1, generator=generator) @ torch.randn(5, 1, 16)
    assert torch.linalg.svdvals(orthogonalize(lopsided, dtype)).max() < 1.3
    assert orthogonalize(torch.zeros(1, 4, 3), dtype).eq(0).all()


def test_learning_rate_warms_up_and_decays_to_zero():
    scales = [learning_rate_scale(progress / 1000) for progress in range(1001)]
    assert scales[-1] == 0
    # A run of one step learns, too.
    assert scales[0] == 0.1
    assert scales[15] == pytest.approx(0.5)
    assert scales[515] == pytest.approx(0.5)
    peak = scales.index(max(scales))
    assert peak == 30
    assert scales[:peak] == sorted(scales[:peak])
    assert scales[peak:] == sorted(scales[peak:], reverse=True)
    assert learning_rate_scale(2.0) == 0


def test_optimizer_learns_and_resumes_exactly():
    def make():
        model = CharLSTM(MODEL, generator=torch.Generator().manual_seed(0))
        return model, Optimizer(model, weight_decay=0.1)

    x_TB = torch.arange(20).view(10, 2) % MODEL.num_outputs

    def steps(model, optimizer, number):
        for _ in range(number):
            optimizer.zero_grad()
            logits, _ = model(x_TB, model.zero_state(2))
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), x_TB.flatten())
            loss.backward()
            assert optimizer.step(0.02)
        return loss.item()

    model, optimizer = make()
    first = steps(model, optimizer, 1)
    assert steps(model, optimizer, 60) < first / 2

    copy, copied_optimizer = make()
    copy.load_state_dict(model.state_dict())
    copied_optimizer.load_state_dict(
        {name: value.clone() for name, value in optimizer.state_dict().items()}
    )
    steps(model, optimizer, 5)
    steps(copy, copied_optimizer, 5)
    for one, other in zip(model.parameters(), copy.parameters(), strict=True):
        assert torch.equal(one, other)


def test_gradient_is_unscaled_and_clipped():
    model = CharLSTM(MODEL)
    optimizer = Optimizer(model, weight_decay=0.0)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 8.0)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert optimizer.step(0.0, loss_scale=torch.tensor(4.0))
    norm = nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()])
    assert float(norm) == pytest.approx(1, rel=1e-4)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0 / count**0.5)
    assert optimizer.step(0.0, loss_scale=torch.tensor(4.0))
    norm = nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()])
    assert float(norm) == pytest.approx(0.5, rel=1e-4)


def test_muon_step_is_polar_factor_of_nesterov_momentum():
    """Compare the update with U V' from a singular value decomposition, scaled, plus decay."""
    model = CharLSTM(MODEL, generator=torch.Generator().manual_seed(0))
    optimizer = Optimizer(model, weight_decay=0.1)
    name = "layers.1.weight_hh_l0"
    weight = dict(model.named_parameters())[name]
    generator = torch.Generator().manual_seed(1)
    momentum = torch.zeros_like(weight)
    for number in range(1, 181):
        for parameter in model.parameters():
            # Too small to be clipped.
            parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-3
        gradient, before = weight.grad.clone(), weight.detach().clone()
        optimizer.step(0.01)
        beta = min(0.95, (1 + number) / (10 + number))
        momentum = beta * momentum + (1 - beta) * gradient
        u, _, vh = torch.linalg.svd((1 - beta) * gradient + beta * momentum, full_matrices=False)
        change = weight.detach() - before
        # Only weights that move toward zero are decayed, so decay never changes a move's sign.
        decayed = change * before < 0
        assert 0.2 < decayed.float().mean() < 0.8
        change += 0.01 * 0.1 * before * decayed
        length = 0.01 * 0.2 * max(weight.shape) ** 0.5
        # Newton-Schulz keeps the singular vectors and moves the values close to 1.
        values = torch.diagonal(u.mT @ (-change / length) @ vh.mT)
        assert values.min() > 0.7
        assert values.max() < 1.3
        across = u.mT @ (-change / length) @ vh.mT - torch.diag(values)
        assert across.abs().max() < 1e-3


def test_other_parameters_match_torch_adamw():
    """Embedding and head have a weight decay of their own, biases none."""
    model = CharLSTM(MODEL, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.head.bias.fill_(1.0)
    optimizer = Optimizer(model, weight_decay=0.3, vocabulary_decay=0.7)
    names = [name for name, part in model.named_parameters() if not name.startswith("layers")]
    theirs = {name: dict(model.named_parameters())[name].detach().clone() for name in names}
    decays = [0.0 if name == "head.bias" else 0.7 for name in names]
    groups = [
        {"params": [theirs[name]], "weight_decay": decay}
        for name, decay in zip(names, decays, strict=True)
    ]
    adamw = torch.optim.AdamW(groups, lr=0.03, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        for name, parameter in model.named_parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-3
            if name in theirs:
                theirs[name].grad = parameter.grad.clone()
        optimizer.step(0.01)
        adamw.step()
    for name, value in theirs.items():
        torch.testing.assert_close(dict(model.named_parameters())[name].detach(), value)


def stepped():
    model = CharLSTM(MODEL, generator=torch.Generator().manual_seed(0))
    optimizer = Optimizer(model, weight_decay=0.1)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-3
    optimizer.step(0.01)
    return model, optimizer


def test_load_state_dict_copies():
    _, optimizer = stepped()
    state = {name: value.clone() for name, value in optimizer.state_dict().items()}
    _, other = stepped()
    other.load_state_dict(state)
    before = {name: value.clone() for name, value in state.items()}
    other.step(0.01)
    assert all(torch.equal(state[name], before[name]) for name in state)
    assert any(not torch.equal(other.state_dict()[name], before[name]) for name in before)


@pytest.mark.parametrize("name", ["head.bias.exp_avg", "layers.0.weight_hh_l0.momentum"])
def test_incomplete_optimizer_state_is_rejected(name):
    _, optimizer = stepped()
    state = dict(optimizer.state_dict())
    del state[name]
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        optimizer.load_state_dict(state)


def test_parameter_without_moments_starts_fresh():
    model, optimizer = stepped()
    state = {
        name: value.clone()
        for name, value in optimizer.state_dict().items()
        if not name.startswith("head.bias")
    }
    other = Optimizer(model, weight_decay=0.1)
    other.load_state_dict(state)
    assert other.state_dict().keys() == state.keys()
    other.step(0.01)
    assert float(other.state_dict()["head.bias.step"]) == 1
    assert float(other.state_dict()["head.weight.step"]) == 2


def test_only_first_moments_may_be_negative():
    _, optimizer = stepped()
    state = {name: value.clone() for name, value in optimizer.state_dict().items()}
    state["head.bias.exp_avg"].fill_(-0.5)
    state["layers.0.weight_hh_l0.momentum"].fill_(-0.5)
    optimizer.load_state_dict(state)
    for name, value in optimizer.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batched_orthogonalize_matches_single_matrices(dtype):
    matrices = torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0))
    matrices[1] *= 1e6
    together = orthogonalize(matrices, dtype)
    for one, alone in zip(together, matrices, strict=True):
        torch.testing.assert_close(one, orthogonalize(alone[None], dtype)[0])
    assert torch.equal(together, orthogonalize(matrices.mT.contiguous(), dtype).mT)


@pytest.mark.parametrize("num_matrices", [1, 2, 3])
def test_orthogonalization_is_distributed_over_processes(num_matrices):
    """Each process computes some of the matrices; all_reduce combines them."""
    found = []

    class Two(World):
        def all_reduce_sum_(self, tensor):
            found.append(tensor.clone())

    matrices = torch.randn(num_matrices, 4, 3, generator=torch.Generator().manual_seed(0))
    for rank in range(2):
        optimizer = Optimizer(CharLSTM(MODEL), weight_decay=0.0, world=Two(rank=rank, size=2))
        optimizer._orthogonalize(matrices)
    torch.testing.assert_close(found[0] + found[1], orthogonalize(matrices))
    mine, other = (part.any(-1).any(-1) for part in found)
    assert (mine != other).all()
