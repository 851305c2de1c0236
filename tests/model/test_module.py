import torch

from charlstm.model.module import TextModel


def test_text_becomes_ids_behind_the_boundary_and_comes_back(checkpoint):
    model = TextModel(checkpoint)
    vocabulary = checkpoint.spec.vocabulary
    ids_T = model.encode("quick\u2603")
    assert ids_T.dtype == torch.int64
    assert ids_T.tolist() == [vocabulary.boundary, *vocabulary.encode("quick").tolist(), 0]
    assert model.decode(ids_T) == "quick\ufffd"
    assert model.boundary == vocabulary.boundary
    # As the corpus was read: line ends are one character.
    assert model.decode(model.encode("a\r\nb")) == "a\nb"


@torch.no_grad()
def test_it_is_the_checkpoints_network_with_a_state_to_carry_on(checkpoint):
    model = TextModel(checkpoint)
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, torch.from_numpy(checkpoint.weights[name]))
    assert model.network.unknown_probability == checkpoint.spec.alphabet.unknown_probability
    ids_TB = torch.stack([model.encode("the quick"), model.encode("jumps ove")], 1)
    whole_TBV, after = model(ids_TB)
    assert whole_TBV.shape == (10, 2, model.network.config.num_outputs)
    first, state = model(ids_TB[:4])
    second, last = model(ids_TB[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole_TBV)
    torch.testing.assert_close(last.h_LBH, after.h_LBH)
    alone, _ = model(ids_TB[:, 1:])
    torch.testing.assert_close(alone[:, 0], whole_TBV[:, 1])


def test_its_weights_learn(checkpoint):
    model = TextModel(checkpoint)
    logits_TBV, _ = model(model.encode("the quick")[:, None])
    logits_TBV.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
