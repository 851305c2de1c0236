"""What the pages say is so."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEXT

from charlstm.analysis import recall
from charlstm.cli import app, main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
SHORT = ["--steps", "3", "--hidden-size", "8", "--batch-size", "4", "--threads", "1"]


def shell_lines():
    """Every line of the README's shell blocks."""
    for block in BLOCKS:
        for line in block.splitlines():
            if line.strip():
                yield line.split("  #")[0].strip()


def commands():
    for line in shell_lines():
        for part in line.split(" && "):
            if part.startswith("charlstm "):
                yield part


@pytest.mark.slow
def test_the_sweep_of_the_readme_works(tmp_path):
    """In a real shell, with small models and few steps."""
    (block,) = (one for one in BLOCKS if one.startswith("for size in"))
    (tmp_path / "shakespeare.txt").write_text(TEXT * 4, encoding="utf-8")
    block = block.replace("32 64 128", "4 8").replace("--steps 500", "--steps 3 --threads 1")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert "'run': 'size-" in done.stdout
    lines = (tmp_path / "sweep.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["run"] for line in lines] == ["size-4", "size-8"]


def test_the_readme_has_the_two_commands():
    lines = list(shell_lines())
    assert any("pip install -e ." in line and line.endswith("charlstm train") for line in lines)
    assert any("pip install -e '.[test]'" in line and line.endswith("pytest") for line in lines)


def test_every_command_of_the_readme_works(tmp_path, monkeypatch, capsys):
    """In their order, on a small text, with a small budget."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recall, "_NUM_DOCUMENTS", 50)
    monkeypatch.setattr(recall, "_NUM_TEST_DOCUMENTS", 20)
    for name in re.findall(r"\b[\w-]+\.txt\b", README):
        (tmp_path / name).write_text("The beginning. ROMEO: To be, or not. " + TEXT * 4)
    done = 0
    for command in commands():
        arguments = shlex.split(command.split(" > ")[0].split(" | ")[0])[1:]
        if arguments[0] == "train":
            for option in ("--minutes", "--steps", "--epochs"):
                if option in arguments:
                    place = arguments.index(option)
                    del arguments[place : place + 2]
            if "--resume" in arguments:
                arguments += ["--steps", "4"]
            else:
                arguments += SHORT
        elif arguments[0] == "compare":
            arguments += ["--steps", "2", "--hidden-size", "8", "--seeds", "1", "--threads", "1"]
        assert main(arguments) == 0, (command, capsys.readouterr().err)
        done += 1
    assert done >= 8


def test_the_readme_s_python_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shakespeare.txt").write_text("To be, or not. " + TEXT)
    assert main(["train", "shakespeare.txt", *SHORT]) == 0
    capsys.readouterr()
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    candidate, text, bits = re.fullmatch(
        r"(?s)(Candidate\(.*?\))\n(.*)\n([\d.]+)\n", capsys.readouterr().out
    ).groups()
    assert "probability=" in candidate
    assert len(text) == 200
    assert float(bits) > 0


def test_every_command_is_in_the_readme():
    for command in app.registered_commands:
        assert f"charlstm {command.name}" in README
    for group in app.registered_groups:
        assert f"charlstm {group.name}" in README


def test_every_test_that_the_fault_table_names_exists():
    page = (ROOT / "tests/README.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 43))
    for row in rows:
        tests = row.split("|")[3]
        source = ""
        if tests.strip().startswith("as "):
            continue
        assert "`" in tests, row
        for file, name in re.findall(r"((?:\w+/)?test_\w+\.py)?(?:::(test_\w+))?", tests):
            if file:
                source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            if name:
                assert f"def {name}(" in source, name


@pytest.mark.parametrize("page", ["README.md", "data/README.md", "checkpoints/README.md"])
def test_pages_name_no_file_that_is_missing(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / page).parent.joinpath(link).exists(), link
