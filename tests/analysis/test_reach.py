import numpy as np
import pytest
import torch
from conftest import network_of

from charlstm.analysis.reach import reach
from charlstm.errors import ConfigError
from charlstm.text.encoded_text import EncodedText


@pytest.fixture
def model(checkpoint):
    return network_of(checkpoint)


def test_model_without_memory_depends_on_the_last_character(model, split):
    """Recurrent weights are zero and forget gates closed, so only the last step matters."""
    size = model.config.hidden_size
    with torch.no_grad():
        for layer in model.layers:
            layer.weight_hh_l0.zero_()
            layer.bias_ih_l0[size : 2 * size] = -50.0
    found = reach(model, split, generator=np.random.default_rng(0))
    assert found.gradient[0] > 0
    assert max(found.gradient[1:]) < 1e-6 * found.gradient[0]
    assert found.half_distance == 1


def test_open_forget_gates_increase_the_half_distance(model, split):
    before = reach(model, split, generator=np.random.default_rng(0))
    size = model.config.hidden_size
    with torch.no_grad():
        for layer in model.layers:
            layer.bias_ih_l0[size : 2 * size] = 20.0
    after = reach(model, split, generator=np.random.default_rng(0))
    assert len(after.gradient) == 200
    assert after.half_distance > before.half_distance
    assert all(parameter.grad is None for parameter in model.parameters())


def test_reach_does_not_cross_documents_and_matches_autograd(model, vocabulary):
    split = EncodedText.of(["quick", "fox"] * 40, vocabulary)
    found = reach(model, split, generator=np.random.default_rng(0))
    assert len(found.gradient) == 4
    # Compare with the gradient of a single document.
    single = EncodedText.of(["fox"], vocabulary)
    found = reach(model, single, generator=np.random.default_rng(0))
    embedding = model.embedding.weight
    norms = {1: [], 2: []}
    for position in (1, 2):
        inputs = torch.tensor([vocabulary.bos_id, *map(int, single.ids[:position])])
        embedded = embedding[inputs].detach().requires_grad_()
        z, outputs = embedded[:, None], []
        for layer in model.layers:
            z, _ = layer(z)
            outputs.append(z)
        target = torch.tensor([int(single.ids[position])])
        torch.nn.functional.cross_entropy(model.head(torch.cat(outputs, -1)[-1]), target).backward()
        for distance in range(1, position + 1):
            norms[distance].append(float(embedded.grad[position + 1 - distance].norm()))
    assert found.gradient[1] == pytest.approx(norms[2][0], rel=1e-4)
    assert min(norms[1]) <= found.gradient[0] <= max(norms[1])


def test_reach_rejects_short_text(model, vocabulary):
    with pytest.raises(ConfigError, match="too short"):
        reach(model, EncodedText.of(["q", "u"], vocabulary), generator=np.random.default_rng(0))
