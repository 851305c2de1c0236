"""Crafted files with a valid digest either work or are rejected with a `CharLSTMError`.

Tensors get arbitrary shapes, types and values, and the header gets arbitrary JSON.
"""

import contextlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TEXT
from crafted import parts_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.api.model import Model
from charlstm.config import ReadingConfig
from charlstm.errors import CharLSTMError, TensorFileError
from charlstm.events import Stepped
from charlstm.model.checkpoints import read_checkpoint
from charlstm.system.tensor_file import open_tensor_file, to_bytes
from charlstm.text.corpus import load_corpus
from charlstm.text.storage import read_corpus, write_corpus
from charlstm.training.batches import BPTTBatches
from charlstm.training.hardware import require_memory
from charlstm.training.trainer import Resume, Trainer
from charlstm.views.runs import show_run, with_history

EXAMPLES = int(os.environ.get("CHARLSTM_TEST_EXAMPLES", "300"))
effort = settings(
    max_examples=EXAMPLES,
    derandomize="CHARLSTM_TEST_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

numbers = st.sampled_from(
    [0, 1, -1, 2, 3, 28, 29, 255, 65536, 2**31, 2**48, 2**63, 10**400, 0.0, -0.0, 0.5, 1.5, -3.0,
     1e-300, 3e38, 1e300]
)  # fmt: skip
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5) | st.just("byte"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def places_in(value, place=()):
    """Yield the path of every value in a JSON value, as a tuple of keys."""
    yield place
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value[:4])
    for key, inner in items:
        yield from places_in(inner, (*place, key))


def change_header(header, data):
    places = [place for place in places_in(header) if place]
    *outer, last = data.draw(st.sampled_from(places))
    inner = header
    for key in outer:
        inner = inner[key]
    if data.draw(st.booleans()) or isinstance(inner, list):
        inner[last] = data.draw(plain)
    elif data.draw(st.booleans()):
        del inner[last]
    else:
        inner[data.draw(st.text(max_size=3))] = data.draw(plain)


def change_array(arrays, data):
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = np.array(arrays[name])
    match data.draw(st.sampled_from(["shape", "type", "values", "one", "drop", "rename"])):
        case "shape":
            flat = array.reshape(-1)
            shapes = [flat, flat[:1], flat[:0], array[None], flat[:1].sum(), flat[:-1]]
            arrays[name] = np.array(data.draw(st.sampled_from(shapes)))
        case "type":
            kinds = [np.float64, np.uint8, np.int64, np.bool_, np.int8]
            with np.errstate(all="ignore"):
                arrays[name] = array.astype(data.draw(st.sampled_from(kinds)))
        case "values":
            values = [np.nan, np.inf, -np.inf, 3e38, -3e38, -1.0, 0.0, 1e-45]
            with np.errstate(all="ignore"):
                arrays[name] = np.full(array.shape, data.draw(st.sampled_from(values))).astype(
                    array.dtype
                )
        case "one":
            array.reshape(-1)[:1] = 100
            arrays[name] = array
        case "drop":
            del arrays[name]
        case "rename":
            arrays[name + "x"] = arrays.pop(name)


def crafted(checkpoint, data):
    arrays, header = parts_of(checkpoint.to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            change_header(header, data)
        elif arrays:
            change_array(arrays, data)
    return to_bytes(arrays, header)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_crafted_checkpoint_works_or_is_rejected(checkpoint, split, tmp_path, capsys):
    path = tmp_path / "crafted.safetensors"

    def use(found):
        json.dumps(with_history("crafted", found), allow_nan=False)
        show_run("crafted", found, with_details=True, counts_bits=None)
        model = Model(found, name="crafted", path=path)
        prediction = model.predict("")
        assert sum(one.probability for one in prediction.next) == pytest.approx(1, abs=1e-6)
        assert len(model.sample(length=3, seed=1)) == 3
        assert np.isfinite(model.score(TEXT[:20]).nats)

    def go_on(found):
        spec = found.spec
        if found.training is None:
            return
        require_memory(spec.model_config, spec.train_config)
        if spec.train_config.chars_per_step > 20_000 or spec.train_config.device != "cpu":
            return
        trainer = Trainer(
            spec.model_config,
            replace(spec.train_config, precision="float32"),
            spec.budget,
            train=split,
            val=split.part(0, 0),  # saves time
            start=Resume(weights=found.weights, state=found.training),
        )
        for number, event in enumerate(trainer.run()):
            if isinstance(event, Stepped) or number > 4:
                break

    @effort
    @given(st.data())
    def check(data):
        path.write_bytes(crafted(checkpoint, data))
        try:
            found = read_checkpoint(path)
        except CharLSTMError:
            return
        for act in (use, go_on):
            with contextlib.suppress(CharLSTMError):
                act(found)
        capsys.readouterr()

    check()


@pytest.mark.slow
def test_crafted_text_works_or_is_rejected(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    config = ReadingConfig(paths=(str(text),), split_documents="lines")
    first = load_corpus(config)
    write_corpus(tmp_path, first, config, mode=0o666)
    kept = tmp_path / "text.safetensors"
    whole = kept.read_bytes()

    @effort
    @given(st.data())
    def check(data):
        kept.write_bytes(whole)
        with open_tensor_file(kept) as container:
            arrays, header = container.read(), container.header
        for _ in range(data.draw(st.integers(1, 3))):
            if data.draw(st.booleans()):
                change_header(header, data)
            elif arrays:
                change_array(arrays, data)
        try:
            kept.write_bytes(to_bytes(arrays, header))
        except (TensorFileError, KeyError, TypeError, ValueError):
            return  # can't be written
        found = read_corpus(tmp_path, config, first.fingerprint, first.vocabulary)
        if found is not None:
            for split in (found.train, found.val, found.test):
                assert len(found.tokenizer.text_of(split.ids)) == split.num_chars
                assert split.lengths.sum() == split.num_chars
            stream = BPTTBatches(
                found.train, bos_id=1, batch_size=2, seq_len=4, reset_probability=0.1
            )
            stream.next(torch.Generator().manual_seed(0))

    check()
