import torch

from charlstm.model.text_model import TextModel


def test_encode_prepends_bos_and_decode_inverts_it(checkpoint):
    model = TextModel(checkpoint)
    vocabulary = checkpoint.spec.vocabulary
    ids_T = model.encode("quick\u2603")
    assert ids_T.dtype == torch.int64
    assert ids_T.tolist() == [vocabulary.bos_id, *vocabulary.encode("quick").tolist(), 0]
    assert model.decode(ids_T) == "quick\ufffd"
    assert model.bos_id == vocabulary.bos_id
    # Line ends are normalized as in the training text.
    assert model.decode(model.encode("a\r\nb")) == "a\nb"


@torch.no_grad()
def test_text_model_has_checkpoint_weights_and_carries_state(checkpoint):
    model = TextModel(checkpoint)
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, torch.from_numpy(checkpoint.weights[name]))
    assert model.network.unknown_probability == checkpoint.spec.tokenizer.unknown_probability
    ids_TB = torch.stack([model.encode("the quick"), model.encode("jumps ove")], 1)
    logits_TBV, after = model(ids_TB)
    assert logits_TBV.shape == (10, 2, model.network.config.num_outputs)
    first, state = model(ids_TB[:4])
    second, last = model(ids_TB[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), logits_TBV)
    torch.testing.assert_close(last.h_LBH, after.h_LBH)
    second_stream, _ = model(ids_TB[:, 1:])
    torch.testing.assert_close(second_stream[:, 0], logits_TBV[:, 1])


def test_text_model_weights_get_gradients(checkpoint):
    model = TextModel(checkpoint)
    logits_TBV, _ = model(model.encode("the quick")[:, None])
    logits_TBV.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
