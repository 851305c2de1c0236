"""Runs killed with SIGKILL at random times; see kill_loop.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("num_kills", "precision"),
    [
        pytest.param(14, "float32", marks=pytest.mark.slow),
        pytest.param(6, "auto", marks=pytest.mark.slow),
        pytest.param(140, "float32", marks=pytest.mark.torture),
        pytest.param(60, "auto", marks=pytest.mark.torture),
    ],
)
def test_killed_and_resumed_run_equals_uninterrupted_run(tmp_path, num_kills, precision):
    script = Path(__file__).with_name("kill_loop.py")
    result = subprocess.run(
        [sys.executable, script, tmp_path, str(num_kills), "1", precision],
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + 20 * num_kills,
    )
    assert result.returncode == 0, result.stderr
    counted = json.loads(result.stdout)
    assert counted["kills"] == num_kills
    assert counted["damaged_files"] == 0
