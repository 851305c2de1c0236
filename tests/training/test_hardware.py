import math
from dataclasses import replace

import pytest
import torch
from conftest import MODEL, TRAIN

from charlstm.errors import ConfigError, TrainingError
from charlstm.training import hardware
from charlstm.training.hardware import resolve_device, resolve_precision, resolve_threads


def test_auto_precision_is_fastest_supported(monkeypatch):
    monkeypatch.setattr(hardware, "_supports_bfloat16", lambda _: True)
    assert resolve_precision("auto", "cuda") == "float16"
    assert resolve_precision("bfloat16", "cuda") == "bfloat16"
    assert resolve_precision("auto", "cpu") == "bfloat16"
    monkeypatch.setattr(hardware, "_supports_bfloat16", lambda _: False)
    assert resolve_precision("auto", "cpu") == resolve_precision("auto", "mps") == "float32"
    with pytest.raises(ConfigError, match=r"the cpu of this machine supports float32$"):
        resolve_precision("float16", "cpu")
    with pytest.raises(ConfigError, match=r"supports float32 and float16$"):
        resolve_precision("bfloat16", "cuda")


def test_auto_device_prefers_cuda_but_not_mps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == "cpu"
    assert resolve_device("mps") == "mps"
    with pytest.raises(ConfigError, match=r"--device cuda: this machine has cpu and mps$"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"


def test_threads_default_to_torch_or_follow_user():
    assert resolve_threads(None) == torch.get_num_threads()
    assert resolve_threads(3) == 3
    for wrong in (0, 5000):
        with pytest.raises(ConfigError, match=f"--threads.* {wrong}"):
            resolve_threads(wrong)


def test_memory_estimate_grows_with_every_size():
    base = hardware.estimate_bytes(MODEL, TRAIN)
    for model, train in [
        (replace(MODEL, hidden_size=64), TRAIN),
        (replace(MODEL, num_layers=9), TRAIN),
        (replace(MODEL, num_characters=9000), TRAIN),
        (MODEL, replace(TRAIN, batch_size=64)),
        (MODEL, replace(TRAIN, seq_len=640)),
    ]:
        assert hardware.estimate_bytes(model, train) > base


def test_available_memory_is_plausible():
    available = hardware.available_bytes()
    assert available is None or 1 << 20 < available < 1 << 50


def test_too_large_training_is_rejected_with_both_sizes(monkeypatch):
    monkeypatch.setattr(hardware, "available_bytes", lambda: 10**9)
    hardware.require_memory(MODEL, TRAIN)
    with pytest.raises(
        TrainingError, match=r"about \d+\.\d GB of memory, but only 1\.0 GB are free"
    ):
        hardware.require_memory(replace(MODEL, hidden_size=10_000), TRAIN)
    monkeypatch.setattr(hardware, "available_bytes", lambda: None)
    hardware.require_memory(replace(MODEL, hidden_size=10_000), TRAIN)


def test_cgroup_page_cache_counts_as_available(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "_CGROUP", str(tmp_path))

    def free(limit, current, stat):
        for name, text in (("max", limit), ("current", current), ("stat", stat)):
            (tmp_path / f"memory.{name}").write_text(f"{text}\n", encoding="utf-8")
        return hardware.available_bytes()

    assert free(1000, 900, "anon 100\ninactive_file 700") == 800
    assert free(1000, 1200, "anon 1200\ninactive_file 50") == 0
    assert free(1000, 100, "inactive_file 500") == 1000
    assert (free("max", 100, "inactive_file 500") or math.inf) > 1 << 20
