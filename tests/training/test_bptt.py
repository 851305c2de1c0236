import contextlib
from dataclasses import replace

import pytest
import torch
from conftest import MODEL, TEXT, TRAIN, evaluate
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from charlstm.config import Dropouts
from charlstm.errors import CheckpointError
from charlstm.model.lstm import CharLSTM
from charlstm.system.distributed import SINGLE_PROCESS, World
from charlstm.text.encoded_text import EncodedText
from charlstm.training import bptt
from charlstm.training.batches import Batch, BPTTBatches
from charlstm.training.bptt import TruncatedBPTT


@pytest.fixture
def batch():
    symbols = torch.arange(48).view(12, 4) % MODEL.num_outputs
    return Batch(x_TB=symbols, y_TB=symbols, begins_TB=torch.zeros(12, 4, dtype=torch.bool))


@pytest.fixture
def _any_precision(monkeypatch):
    """Disable autocast: nn.LSTM doesn't train in float16 on a CPU, but loss scaling is testable."""
    monkeypatch.setattr(TruncatedBPTT, "_autocast", lambda _: contextlib.nullcontext())


any_precision = pytest.mark.usefixtures("_any_precision")


def new_model(config=MODEL):
    return CharLSTM(config, generator=torch.Generator().manual_seed(0))


def learner_of(precision="float32", world=SINGLE_PROCESS, *, model=None, **settings):
    train = replace(TRAIN, batch_size=4, seq_len=12, precision=precision, **settings)
    return TruncatedBPTT(model or new_model(), train, world=world)


def carried(learner):
    """Return a copy of the state that the next step starts from, [h, c]."""
    state = learner.state_dict()
    return [state["carried.h_LBH"], state["carried.c_LBH"]]


def first_loss(documents, vocabulary, *, seq_len):
    """Return the first step's loss in nats per character, and that of evaluation."""
    model = new_model(replace(MODEL, num_characters=len(vocabulary)))
    for parameter in model.parameters():
        parameter.data.mul_(2)
    split = EncodedText.of(documents, vocabulary)
    train = replace(TRAIN, batch_size=1, seq_len=seq_len, reset_probability=0.0)
    expected = evaluate(model, split).nats_per_char
    stream = BPTTBatches(
        split,
        bos_id=vocabulary.bos_id,
        batch_size=1,
        seq_len=seq_len,
        reset_probability=0.0,
    )
    batch = stream.next(torch.Generator().manual_seed(0))
    return float(TruncatedBPTT(model, train).step(batch, 0.0).loss), expected


