import json
import os
import pickle
import struct
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from conftest import posix, with_spec
from crafted import edited

from charlstm.errors import CheckpointError, ConfigError
from charlstm.model.checkpoints import Checkpoint, read_checkpoint, read_header
from charlstm.reading.documents import EOS
from charlstm.text.vocabulary import Vocabulary


def assert_equal(found: Checkpoint, expected: Checkpoint):
    for name, value in found.weights.items():
        np.testing.assert_array_equal(value, expected.weights[name])
    assert found.weights.keys() == expected.weights.keys()
    assert (found.training is None) == (expected.training is None)
    if found.training is not None:
        assert found.training.numbers == expected.training.numbers
        for name, value in found.training.arrays.items():
            np.testing.assert_array_equal(value, expected.training.arrays[name])
    assert found.spec.vocabulary.characters == expected.spec.vocabulary.characters
    plain = {"weights": {}, "training": None, "spec": replace(found.spec, vocabulary=LETTER)}
    spec = replace(expected.spec, vocabulary=LETTER)
    assert replace(found, **plain) == replace(expected, **plain | {"spec": spec})


LETTER = Vocabulary("a")


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "file.safetensors"
        path.write_bytes(data)
        return path

    return write


@pytest.fixture(scope="module")
def small(checkpoint):
    """Return the checkpoint without training state: fewer bytes to damage."""
    return replace(checkpoint, training=None)


def test_checkpoint_round_trip(write, checkpoint, small):
    for original in (checkpoint, small):
        assert_equal(read_checkpoint(write(original.to_bytes())), original)


def test_vocabulary_with_lone_surrogates_round_trips(write, small):
    # Sorted, a high surrogate is followed by a low one.
    odd = set(map(chr, range(len(small.spec.vocabulary) - 7))) | set(
        '"\\\u2028\ud800\udc00\udfff\U0010ffff'
    )
    odd = "".join(sorted(odd))
    assert len(odd) == len(small.spec.vocabulary)
    changed = with_spec(small, vocabulary=Vocabulary(odd), corpus_name='"digest":"' + "0" * 64)
    assert_equal(read_checkpoint(write(changed.to_bytes())), changed)


@pytest.fixture(scope="module")
def smallest(small):
    """Return a checkpoint of a few kilobytes, so that each of its bytes can be damaged."""
    config = replace(
        small.spec.model_config, num_characters=1, embedding_size=1, hidden_size=1, num_layers=1
    )
    weights = {name: np.ones(shape, np.float32) for name, shape in config.weight_shapes().items()}
    return with_spec(small, model_config=config, weights=weights, vocabulary=LETTER)


