import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MODEL, TEXT, TRAIN

from charlstm import bptt as bptt_module
from charlstm.batches import BatchStream
from charlstm.bptt import TruncatedBPTT
from charlstm.evaluation import evaluate
from charlstm.model import CharLSTM
from charlstm.split import Split


def first_loss(documents, vocabulary, *, seq_len):
    """Nats per character of the first step, before anything is learned."""
    config = replace(MODEL, num_characters=len(vocabulary))
    model = CharLSTM(config, generator=torch.Generator().manual_seed(0))
    for parameter in model.parameters():
        parameter.data.mul_(2)
    split = Split.of(documents, vocabulary)
    train = replace(TRAIN, batch_size=1, seq_len=seq_len, reset_probability=0.0)
    expected = evaluate(model, split, unknown_probability=1e-9).nats_per_char
    stream = BatchStream(
        split,
        boundary=vocabulary.boundary,
        batch_size=1,
        seq_len=seq_len,
        reset_probability=0.0,
    )
    batch = stream.next(torch.Generator().manual_seed(0))
    return TruncatedBPTT(model, train).step(batch, 0.0), expected


def test_documents_inside_a_window_begin_from_zero_as_evaluation_has_it(vocabulary):
    documents = [TEXT[:20], TEXT[40:47], TEXT[5:42]]
    loss, expected = first_loss(documents, vocabulary, seq_len=20 + 7 + 37)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_a_list_of_short_documents_is_announced_by_the_boundary_alone(vocabulary, monkeypatch):
    documents = ["quick", "fox"] * 8
    loss, expected = first_loss(documents, vocabulary, seq_len=64)
    assert loss != pytest.approx(expected, rel=1e-5)
    assert abs(loss - expected) < 0.3
    monkeypatch.setattr(bptt_module, "_MAX_INNER_BEGINNINGS", 99)
    loss, expected = first_loss(documents, vocabulary, seq_len=64)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_the_gradient_flows_through_the_pieces(vocabulary):
    """A piece without a beginning of this stream goes on with its state, gradient and all."""
    config = replace(MODEL, num_characters=len(vocabulary))
    split = Split.of([TEXT[:200]], vocabulary)
    weights = []
    for cuts in ([], [5, 9]):
        model = CharLSTM(config, generator=torch.Generator().manual_seed(0))
        train = replace(TRAIN, batch_size=2, seq_len=20, reset_probability=0.0)
        stream = BatchStream(
            split, boundary=vocabulary.boundary, batch_size=2, seq_len=20, reset_probability=0.0
        )
        batch = stream.next(torch.Generator().manual_seed(0))
        edges = [0, *cuts, 20]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bptt_module, "_edges", lambda begins_TB, edges=edges: edges)
            loss = TruncatedBPTT(model, train).step(batch, 0.01)
        assert math.isfinite(loss)
        weights.append({name: value.numpy() for name, value in model.state_dict().items()})
    for name, value in weights[0].items():
        np.testing.assert_allclose(weights[1][name], value, atol=1e-5)
