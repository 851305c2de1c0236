import pytest
import torch

from charlstm.errors import ConfigError
from charlstm.training import hardware
from charlstm.training.hardware import resolve_device, resolve_precision, resolve_threads


def test_the_precision_is_the_quickest_that_the_device_trains_in(monkeypatch):
    monkeypatch.setattr(hardware, "_computes_bfloat16", lambda _: True)
    assert resolve_precision("auto", "cuda") == "float16"
    assert resolve_precision("bfloat16", "cuda") == "bfloat16"
    assert resolve_precision("auto", "cpu") == "bfloat16"
    monkeypatch.setattr(hardware, "_computes_bfloat16", lambda _: False)
    assert resolve_precision("auto", "cpu") == resolve_precision("auto", "mps") == "float32"
    with pytest.raises(ConfigError, match=r"the cpu of this machine trains in float32$"):
        resolve_precision("float16", "cpu")
    with pytest.raises(ConfigError, match=r"trains in float32 and float16$"):
        resolve_precision("bfloat16", "cuda")


def test_a_gpu_is_taken_where_there_is_one_and_mps_only_when_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == "cpu"
    assert resolve_device("mps") == "mps"
    with pytest.raises(ConfigError, match=r"--device cuda: this machine has cpu and mps$"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"


def test_threads_are_torch_s_choice_or_the_user_s():
    assert resolve_threads(None) == torch.get_num_threads()
    assert resolve_threads(3) == 3
    for wrong in (0, 5000):
        with pytest.raises(ConfigError, match=f"--threads.* {wrong}"):
            resolve_threads(wrong)
