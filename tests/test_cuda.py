"""The same code on a GPU, where there is one; the CPU path that shares it is tested everywhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MODEL, TRAIN, evaluate

from charlstm.config import Budget, Dropouts
from charlstm.events import Finished
from charlstm.model.network import CharLSTM
from charlstm.training.batches import BatchStream
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture
def train(split, vocabulary):
    """A function (settings) -> a trainer that has trained on the tiny text."""

    def trained(*, steps=12, resume=None, **changes):
        trainer = Trainer(
            replace(MODEL, num_characters=len(vocabulary), hidden_size=128, dropout=0.1),
            replace(TRAIN, **{"device": "cuda", "precision": "float32"} | changes),
            Budget(steps=steps),
            train=split,
            val=split,
            resume=resume,
        )
        *_, finished = trainer.run()
        assert isinstance(finished, Finished)
        return trainer, finished

    return trained


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_every_precision_learns(train, precision):
    _, finished = train(steps=120, precision=precision)
    assert finished.best_val_bits_per_char < 3.0


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_run_goes_on_as_if_never_interrupted(train, precision):
    whole, _ = train(steps=12, precision=precision)
    first, _ = train(steps=12, precision=precision)
    again, _ = train(steps=12, precision=precision, resume=(first.weights(), first.state()))
    for name, value in whole.weights().items():
        np.testing.assert_allclose(again.weights()[name], value, atol=1e-5, err_msg=name)


def test_weights_move_between_devices(train, split):
    trainer, _ = train()
    on_cpu = CharLSTM(trainer.model.config)
    on_cpu.load_arrays(trainer.weights())
    expected = evaluate(on_cpu, split).nats
    found = evaluate(trainer.model, split).nats
    assert found == pytest.approx(expected, rel=1e-4)
    train(device="cpu", steps=14, resume=(trainer.weights(), trainer.state()))


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_a_step_never_waits_for_the_device(split, vocabulary, precision):
    config = replace(MODEL, num_characters=len(vocabulary))
    dropouts = Dropouts(before_head=0.1, recurrent=0.1)
    train = replace(TRAIN, device="cuda", precision=precision)
    learner = TruncatedBPTT(CharLSTM(config).to("cuda"), train)
    stream = BatchStream(
        split,
        boundary=config.boundary,
        batch_size=train.batch_size,
        seq_len=train.seq_len,
        reset_probability=0.1,
    )
    generator = torch.Generator().manual_seed(0)
    learner.step(stream.next(generator), 0.01, dropouts)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):
            outcome = learner.step(stream.next(generator), 0.01, dropouts)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # A scale that was too large at first passes steps over, which is no failure.
    assert outcome.loss.isfinite() or outcome.loss_scale < 65536
