"""Tests on a GPU, if there is one; most of the code is also tested on CPUs, everywhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MODEL, TEXT, TRAIN, evaluate
from torch import nn

from charlstm.config import Budget, Dropouts
from charlstm.evaluation.dynamic import score_dynamically
from charlstm.events import Finished, Stepped
from charlstm.model.lstm import CharLSTM
from charlstm.settings import TrainSettings
from charlstm.system.distributed import SINGLE_PROCESS
from charlstm.text.encoded_text import EncodedText
from charlstm.training import graphs, hardware
from charlstm.training.auto_config import Machine, auto_configure
from charlstm.training.bptt import TruncatedBPTT
from charlstm.training.bucketing import batches_of
from charlstm.training.head import head_loss
from charlstm.training.step_benchmark import StepBenchmark

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

PRECISIONS = ["float32", "float16", "bfloat16"]
LISTED = TEXT.replace(".", "").split()


@pytest.fixture
def model(vocabulary):
    return replace(MODEL, num_characters=len(vocabulary), hidden_size=128)


@pytest.fixture
def names(vocabulary):
    """Return a list of words, each a document."""
    return EncodedText.of(LISTED, vocabulary)


@pytest.fixture
def poems(vocabulary):
    """Return documents that are read in windows and start within them."""
    return EncodedText.of([TEXT[:200]] * 12, vocabulary)


@pytest.fixture
def make(make_trainer, model):
    """Return a function (settings) -> Trainer on the GPU."""

    def make(**changes):
        return make_trainer(**{"model": model, "device": "cuda"} | changes)

    return make


def finish(trainer, *, stop_at=None):
    for event in trainer.run():
        if isinstance(event, Stepped) and event.step == stop_at:
            trainer.stop()
    assert isinstance(event, Finished)
    return event


def learner_of(split, model, **changes):
    """Return a learner, whose initial weights are the same on any device, and its batches."""
    train = replace(TRAIN, **changes)
    network = CharLSTM(model, generator=torch.Generator().manual_seed(0)).to(train.device)
    batches = batches_of(split, train, bos_id=model.bos_id, world=SINGLE_PROCESS)
    return TruncatedBPTT(network, train), batches


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_learns_in_every_precision(make, precision):
    assert finish(make(steps=120, precision=precision)).best_val_bits_per_char < 3.0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_run_goes_on_as_if_never_interrupted(make, model, precision):
    settings = {"precision": precision, "model": model, "dropout": 0.1, "recurrent_dropout": 0.1}
    whole, first = make(steps=24, **settings), make(steps=24, **settings)
    finish(whole)
    assert finish(first, stop_at=8).was_interrupted
    again = make(steps=24, resume=(first.weights(), first.state_dict()), **settings)
    finish(again)
    assert again.step == 24
    for name, value in whole.weights().items():
        np.testing.assert_allclose(again.weights()[name], value, atol=1e-5, err_msg=name)


def test_weights_and_state_move_between_devices(make, split, names):
    trainer = make()
    finish(trainer)
    on_cpu = CharLSTM(trainer.model.config)
    on_cpu.load_arrays(trainer.weights())
    for text in (split, names):
        expected = evaluate(on_cpu, text).nats
        assert evaluate(trainer.model, text).nats == pytest.approx(expected, rel=1e-4)
    part = split.part(0, 400)
    np.testing.assert_allclose(
        score_dynamically(trainer.model, part).nats_N,
        score_dynamically(on_cpu, part).nats_N,
        atol=1e-2,
    )
    finish(make(device="cpu", steps=14, resume=(trainer.weights(), trainer.state_dict())))


@pytest.mark.parametrize("text", ["split", "poems", "names"])
def test_cuda_steps_match_the_cpu(request, model, text):
    read = request.getfixturevalue(text)
    losses = []
    for device in ("cpu", "cuda"):
        learner, batches = learner_of(read, model, device=device)
        generator = torch.Generator().manual_seed(0)
        steps = [learner.step(batches.next(generator), 0.01) for _ in range(6)]
        losses.append([float(step.loss) for step in steps])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_chunked_head_matches_the_cpu(monkeypatch):
    monkeypatch.setitem(hardware._CHUNK_LOGITS, "cuda", 1)
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(64, 5000)
    z_NH = torch.randn(700, 64, generator=generator)
    y_N = torch.randint(5000, (700,), generator=generator)
    found = []
    for device in ("cpu", "cuda"):
        layer = nn.Linear(64, 5000).to(device)
        layer.load_state_dict(head.state_dict())
        read_NH = z_NH.detach().to(device).requires_grad_()
        mean, loss_N = head_loss(read_NH, layer, y_N.to(device))
        mean.backward()
        gradients = (read_NH.grad, layer.weight.grad, layer.bias.grad)
        found.append([part.detach().cpu() for part in (mean, loss_N, *gradients)])
    for expected, other in zip(*found, strict=True):
        torch.testing.assert_close(other, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_captured_graph_matches_the_eager_step(model, split, precision, monkeypatch):
    """Compare weights, state and masks while dropout rates change."""
    learners = []
    for num_eager in (2, 1000):
        monkeypatch.setattr(graphs, "_EAGER_STEPS", num_eager)
        learner, batches = learner_of(
            split, model, device="cuda", precision=precision, batch_size=8
        )
        generator = torch.Generator().manual_seed(0)
        for number in range(16):
            dropouts = Dropouts(0.01 * number, max(0.0, 0.02 * (number - 8)))
            outcome = learner.step(batches.next(generator), 0.001 * number, dropouts)
        learners.append((learner, outcome))
    (captured, found), (eager, expected) = learners
    assert sum(one._graph is not None for one in captured._graphs._graph_by_key.values()) == 2
    assert float(found.loss) == pytest.approx(float(expected.loss), abs=1e-4)
    assert found.loss_scale == expected.loss_scale
    pairs = [(captured._model.state_dict(), eager._model.state_dict())]
    pairs.append((captured.state_dict(), eager.state_dict()))
    for one, other in pairs:
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("text", ["split", "poems", "names"])
def test_a_step_never_waits_for_the_device(request, model, text, precision):
    learner, batches = learner_of(
        request.getfixturevalue(text), model, device="cuda", precision=precision
    )
    dropouts = Dropouts(0.1, 0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        learner.step(batches.next(generator), 0.01, dropouts)
    try:
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(4):
            outcome = learner.step(batches.next(generator), 0.01, dropouts)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # A loss scale that is too large at first skips steps, which is not a failure.
    assert outcome.loss.isfinite() or outcome.loss_scale < 65536


def test_sizes_are_chosen_by_step_benchmarks(split, vocabulary):
    timer = StepBenchmark(split, budget_seconds=10)
    plan = auto_configure(
        TrainSettings(),
        num_train_chars=10**6,
        num_characters=len(vocabulary),
        budget=Budget(minutes=1),
        machine=Machine(device="cuda", precision="float16", threads=1),
        step_times=timer,
    )
    assert plan.model.hidden_size % 128 == 0
    # Any GPU reads more than that in a minute.
    assert plan.num_chars > 10**6
    huge = replace(plan.model, hidden_size=60_000)
    seconds, nothing = timer([(plan.model, plan.train), (huge, plan.train)])
    assert 0 < seconds < 1
    assert nothing is None


def test_timed_training_resume_and_eval(run, corpus_file):
    started, *_, finished = run.json_lines("train", corpus_file, "--minutes", "0.1", "--run", "r")
    assert (started["device"], started["precision"]) == ("cuda", "float16")
    assert finished["best_val_bits_per_char"] < 4.0
    *_, again = run.json_lines("train", "--resume", "--run", "r", "--minutes", "0.2")
    assert again["step"] > finished["step"]
    on_gpu, on_cpu = (run.json("eval", "--run", "r", "--device", name) for name in ("cuda", "cpu"))
    assert on_gpu["bits_per_char"] == pytest.approx(on_cpu["bits_per_char"], rel=1e-3)
