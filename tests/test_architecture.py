"""The arrows of the package: what may import what."""

import ast
import re
from pathlib import Path

import pytest

import charlstm

PACKAGE = Path(charlstm.__file__).parent
ROOT = PACKAGE.parent

# A module may import modules of its own row or below, never above.
FLOORS = [
    {"cli", "__main__"},
    {"commands"},
    {"views"},
    {"session", "api", "comparison", "recall", "webpage"},
    {"preparation"},
    {"cache", "diagnosis"},
    {
        "corpus",
        "training",
        "dynamic",
        "assessment",
        "reach",
        "baselines",
        "sampling",
        "prediction",
        "inspection",
        "export",
        "recipe",
        "hardware",
    },
    {
        "memory",
        "evaluation",
        "batches",
        "bptt",
        "optimization",
        "pacing",
        "predictor",
        "store",
        "finetuning",
    },
    {"model", "cell", "checkpoints", "split", "pieces", "copying", "scores"},
    {
        "vocabulary",
        "distributed",
        "files",
        "events",
        "interrupts",
        "terminal",
        "source",
        "documents",
        "folders",
        "features",
    },
    {"config"},
    {"errors"},
]
FLOOR = {module: -number for number, row in enumerate(FLOORS) for module in row}
NEVER = [
    ("training", "corpus"),
    ("training", "vocabulary"),
    ("training", "store"),
    ("training", "preparation"),
    ("model", "vocabulary"),
    ("sampling", "training"),
    ("views", "commands"),
]


def files():
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path):
    relative = path.relative_to(PACKAGE).with_suffix("")
    return relative.parts[0]


def imports(path):
    """Modules of the package that a file imports, wherever in it, and other top-level names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
            if node.module in ("charlstm", "charlstm.commands"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from names


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_down(path):
    module = module_of(path)
    if module == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "charlstm" or parts[1:] in ([], ["__version__"]) or parts[1] == module:
            continue
        assert FLOOR[parts[1]] <= FLOOR[module], f"{module} imports {parts[1]}"
        assert (module, parts[1]) not in NEVER


@pytest.mark.parametrize(
    "module",
    ["config", "errors", "vocabulary", "split", "source", "documents", "corpus", "cell",
     "checkpoints", "store", "predictor", "prediction", "sampling", "copying", "inspection",
     "terminal", "recipe", "events", "scores", "pacing", "memory", "api"],
)  # fmt: skip
def test_what_must_start_quickly_knows_no_torch(module):
    assert not any(name.split(".")[0] == "torch" for name in imports(PACKAGE / f"{module}.py"))


def test_nothing_that_executes_what_it_reads():
    for path in files():
        names = {name.split(".")[0] for name in imports(path)}
        assert not names & {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}
                assert not (node.value.id in ("np", "numpy") and node.attr == "load")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}


def test_every_module_says_what_it_is_for():
    for path in files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert path.stat().st_size == 0 or ast.get_docstring(tree), path


def test_every_module_is_on_the_architecture_page():
    page = charlstm.__doc__
    for path in files():
        module = module_of(path)
        assert module == "__init__" or re.search(rf"\b{module}\b", page), module
