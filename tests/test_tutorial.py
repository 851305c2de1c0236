"""The tutorial notebook runs with only charlstm installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "data" / "tutorial.ipynb"


def code_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_stored_notebook_has_outputs():
    assert all(cell["outputs"] for cell in code_cells(NOTEBOOK)[:-1])
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert "/tmp" not in text


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    shutil.copy(NOTEBOOK, tmp_path)
    command = [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace"]
    subprocess.run(
        [*command, NOTEBOOK.name], cwd=tmp_path, check=True, capture_output=True, timeout=600
    )
    cells = code_cells(tmp_path / NOTEBOOK.name)
    assert all(cell["execution_count"] for cell in cells)
    kinds = [output["output_type"] for cell in cells for output in cell["outputs"]]
    assert "error" not in kinds
    shown = [o for cell in cells for o in cell["outputs"] if o["output_type"] == "execute_result"]
    assert sum("text/html" in one["data"] for one in shown) >= 5
    assert (tmp_path / "checkpoints/tutorial/best.safetensors").exists()
