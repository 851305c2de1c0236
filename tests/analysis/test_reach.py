import numpy as np
import pytest
import torch
from conftest import TEXT, network_of

from charlstm.analysis.reach import reach
from charlstm.errors import ConfigError
from charlstm.text.split import Split


@pytest.fixture
def model(checkpoint):
    return network_of(checkpoint)


def test_a_model_that_forgets_looks_at_the_last_character_only(model, vocabulary):
    """Without recurrent weights and with shut forget gates nothing but the last step counts."""
    size = model.config.hidden_size
    with torch.no_grad():
        for layer in model.layers:
            layer.weight_hh_l0.zero_()
            layer.bias_ih_l0[size : 2 * size] = -50.0
    found = reach(model, Split.of([TEXT], vocabulary), generator=np.random.default_rng(0))
    assert found.gradient[0] > 0
    assert max(found.gradient[1:]) < 1e-6 * found.gradient[0]
    assert found.half_distance == 1


def test_a_model_that_keeps_all_looks_further(model, vocabulary):
    split = Split.of([TEXT], vocabulary)
    before = reach(model, split, generator=np.random.default_rng(0))
    size = model.config.hidden_size
    with torch.no_grad():
        for layer in model.layers:
            layer.bias_ih_l0[size : 2 * size] = 20.0
    after = reach(model, split, generator=np.random.default_rng(0))
    assert len(after.gradient) == 200
    assert after.half_distance > before.half_distance
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nothing_is_looked_at_before_the_beginning_of_a_document(model, vocabulary):
    split = Split.of(["quick", "fox"] * 40, vocabulary)
    found = reach(model, split, generator=np.random.default_rng(0))
    assert len(found.gradient) == 4
    # By hand: a document, and the gradient at each of its characters.
    single = Split.of(["fox"], vocabulary)
    found = reach(model, single, generator=np.random.default_rng(0))
    embedding = model.embedding.weight
    norms = {1: [], 2: []}
    for place in (1, 2):
        read = torch.tensor([vocabulary.boundary, *map(int, single.ids[:place])])
        embedded = embedding[read].detach().requires_grad_()
        z, outputs = embedded[:, None], []
        for layer in model.layers:
            z, _ = layer(z)
            outputs.append(z)
        target = torch.tensor([int(single.ids[place])])
        torch.nn.functional.cross_entropy(model.head(torch.cat(outputs, -1)[-1]), target).backward()
        for distance in range(1, place + 1):
            norms[distance].append(float(embedded.grad[place + 1 - distance].norm()))
    assert found.gradient[1] == pytest.approx(norms[2][0], rel=1e-4)
    assert min(norms[1]) <= found.gradient[0] <= max(norms[1])


def test_a_short_text_is_refused(model, vocabulary):
    with pytest.raises(ConfigError, match="too short"):
        reach(model, Split.of(["q", "u"], vocabulary), generator=np.random.default_rng(0))
