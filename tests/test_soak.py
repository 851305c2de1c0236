"""Random operations for an hour; see soak.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="signals and limits of POSIX")

# Duration of the test under `-m torture`.
MINUTES = float(os.environ.get("CHARLSTM_TEST_SOAK_MINUTES", "60"))
SEED = int(os.environ.get("CHARLSTM_TEST_SOAK_SEED", "1"))


@pytest.mark.parametrize(
    ("minutes", "seed"),
    [
        pytest.param(0.3, 1, marks=pytest.mark.slow),
        pytest.param(MINUTES, SEED, marks=pytest.mark.torture),
    ],
)
def test_random_operations_lose_nothing(tmp_path, minutes, seed):
    script = Path(__file__).with_name("soak.py")
    result = subprocess.run(
        [sys.executable, script, tmp_path, str(minutes), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600 + 60 * minutes,
    )
    print(result.stdout)  # shown by -rP
    assert result.returncode == 0, result.stderr
    counted = json.loads(result.stdout)
    assert counted["losses"] == 0
    assert counted["operations"] > 0
    # On a busy machine, little happens within seconds.
    assert minutes < 5 or min(counted["kills"], counted["stops"], counted["full_disks"]) > 0