@pytest.mark.parametrize("stride", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_flipped_bit_and_changed_length_are_detected(write, smallest, stride):
    data = smallest.to_bytes()
    assert_equal(read_checkpoint(write(data)), smallest)
    with pytest.raises(CheckpointError):
        read_checkpoint(write(data + b"\0"))
    for place in [*range(64), *range(64, len(data), stride)]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        for content in (bytes(damaged), data[:place]):
            with pytest.raises(CheckpointError):
                read_checkpoint(write(content))


def test_overlapping_or_duplicate_tensors_are_rejected(write):
    def file(table, size):
        header = ("{" + ",".join(f'"{n}":{json.dumps(v)}' for n, v in table) + "}").encode()
        return struct.pack("<Q", len(header)) + header + bytes(size)

    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    metadata = ("__metadata__", {"charlstm": "{}"})
    for table, size in [
        ([metadata, ("a", entry), ("a", entry)], 8),
        ([metadata, ("a", entry), ("b", entry)], 8),
        ([metadata, ("a", entry), ("b", {**entry, "data_offsets": [4, 12]})], 12),
        ([metadata, ("a", {**entry, "data_offsets": [8, 0]})], 0),
        ([metadata, ("a", {**entry, "shape": [2**40]})], 8),
        ([metadata, ("a", {**entry, "data_offsets": [0, 2**62]})], 8),
    ]:
        with pytest.raises(CheckpointError):
            read_checkpoint(write(file(table, size)))


def setting(group, name, value):
    return lambda header: header[group].__setitem__(name, value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda header: header.update(format_version=99), "version 99.*version 2"),
        (lambda header: header.pop("format_version"), "version None"),
        (lambda header: header.pop("vocabulary"), "vocabulary"),
        (lambda header: header.update(vocabulary="ab"), "list of code points"),
        (lambda header: header.update(vocabulary=[98, 97]), "ascending"),
        (lambda header: header.update(vocabulary=[97, 98]), "different sizes"),
        (lambda header: header.update(vocabulary=[0x110000]), "code point"),
        (lambda header: header.update(saved_at=1e12), "is invalid: the save time"),
        (lambda header: header.update(saved_at=-1.0), "is invalid: the save time"),
        (lambda header: header.update(saved_at="now"), "is invalid: the save time"),
        (lambda header: header.pop("fingerprint"), "is invalid: 'fingerprint'"),
        (lambda header: header.update(history=[{"val_bits_per_char": 1e300}]), "bits"),
        (lambda header: header.update(num_train_chars=-1), "training characters"),
        (lambda header: header.update(history=[1]), "is invalid"),
        (setting("model_config", "num_layers", -49), "-49"),
        (setting("model_config", "num_layers", True), "True"),
        (setting("model_config", "hidden_size", 10**9), "1000000000"),
        (setting("model_config", "hidden_size", 1e9), "1000000000.0"),
        (setting("model_config", "hidden_size", 16), "float32"),
        (setting("model_config", "cell", "gru"), "float32"),
        (setting("model_config", "surprise", 1), "surprise"),
        (setting("train_config", "seq_len", 0), "--seq-len"),
        (setting("budget", "steps", None), "--minutes"),
        (setting("corpus", "val_fraction", "much"), "--val-fraction"),
        (lambda header: header.update(surprise=[[]] * 1_100_000), "too many parts"),
        (lambda header: header.update(step="A" * 100_000), "A[.]{3}A"),
        (lambda header: header.update(format_version=["A" * 100_000] * 9), "A[.]{3}A"),
        (setting("model_config", "A" * 100_000, 1), "unknown setting"),
    ],
)
def test_invalid_header_is_rejected(write, small, edit, message):
    path = write(edited(small, edit))
    # Only read_checkpoint compares the tensor table with the header.
    for read in (read_checkpoint, read_header)[: 1 if message == "float32" else 2]:
        with pytest.raises(CheckpointError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("head.bias"), "missing tensor 'head.bias'"),
        (lambda weights: weights.update(extra=np.zeros(3, np.float32)), "'extra'"),
        (lambda weights: weights.update({"head.bias": np.zeros(1, np.float32)}), r"\(1,\)"),
        (
            lambda weights: weights.update({"head.bias": weights["head.bias"].astype(np.float64)}),
            "float64",
        ),
        (lambda weights: weights.update({"head.bias": weights["head.bias"] * np.nan}), "NaN"),
    ],
)
def test_mismatched_weights_are_named(write, small, change, message):
    weights = dict(small.weights)
    change(weights)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(write(replace(small, weights=weights).to_bytes()))


class Bomb:
    def __reduce__(self):
        return os.abort, ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\0" * 100,
        pickle.dumps(Bomb()),
        b"PK\x03\x04" + b"\0" * 100,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**8) + b"{" * 1000,
        struct.pack("<Q", 20_000) + b"[" * 20_000,
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 42) + b'{"a":{"data_offsets":[0,1e999],"shape":[]}}',
        struct.pack("<Q", 40) + b'{"a":{"data_offsets":[0,99999999999999]}}'.ljust(41)[:40],
        safetensors.numpy.save({"a": np.zeros(3)}),
        safetensors.numpy.save({"a": np.zeros(3)}, {"charlstm": "[]"}),
        safetensors.numpy.save({"a": np.zeros(3)}, {"charlstm": '{"a":1,"a":2}'}),
    ],
)
def test_other_file_formats_are_rejected(write, content):
    with pytest.raises(CheckpointError):
        read_checkpoint(write(content))


@posix
def test_special_files_are_rejected_without_blocking(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, "/dev/zero", tmp_path / "missing", "nul\0byte"):
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


def test_read_header_ignores_damaged_tensors(write, checkpoint):
    data = checkpoint.to_bytes()
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    header = read_header(write(damaged))
    assert header.spec.vocabulary.characters == checkpoint.spec.vocabulary.characters
    assert (header.step, header.history) == (checkpoint.step, checkpoint.history)
    with pytest.raises(CheckpointError, match="digest"):
        read_checkpoint(write(damaged))