@pytest.mark.parametrize(
    ("documents", "seq_len"),
    [([TEXT[:20], TEXT[40:47], TEXT[5:42]], 20 + 7 + 37), (["quick", "fox"] * 8, 64)],
)
def test_training_loss_resets_at_documents_like_evaluation(vocabulary, documents, seq_len):
    loss, expected = first_loss(documents, vocabulary, seq_len=seq_len)
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("start_probability", [0.0, 0.02, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_packed_window_matches_streams_read_one_by_one(cell, start_probability):
    """Compare losses, states and gradients with a loop over streams and time steps."""
    seq_len, batch_size = 24, 5
    generator = torch.Generator().manual_seed(round(start_probability * 100))
    config = replace(MODEL, cell=cell)
    weights = CharLSTM(config, generator=generator).state_dict()
    shape = (seq_len, batch_size)
    windows = [
        Batch(
            x_TB=torch.randint(config.num_inputs, shape, generator=generator),
            y_TB=torch.randint(config.num_outputs, shape, generator=generator),
            begins_TB=torch.rand(shape, generator=generator) < start_probability,
        )
        for _ in range(3)
    ]
    model, plain = CharLSTM(config), CharLSTM(config)
    model.load_state_dict(weights)
    plain.load_state_dict(weights)
    train = replace(TRAIN, batch_size=batch_size, seq_len=seq_len, precision="float32")
    learner = TruncatedBPTT(model, train)
    states = [plain.zero_state(1) for _ in range(batch_size)]
    for window in windows:
        losses = []
        for b in range(batch_size):
            for t in range(seq_len):
                state = plain.zero_state(1) if window.begins_TB[t, b] else states[b]
                logits, states[b] = plain(window.x_TB[t : t + 1, b : b + 1], state)
                losses.append(cross_entropy(logits[0], window.y_TB[t, b : b + 1]))
            states[b] = states[b].detached()
        expected = torch.stack(losses).mean()
        plain.zero_grad()
        expected.backward()
        # A learning rate of 0 keeps the weights.
        assert float(learner.step(window, 0.0).loss) == pytest.approx(expected.item(), rel=1e-5)
        norm = torch.stack([parameter.grad.norm() for parameter in plain.parameters()]).norm()
        for (name, parameter), other in zip(
            model.named_parameters(), plain.parameters(), strict=True
        ):
            clipped = other.grad / max(1.0, float(norm))
            torch.testing.assert_close(parameter.grad, clipped, atol=1e-6, rtol=1e-4, msg=name)
    carried = learner.state_dict()
    for name, parts in zip(("h", "c"), zip(*states, strict=True), strict=True):
        torch.testing.assert_close(carried[f"carried.{name}_LBH"], torch.cat(parts, 1))


class _Readings(TorchDispatchMode):
    """Recorder of operations that return a tensor's value, or a size that depends on it."""

    NAMES = frozenset({"_local_scalar_dense", "equal", "nonzero", "masked_select", "unique"})

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            part is not None and part.dtype == torch.bool for part in args[1]
        )
        if name in self.NAMES or by_mask:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@any_precision
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_step_never_synchronizes(batch, precision):
    learner = learner_of(precision)
    batch.begins_TB[5, 2] = batch.begins_TB[0, 0] = True
    dropouts = Dropouts(0.1, 0.1)
    learner.step(batch, 0.01, dropouts)
    with _Readings() as readings:
        outcome = learner.step(batch, 0.01, dropouts)
    assert readings.found == []
    with readings:
        float(outcome.loss)
        batch.x_TB[batch.begins_TB]
    assert readings.found == ["_local_scalar_dense", "index"]


def _window(batch):
    return torch.cat([batch.x_TB, batch.y_TB, batch.begins_TB[:1]])


def test_step_on_unsplit_window_matches_normal_step(split, vocabulary):
    """Compare the function captured on GPUs with the normal step, on the CPU."""
    config = replace(MODEL, num_characters=len(vocabulary))
    learners = []
    for _ in range(2):
        model = CharLSTM(config, generator=torch.Generator().manual_seed(1))
        learners.append((TruncatedBPTT(model, TRAIN), model))
    (learner, model), (captured, other) = learners
    stream = BPTTBatches(
        split,
        bos_id=vocabulary.bos_id,
        batch_size=TRAIN.batch_size,
        seq_len=TRAIN.seq_len,
        reset_probability=0.3,
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        batch = stream.next(generator)
        assert batch.is_unsplit
        expected = learner.step(batch, 0.01)
        found = captured._learn_from_window(_window(batch), torch.tensor(0.01), 0.0, 0.0)
        assert float(found.loss) == pytest.approx(float(expected.loss), rel=1e-5)
    for parameter, other_parameter in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter, other_parameter, atol=1e-5, rtol=1e-4)
    begins_TB = batch.begins_TB.clone()
    begins_TB[3, 0] = True
    assert not replace(batch, begins_TB=begins_TB).is_unsplit


def documents_of(batch):
    """Return the window as a batch of complete documents."""
    return replace(batch, mask_TB=torch.ones_like(batch.begins_TB))


@pytest.mark.parametrize("rates", [Dropouts(0.5, 0.0), Dropouts(0.0, 0.5)])
def test_dropout_applies_to_every_kind_of_batch(batch, rates):
    """Use the same masks for streams, unsplit windows (as captured on GPUs) and documents."""

    def learner(seed=1):
        model = new_model()
        model.head.weight.data.mul_(100)
        return learner_of(model=model, seed=seed)

    def losses(dropouts, **options):
        return [
            float(learner(**options).step(batch, 0.0, dropouts).loss),
            float(learner(**options)._learn_from_window(_window(batch), 0.0, *dropouts).loss),
            float(learner(**options).step(documents_of(batch), 0.0, dropouts).loss),
        ]

    plain, dropped = losses(Dropouts()), losses(rates)
    assert plain == pytest.approx([plain[0]] * 3)
    assert dropped == pytest.approx([dropped[0]] * 3)
    assert dropped[0] != pytest.approx(plain[0], rel=1e-3)
    assert dropped == losses(rates)
    assert dropped != losses(rates, seed=2)


@any_precision
def test_loss_scale_grows_and_is_halved_on_overflow(batch, monkeypatch):
    monkeypatch.setattr(bptt, "_LOSS_SCALE_GROWTH_STEPS", 3)
    model = new_model()
    learner, bias = learner_of("float16", model=model), model.head.bias

    def scales(number):
        return [float(learner.step(batch, 0.0).loss_scale) for _ in range(number)]

    assert scales(7) == [65536] * 3 + [2 * 65536] * 3 + [4 * 65536]
    bias.data[0] = torch.nan
    assert scales(3) == [4 * 65536, 2 * 65536, 65536]
    bias.data[0] = 0.0
    # A skipped step restarts the count of steps.
    assert scales(5) == [32768] * 3 + [65536] * 2
    bias.data[0] = torch.nan
    scales(30)
    assert scales(1) == [1.0]


def test_captured_step_never_reads_rate_or_dropouts(batch):
    learner = learner_of()
    window = _window(batch)
    rates = [torch.tensor(0.01), torch.tensor(0.1), torch.tensor(0.2)]
    learner._learn_from_window(window, *rates)
    learner._optimizer._adamw.step = lambda: None  # on a CPU, it reads the learning rate
    carried = [part.data_ptr() for part in learner._carried]
    with _Readings() as readings:
        outcome = learner._learn_from_window(window, *rates)
    assert readings.found == []
    assert outcome.loss.isfinite()
    # A graph's replays need the state at a fixed address.
    assert [part.data_ptr() for part in learner._carried] == carried


@any_precision
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_skipped_step_keeps_weights_and_moments(batch, precision):
    model = new_model()
    learner = learner_of(precision, model=model, weight_decay=0.5)
    learner.step(batch, 0.01)
    learner._carried.c_LBH[0, 1, 0] = torch.nan
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    outcome = learner.step(batch, 0.01)
    assert outcome.loss.isnan()
    assert outcome.loss_scale == (65536 if precision == "float16" else 1)
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    after = learner.state_dict()
    for name, value in before.items():
        if name.startswith("optimizer."):
            assert torch.equal(value, after[name]), name
    # Only the stream with the NaN is reset.
    for name in ("carried.h_LBH", "carried.c_LBH"):
        assert after[name].isfinite().all()
        assert after[name].any(-1).all(0).tolist() == [True, False, True, True]
    assert learner.step(batch, 0.01).loss.isfinite()


@pytest.fixture
def state(batch):
    """Return the state_dict after a step, with generators of two processes."""
    learner = learner_of()
    learner.step(batch, 0.01, Dropouts(0.2, 0.0))
    tensors = {name: value.clone() for name, value in learner.state_dict().items()}
    other = torch.Generator().manual_seed(77).get_state()
    return {**tensors, "generator.dropout.1": other}


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_loads_its_streams_and_generator(state, rank):
    learner = learner_of(world=World(rank=rank, size=2))
    learner.load_state_dict(state)
    for name, part in learner._carried._asdict().items():
        assert torch.equal(part, state[f"carried.{name}"][:, 2 * rank : 2 * rank + 2])
    name = "generator.dropout.1" if rank else "generator.dropout"
    assert torch.equal(learner._generator.get_state(), state[name])


class Two(World):
    """World of two processes, the second with the first one's tensors plus 1."""

    def gather(self, tensor):
        return [tensor, tensor + 1]


def test_state_dict_gathers_all_processes(state):
    learner = learner_of(world=Two(rank=0, size=2))
    learner.load_state_dict(state)
    tensors = learner.state_dict()
    assert tensors.keys() == state.keys()
    for name in ("carried.h_LBH", "carried.c_LBH"):
        own = state[name][:, :2]
        assert torch.equal(tensors[name], torch.cat([own, own + 1], 1))
    assert torch.equal(tensors["generator.dropout"], state["generator.dropout"])
    assert torch.equal(tensors["generator.dropout.1"], state["generator.dropout"] + 1)


def test_added_process_starts_with_its_own_generator(state):
    learner = learner_of(world=World(rank=1, size=2))
    fresh = learner._generator.get_state()

    assert not torch.equal(fresh, learner_of()._generator.get_state())
    del state["generator.dropout.1"]
    learner.load_state_dict(state)
    assert torch.equal(learner._generator.get_state(), fresh)
    del state["generator.dropout"]
    with pytest.raises(CheckpointError, match=r"generator\.dropout is missing"):
        learner_of().load_state_dict(state)


def test_generator_state_of_another_device_type_is_ignored(state):
    learner = learner_of()
    fresh = learner._generator.get_state()
    learner.load_state_dict({**state, "generator.dropout": torch.zeros(16, dtype=torch.uint8)})
    assert torch.equal(learner._generator.get_state(), fresh)


@any_precision
def test_loss_scale_is_restored_only_for_the_same_precision(state, batch):
    def scale_after(precision, tensors):
        learner = learner_of(precision)
        learner.load_state_dict(tensors)
        return float(learner.step(batch, 0.0).loss_scale)

    scaled = {**state, "loss_scale": torch.tensor([1024.0, 0.0])}
    assert scale_after("float16", scaled) == 1024
    assert scale_after("float16", state) == 65536
    assert scale_after("float32", scaled) == 1
    for invalid in ([-1.0, 0.0], [1.0, -1.0], [torch.nan, 0.0], [1.0]):
        with pytest.raises(CheckpointError, match="loss_scale"):
            scale_after("float16", {**state, "loss_scale": torch.tensor(invalid)})


def test_padding_does_not_count(batch):
    """Also check that documents start from a zero state and keep the carried state."""
    counts = torch.zeros(12, 4, dtype=torch.bool)
    for stream, length in enumerate((12, 5, 1, 7)):
        counts[:length, stream] = True
    learner = learner_of()
    learner.step(batch, 0.0)
    before = carried(learner)
    assert all(part.any() for part in before)
    model = new_model()
    logits, _ = model(batch.x_TB, model.zero_state(4))
    expected = cross_entropy(logits[counts], batch.y_TB[counts]).item()
    documents = replace(batch, mask_TB=counts)
    assert float(learner.step(documents, 0.0).loss) == pytest.approx(expected, rel=1e-5)

    halved = learner.step(replace(documents, weight=0.5), 0.0)
    assert float(halved.loss) == pytest.approx(expected / 2, rel=1e-5)
    assert all(map(torch.equal, carried(learner), before))


def test_lower_precision_changes_loss_slightly(batch):
    exact, rounded = (
        float(learner_of(precision).step(batch, 0.0).loss) for precision in ("float32", "bfloat16")
    )
    assert rounded == pytest.approx(exact, rel=1e-2)
    assert rounded != exact


@any_precision
def test_muon_uses_bfloat16_but_not_float16(batch):
    def change(precision):
        model = new_model()
        weight = model.layers[0].weight_hh_l0
        before = weight.detach().clone()
        learner_of(precision, model=model).step(batch, 0.01)
        return weight.detach() - before

    exact, rounded, scaled = map(change, ("float32", "bfloat16", "float16"))
    difference = (rounded - exact).abs().max() / exact.abs().max()
    assert 1e-3 < float(difference) < 0.2
    torch.testing.assert_close(scaled, exact, rtol=1e-3, atol=1e-6)


@any_precision
def test_loss_scaling_keeps_gradient(batch):
    plain_model, scaled_model = new_model(), new_model()
    plain, scaled = learner_of(model=plain_model), learner_of("float16", model=scaled_model)
    for learner in (plain, scaled):
        learner.step(batch, 0.0)
    for expected, found in zip(plain_model.parameters(), scaled_model.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)
    assert scaled.state_dict()["loss_scale"].tolist() == [65536, 1]
    assert "loss_scale" not in plain.state_dict()


def test_stream_with_nonfinite_loss_is_reset(batch):
    model = new_model()
    learner = learner_of(model=model)
    learner.step(batch, 0.0)
    assert all(part.any() for part in carried(learner))
    model.head.bias.data[0] = torch.nan
    assert learner.step(batch, 0.0).loss.isnan()
    assert not any(part.any() for part in carried(learner))


class Silent(World):
    """World in which every mean over processes is 0."""

    def all_reduce_mean_(self, tensors):
        for tensor in tensors:
            tensor.zero_()


def test_gradient_and_loss_are_averaged_over_processes(batch):
    model = new_model()
    before = model.head.bias.detach().clone()
    assert float(learner_of(world=Silent(), model=model).step(batch, 0.01).loss) == 0
    assert torch.equal(model.head.bias, before)
