"""The scripts in tests/benchmarks follow the package's names."""

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__).parent.glob("benchmarks/*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_benchmark_script_can_be_imported(script, monkeypatch):
    monkeypatch.syspath_prepend(script.parent)
    try:
        runpy.run_path(str(script), run_name="imported")
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] == "charlstm":
            raise
        pytest.skip(f"{error.name} isn't installed")
