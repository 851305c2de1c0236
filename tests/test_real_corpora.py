"""Tests on real texts, if CHARLSTM_CORPORA is a folder of them."""

import json
import os
from pathlib import Path

import pytest

from charlstm.cli import main

FOLDER = Path(
    os.environ.get("CHARLSTM_CORPORA", Path(__file__).parent.parent.parent / "shared/corpora")
)
FILES = sorted(FOLDER.rglob("*.txt")) + sorted(FOLDER.rglob("*.abc"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES, reason="CHARLSTM_CORPORA names no folder of texts"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_real_text_can_be_trained_scored_and_sampled(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--steps", "8", "--hidden-size", "16", "--batch-size", "8", "--run", "real"]
    assert main(["train", str(path), *arguments]) == 0
    assert main(["sample", "--length", "20", "--seed", "1"]) == 0
    excerpt = path.read_bytes().decode("utf-8-sig")[:5000]
    (tmp_path / "excerpt.txt").write_bytes(excerpt.encode())
    capsys.readouterr()
    assert main(["eval", "excerpt.txt", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_chars"] == len(excerpt.replace("\r\n", "\n").replace("\r", "\n"))
    assert 0 < result["bits_per_char"] < 20
    assert main(["corpus", "check", str(path), "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["num_chars"] == checked["files"][0]["num_chars"]
