import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary
from charlstm.training.batches import BPTTBatches, PackedWindow

TEXT = "".join(map(chr, range(100, 200)))
VOCABULARY = Vocabulary.of(TEXT)


def stream(documents=(TEXT,), *, reset_probability=0.0, **options):
    return BPTTBatches(
        EncodedText.of(documents, VOCABULARY),
        bos_id=VOCABULARY.bos_id,
        reset_probability=reset_probability,
        **options,
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(batch_size=st.integers(1, 7), seq_len=st.integers(1, 30), num_batches=st.integers(1, 20))
def test_streams_continue_between_batches(batch_size, seq_len, num_batches):
    batches = stream(batch_size=batch_size, seq_len=seq_len)
    random = generator()
    y_TB = torch.cat([batches.next(random).y_TB for _ in range(num_batches)])
    for column in y_TB.T:
        steps = np.diff(column.numpy())
        # Ids are a ring of 100: 1, 2, ..., 100, 1, ...
        assert set(steps % 100) <= {1}


def test_every_character_is_a_target_once_per_epoch():
    batches = stream(batch_size=4, seq_len=5)
    random = generator()
    targets = torch.cat([batches.next(random).y_TB.flatten() for _ in range(5)])
    assert sorted(targets.tolist()) == list(range(1, 101))


def test_inputs_are_previous_targets_or_bos():
    batches = stream((TEXT[:30], TEXT[30:]), batch_size=2, seq_len=20)
    batch = batches.next(generator())
    assert batch.begins_TB[0].tolist() == [True, True]  # no state to carry over yet
    x_T = batch.x_TB[:, 0].tolist()
    assert x_T == [VOCABULARY.bos_id, *range(1, 20)]
    batch = batches.next(generator())
    assert batch.x_TB[:, 0].tolist() == [*range(20, 30), VOCABULARY.bos_id, *range(31, 40)]
    assert batch.y_TB[:, 0].tolist() == list(range(21, 41))
    assert batch.begins_TB[:, 0].nonzero().flatten().tolist() == [10]
    assert batch.begins_TB[0].tolist() == [False, False]


def test_document_at_window_start_resets_state():
    batches = stream((TEXT[:30], TEXT[30:]), batch_size=1, seq_len=30)
    random = generator()
    batches.next(random)
    batch = batches.next(random)
    assert batch.begins_TB[0].tolist() == [True]
    assert batch.x_TB[0].tolist() == [VOCABULARY.bos_id]


def test_resets_have_given_probability_and_read_bos():
    batches = stream(batch_size=50, seq_len=3, reset_probability=0.1)
    random = generator()
    batches.next(random)
    resets = 0
    for _ in range(100):
        batch = batches.next(random)
        resets += int(batch.begins_TB[0].sum())
        assert (batch.x_TB[0][batch.begins_TB[0]] == VOCABULARY.bos_id).all()
    # 5,000 draws at 0.1 (plus the start of the ring, 3 times): 500 +- 6 standard deviations.
    assert 370 < resets < 640


def test_cursor_restores_batches():
    first, random = stream(batch_size=3, seq_len=7, reset_probability=0.3), generator()
    for _ in range(5):
        first.next(random)
    second = stream(batch_size=3, seq_len=7, reset_probability=0.3)
    second.cursor = first.cursor
    copied = torch.Generator()
    copied.set_state(random.get_state())
    for _ in range(5):
        expected, found = first.next(random), second.next(copied)
        assert torch.equal(found.x_TB, expected.x_TB)
        assert torch.equal(found.begins_TB, expected.begins_TB)


@pytest.mark.parametrize("start_probability", [0.0, 0.1, 0.5, 1.0])
def test_packing_reads_each_position_once(start_probability):
    begins_TB = np.random.default_rng(0).random((20, 6)) < start_probability
    packed = PackedWindow.of(begins_TB)
    places, is_first = [], []
    for chunk in packed.chunks:
        places.append(chunk.index_TP.ravel())
        is_first.append(np.zeros(chunk.index_TP.shape, np.bool_))
        is_first[-1][0] = True
    places, is_first = np.concatenate(places), np.concatenate([mask.ravel() for mask in is_first])
    assert places[packed.order_TB].ravel().tolist() == list(range(120))
    # The first step of a chunk is within the segment, never padding.
    is_read = np.zeros(len(places), np.bool_)
    is_read[packed.order_TB.ravel()] = True
    assert is_read[is_first].all()
    assert packed.is_unsplit == (not begins_TB[1:].any())
