from dataclasses import replace

import pytest
from conftest import MODEL, TRAIN

from charlstm.errors import TrainingError
from charlstm.training import hardware, memory


def test_more_of_anything_takes_more():
    base = memory.estimate_bytes(MODEL, TRAIN)
    for model, train in [
        (replace(MODEL, hidden_size=64), TRAIN),
        (replace(MODEL, num_layers=9), TRAIN),
        (replace(MODEL, num_characters=9000), TRAIN),
        (MODEL, replace(TRAIN, batch_size=64)),
        (MODEL, replace(TRAIN, seq_len=640)),
    ]:
        assert memory.estimate_bytes(model, train) > base


def test_what_is_free_is_a_plausible_number():
    available = memory.available_bytes()
    assert available is None or 1 << 20 < available < 1 << 50


def test_what_cannot_fit_is_refused_with_both_figures(monkeypatch):
    monkeypatch.setattr(hardware, "available_bytes", lambda: 10**9)
    hardware.require_memory(MODEL, TRAIN)
    with pytest.raises(TrainingError, match=r"about \d+\.\d GB of memory and 1\.0 GB are free"):
        hardware.require_memory(replace(MODEL, hidden_size=10_000), TRAIN)
    monkeypatch.setattr(hardware, "available_bytes", lambda: None)
    hardware.require_memory(replace(MODEL, hidden_size=10_000), TRAIN)


def test_files_that_may_be_forgotten_are_free_in_a_container(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", str(tmp_path))

    def free(limit, current, stat):
        for name, text in (("max", limit), ("current", current), ("stat", stat)):
            (tmp_path / f"memory.{name}").write_text(f"{text}\n", encoding="utf-8")
        return memory._free_of_cgroup()

    assert free(1000, 900, "anon 100\ninactive_file 700") == 800
    assert free(1000, 1200, "anon 1200\ninactive_file 50") == 0
    assert free(1000, 100, "inactive_file 500") == 1000
    assert free("max", 100, "inactive_file 500") is None
