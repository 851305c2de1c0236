"""Fuzz tests: arbitrary input must succeed or raise a CharLSTMError."""

import contextlib
import json
import random
import struct
from dataclasses import fields, replace

import pytest
import safetensors.numpy
from crafted import edited, parts_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.config import Budget, ReadingConfig, SampleConfig, TrainConfig
from charlstm.errors import CharLSTMError, CheckpointError
from charlstm.inference.predictor import Predictor
from charlstm.model.checkpoints import read_checkpoint
from charlstm.model.config import ModelConfig
from charlstm.run.store import CheckpointStore
from charlstm.text.corpus import load_corpus

EVERYDAY, LONG = 150, 5000

text = st.text(st.characters(), max_size=200)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(params=[EVERYDAY, pytest.param(LONG, marks=pytest.mark.torture)])
def effort(request):
    """Return a decorator that sets the number of examples."""
    return settings(
        max_examples=request.param,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def survives(call):
    with contextlib.suppress(CharLSTMError):
        call()


def test_any_bytes_are_read_or_rejected(effort, tmp_path):
    path = tmp_path / "corpus"

    @effort
    @given(
        st.binary(max_size=400),
        st.sampled_from([b"", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"\xff\xfe", b"\xef\xbb\xbf"]),
        st.sampled_from(["char", "byte"]),
        st.sampled_from(["utf-8", "utf-16", "latin-1", "gb18030", "utf-7", "idna", "punycode"]),
        st.integers(1, 3),
    )
    def check(data, magic, level, encoding, min_count):
        path.write_bytes(magic + data)

        def load():
            config = ReadingConfig(
                paths=(str(path),), level=level, encoding=encoding, min_count=min_count
            )
            corpus = load_corpus(config)
            splits = (corpus.train, corpus.val, corpus.test)
            assert all(split.ids.max(initial=0) <= len(corpus.vocabulary) for split in splits)

        survives(load)

    check()


def test_any_text_comes_back_from_a_corpus(effort, tmp_path):
    path = tmp_path / "corpus"

    @effort
    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=300))
    def check(text):
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        config = ReadingConfig(
            paths=(str(path),), keep_line_ends=True, val_fraction=0.0, test_fraction=0.0
        )
        corpus = load_corpus(config)
        assert corpus.vocabulary.decode(corpus.train.ids) == text
        assert corpus.train.num_bytes == len(text.encode())

    check()


def test_changed_checkpoint_is_rejected(effort, tmp_path, checkpoint):
    path = tmp_path / "checkpoint"
    good = replace(checkpoint, training=None).to_bytes()
    body, header = parts_of(good)
    keys = st.sampled_from([*sorted(header), "digest"])

    @effort
    @given(st.binary(max_size=300), keys, json_values, st.integers(0, len(good)))
    def check(data, key, value, cut):
        changed = {**header, "digest": "0" * 64, key: value}
        for content in (
            data,
            struct.pack("<Q", len(data)) + data,
            good[:cut] + data,
            good[:cut] + data + good[cut + len(data) :],
            safetensors.numpy.save(body, {"charlstm": json.dumps(changed)}),
        ):
            if content == good:
                continue
            path.write_bytes(content)
            with pytest.raises(CheckpointError):
                read_checkpoint(path)

    check()


def test_crafted_header_works_or_is_rejected(effort, tmp_path, checkpoint):
    """An attacker can compute a valid digest."""
    path = tmp_path / "checkpoint"
    groups = ["model_config", "train_config", "budget", "corpus"]
    tops = [
        "vocabulary", "history", "step", "num_train_chars", "saved_at", "training", "fingerprint"
    ]  # fmt: skip

    @effort
    @given(st.sampled_from(groups), st.randoms(), st.sampled_from(tops), json_values)
    def check(group, chance, top, value):
        def edit(header):
            if chance.random() < 0.5:
                header[top] = value
            else:
                header[group][chance.choice(sorted(header[group]))] = value

        path.write_bytes(edited(replace(checkpoint, training=None), edit))

        def use():
            loaded = read_checkpoint(path)
            predictor = Predictor(loaded)
            predictor.read_all("the q", predictor.start())

        survives(use)

    check()


@pytest.mark.parametrize("number", [300, pytest.param(LONG, marks=pytest.mark.torture)])
def test_flipped_bits_of_a_checkpoint_are_detected(tmp_path, checkpoint, number):
    """The file has training state; model/test_checkpoints.py flips every byte of a small one."""
    data = checkpoint.to_bytes()
    path = tmp_path / "checkpoint"
    for place in random.Random(7).choices(range(len(data)), k=number):
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


def test_any_prime_is_read_or_rejected(effort, checkpoint):
    predictor = Predictor(checkpoint)
    tokenizer = predictor.tokenizer

    @effort
    @given(text)
    def check(prime):
        survives(lambda: tokenizer.require_known(prime))
        kept = tokenizer.without_unknown(prime)
        tokenizer.require_known(kept)
        predictor.read_all(kept[:20], predictor.start())

    check()


def test_any_run_name_stays_inside_the_store(effort, tmp_path):
    root = tmp_path / "inner" / "store"
    store = CheckpointStore(root)

    @effort
    @given(text | st.sampled_from(["../x", "a/../../b", "/abs", "..", "CON", "lpt1.txt"]))
    def check(name):
        def make():
            with store.run(name).writer() as writer:
                assert writer.folder.resolve().parent == root.resolve()

        survives(make)
        with store.new_run(name) as writer:
            assert writer.folder.parent == root
        assert [path.name for path in tmp_path.iterdir()] in ([], ["inner"])

    check()


def test_any_settings_are_valid_or_rejected(effort):
    kinds = [ModelConfig, TrainConfig, Budget, SampleConfig, ReadingConfig]

    likely = st.sampled_from(
        [None, 0, 1, 0.5, True, "", "lstm", "cpu", "utf-8", "char", (), ("a",)]
    )

    @effort
    @given(st.sampled_from(kinds), st.data())
    def check(kind, data):
        values = {
            field.name: data.draw(likely | json_values, label=field.name) for field in fields(kind)
        }
        survives(lambda: kind(**values))

    check()
