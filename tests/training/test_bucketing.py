from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from conftest import MODEL, TRAIN
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from charlstm.model.lstm import CharLSTM
from charlstm.system.distributed import SINGLE_PROCESS
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary
from charlstm.training.batches import BPTTBatches
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.bucketing import BucketedBatches, MixedBatches, batches_of

VOCABULARY = Vocabulary("".join(map(chr, range(0x4E00, 0x4E00 + 500))))
GENERATOR = torch.Generator()


def split_of(lengths, seed=0):
    """Return random documents of these lengths."""
    lengths = np.array(lengths)
    ids = np.random.default_rng(seed).integers(1, 500, lengths.sum()).astype(np.uint16)
    return EncodedText(ids=ids, starts=np.cumsum(lengths) - lengths)


def listed(split, *, chars_per_step=40, **options):
    return BucketedBatches(
        split,
        np.arange(len(split.starts)),
        bos_id=VOCABULARY.bos_id,
        chars_per_step=chars_per_step,
        seed=1,
        **options,
    )


def joined(found):
    return list(chain.from_iterable(found))


def documents_of(batch):
    """Check the inputs of a batch and return the target ids of each document."""
    found = []
    for x, y, counts in zip(batch.x_TB.T, batch.y_TB.T, batch.mask_TB.T, strict=True):
        length = int(counts.sum())
        assert counts[:length].all()
        assert x[0] == VOCABULARY.bos_id
        assert torch.equal(x[1:length], y[: length - 1])
        found.append(tuple(y[:length].tolist()))
    return found


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=120))
def test_every_document_is_read_once_per_epoch(lengths):
    split = split_of(lengths)
    batches = listed(split)
    per_epoch = -(-split.num_chars // 40)
    documents = sorted(
        tuple(split.ids[start : start + length].tolist())
        for start, length in zip(split.starts, split.lengths, strict=True)
    )
    orders = []
    for _ in range(2):
        found = [documents_of(batches.next(GENERATOR)) for _ in range(per_epoch)]
        assert sorted(joined(found)) == documents
        orders.append(joined(found))
    if len(set(documents)) > 10:
        assert orders[0] != orders[1]


def test_batches_have_expected_size_and_little_padding():
    lengths = np.random.default_rng(0).integers(2, 13, 20_000)
    batches = listed(split_of(lengths), chars_per_step=2048)
    sizes, padded_sizes = [], []
    for _ in range(60):
        counts = batches.next(GENERATOR).mask_TB
        sizes.append(int(counts.sum()))
        padded_sizes.append(counts.numel())
    assert np.mean(sizes) == pytest.approx(2048, rel=0.03)
    assert max(sizes) < 2048 + 13
    assert sum(padded_sizes) < 1.1 * sum(sizes)


def test_cursor_restores_document_batches():
    split = split_of([3, 9, 5, 30] * 20)
    first, second = listed(split), listed(split)
    for _ in range(25):
        first.next(GENERATOR)
    second.cursor = first.cursor
    for _ in range(5):
        assert torch.equal(first.next(GENERATOR).y_TB, second.next(GENERATOR).y_TB)


def test_batches_are_divided_over_processes_and_weighted():
    split = split_of([3, 9, 5, 30, 1] * 20)
    all_batches = listed(split)
    by_rank = [listed(split, rank=rank, num_processes=3) for rank in range(3)]
    for _ in range(10):
        batch, parts = all_batches.next(GENERATOR), [own.next(GENERATOR) for own in by_rank]
        found = [documents_of(part) for part in parts if part.weight]
        assert sorted(joined(found)) == sorted(documents_of(batch))
        total = int(batch.mask_TB.sum())
        for part in parts:
            if part.weight:
                assert part.weight == pytest.approx(3 * int(part.mask_TB.sum()) / total)
        assert sum(part.weight for part in parts) == pytest.approx(3.0)


def test_batch_type_follows_document_lengths():
    train = replace(TRAIN, batch_size=8, seq_len=32)

    def kind(lengths):
        return batches_of(split_of(lengths), train, bos_id=501, world=SINGLE_PROCESS)

    assert isinstance(kind([5] * 100), BucketedBatches)
    assert isinstance(kind([200]), BPTTBatches)
    assert isinstance(kind([5000, 6000]), BPTTBatches)
    assert isinstance(kind([5] + [6000] * 3), BPTTBatches)
    mixed = kind([5, 6] * 500 + [2000])
    assert isinstance(mixed, MixedBatches)
    num_chars = [0, 0]
    for _ in range(400):
        batch = mixed.next(GENERATOR)
        is_long = batch.mask_TB is None
        num_chars[is_long] += batch.y_TB.numel() if is_long else int(batch.mask_TB.sum())
    assert num_chars[True] / sum(num_chars) == pytest.approx(2000 / 7500, rel=0.05)


def test_streams_restart_as_often_as_configured():
    train = replace(TRAIN, batch_size=50, seq_len=4, reset_probability=0.5)
    batches = batches_of(split_of([2000]), train, bos_id=501, world=SINGLE_PROCESS)
    generator = torch.Generator().manual_seed(0)
    assert batches.next(generator).begins_TB[0].all()
    found = torch.stack([batches.next(generator).begins_TB[0] for _ in range(20)])
    assert 0.4 < found.float().mean() < 0.6


def test_document_batch_matches_documents_read_one_by_one():
    """Compare loss and gradients with a loop over documents; the carried state is kept."""
    split = split_of([4, 9, 1, 7, 3])
    model_config = replace(MODEL, num_characters=500)
    model, plain = CharLSTM(model_config), CharLSTM(model_config)
    plain.load_state_dict(model.state_dict())
    batch = listed(split, chars_per_step=100).next(GENERATOR)
    learner = TruncatedBPTT(model, TRAIN)
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    outcome = learner.step(batch, 0.0)

    losses = []
    for document in documents_of(batch):
        y_T = torch.tensor(document)
        x_T = torch.cat([torch.tensor([VOCABULARY.bos_id]), y_T[:-1]])
        logits, _ = plain(x_T[:, None], plain.zero_state(1))
        losses.append(cross_entropy(logits[:, 0], y_T, reduction="none"))
    loss = torch.cat(losses).mean()
    loss.backward()
    assert float(outcome.loss) == pytest.approx(loss.item(), rel=1e-5)
    # The step clipped its gradient, so only directions are compared.
    found, expected = (
        torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
        for module in (model, plain)
    )
    torch.testing.assert_close(found / found.norm(), expected / expected.norm())
    after = learner.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if "carried" in name)


def test_mixed_batches_match_their_parts():
    train = replace(TRAIN, batch_size=8, seq_len=32)
    split = split_of([5, 6] * 500 + [2000])
    mixed = batches_of(split, train, bos_id=501, world=SINGLE_PROCESS)
    is_short = np.append(np.full(1000, True), False)
    alone = [
        batches_of(split.documents(is_it), train, bos_id=501, world=SINGLE_PROCESS)
        for is_it in (is_short, ~is_short)
    ]
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    for number in range(60):
        assert mixed.cursor == number
        batch = mixed.next(generators[0])
        by_itself = alone[batch.mask_TB is None].next(generators[1])
        assert torch.equal(batch.y_TB, by_itself.y_TB)
        assert torch.equal(batch.begins_TB, by_itself.begins_TB)


@pytest.mark.parametrize(("length", "kind"), [(256, BucketedBatches), (257, BPTTBatches)])
def test_only_documents_up_to_a_step_are_bucketed(length, kind):
    train = replace(TRAIN, batch_size=8, seq_len=32)
    made = batches_of(split_of([length] * 3), train, bos_id=501, world=SINGLE_PROCESS)
    assert isinstance(made, kind)