@pytest.mark.parametrize(
    "history",
    [
        {},
        [[]],
        [{}] * 20_001,
        [{"epoch": 10**400}],
        [{"step": -1}],
        [{"step": 0.5}],
        [{"epoch": -0.1}],
        [{"dropout": 1.01}],
        [{"recurrent_dropout": 1.01}],
        [{"train_bits_per_char": -1.0}],
        [{"val_bits_per_char": "much"}],
        [{"sample": 7}],
        [{"gates": [{"input": 1.01}]}],
        [{"gates": [{"input": -0.01}]}],
        [{"gate_shares": [{"input": [0.5, 1.01]}]}],
        [{"gate_shares": [{"input": [-0.01, 0.5]}]}],
    ],
)
def test_invalid_history_is_rejected(write, small, history):
    data = edited(small, lambda header: header.update(history=history))
    with pytest.raises(CheckpointError, match="is damaged: its h"):
        read_checkpoint(write(data))


def test_dropouts_are_those_of_latest_evaluation(small):
    config = replace(small.spec.train_config, dropout=0.3, recurrent_dropout=0.2)
    changed = with_spec(small, train_config=config, history=())
    assert changed.dropouts == (0.3, 0.2)
    for entry, expected in [
        ({"dropout": 0.1, "recurrent_dropout": 0.0}, (0.1, 0.0)),
        ({"dropout": 0.0}, (0.0, 0.2)),
        ({"recurrent_dropout": 0.1}, (0.3, 0.1)),
    ]:
        history = ({"dropout": 0.01}, entry)
        assert replace(changed, history=history).dropouts == expected


def test_validation_loss_belongs_to_exactly_these_weights(checkpoint, small):
    history = (
        {"step": 3, "val_bits_per_char": 9.0},
        {"step": 4, "val_bits_per_char": 3.5},
    )
    assert replace(small, history=history, step=4).val_bits_per_char == 3.5
    assert replace(small, history=history, step=5).val_bits_per_char is None
    assert replace(small, history=()).val_bits_per_char is None
    assert replace(checkpoint, history=history, step=4).val_bits_per_char is None


def test_minimum_values_are_accepted_and_smaller_ones_rejected(write, small):
    minimal = with_spec(small, step=0, saved_at=0.0, history=(), num_train_chars=2)
    assert_equal(read_checkpoint(write(minimal.to_bytes())), minimal)
    for changes, message in [
        ({"step": -1}, r"^the step "),
        ({"saved_at": -0.1}, r"^the save time "),
        ({"num_train_chars": 1}, r"^the number of training characters "),
        ({"history": ({},) * 20_001}, r"^the length of the h"),
    ]:
        with pytest.raises(ConfigError, match=message):
            with_spec(small, **changes)


def test_byte_level_vocabulary_allows_only_bytes_and_eos(small):
    corpus = replace(small.spec.corpus, level="byte")
    size = len(small.spec.vocabulary)
    for last, is_possible in [("\xff", True), (EOS, True), ("\u0100", False), ("\ufdd1", False)]:
        characters = "".join(map(chr, range(size - 1))) + last
        if is_possible:
            with_spec(small, corpus=corpus, vocabulary=Vocabulary(characters))
        else:
            with pytest.raises(ConfigError, match="256 bytes and EOS"):
                with_spec(small, corpus=corpus, vocabulary=Vocabulary(characters))


@pytest.mark.parametrize("name", ["corpus_name", "fingerprint"])
def test_corpus_name_and_fingerprint_must_be_strings(small, name):
    with pytest.raises(ConfigError, match="must be strings"):
        with_spec(small, **{name: 7})


def test_best_validation_is_lowest_of_history(small):
    bits = [None, 3.0, 2.0, 2.5]
    history = tuple({"val_bits_per_char": value} for value in bits)
    assert replace(small, history=history).best_val_bits_per_char == 2.0
    assert replace(small, history=()).best_val_bits_per_char is None


@posix
def test_oversized_training_state_is_rejected_before_reading(small, tmp_path):
    # A sparse file of 20 GB takes no disk space.
    data = small.to_bytes()
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + length])
    end = max(entry["data_offsets"][1] for name, entry in table.items() if name[0] != "_")
    size = 20_000_000_000
    table["training.x"] = {
        "dtype": "F32", "shape": [size // 4], "data_offsets": [end, end + size],
    }  # fmt: skip
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data[8 + length :])
        file.truncate(8 + len(text) + end + size)
    with pytest.raises(CheckpointError, match="training state is too large"):
        read_checkpoint(path)


def test_header_too_large_to_read_is_not_written(small):
    corpus = replace(small.spec.corpus, paths=tuple("/long/" + "x" * 900 for _ in range(20_000)))
    with pytest.raises(CheckpointError, match="name a folder instead of its files"):
        with_spec(small, corpus=corpus).to_bytes()
