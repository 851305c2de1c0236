"""Tests of imports: which folder may import which, and what must never be imported."""

import ast
import functools
import re
from pathlib import Path

import pytest

import charlstm

PACKAGE = Path(charlstm.__file__).parent

# Folders, and modules of the package's root, from the top down: an import goes to the same folder
# or to a row below, never to another folder of the same row.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"arguments"},
    {"views"},
    {"api"},
    {"export", "run"},
    {"analysis"},
    {"training"},
    {"inference"},
    {"evaluation"},
    {"model", "ngram"},
    {"text"},
    {"reading"},
    {"system", "events"},
    {"config"},
    {"settings"},
    {"errors"},
]
FLOOR = {name: -number for number, row in enumerate(FLOORS) for name in row}

# Imported by `sample`, `predict`, `runs` and `inspect`, which start in a fraction of a second.
WITHOUT_TORCH = [
    "api", "config", "settings", "errors", "events", "system/tensor_file", "system/files",
    "system/interrupts", "system/run_files", "system/notebook_html", "system/terminal",
    "system/spinning",
    "reading", "text", "ngram",
    "model/cell", "model/config", "model/checkpoints", "model/finetuning", "inference",
    "evaluation/scores", "evaluation/baselines", "evaluation/difference", "evaluation/items",
    "evaluation/with_ngrams", "training/budgets", "training/auto_config",
    "run/store", "run/writer", "run/log", "run/repeat_command",
    "analysis/advice", "analysis/inspection",
    "analysis/diagnosis", "analysis/unit",
    "export", "commands", "arguments",
    "views/inspection", "views/runs", "views/sampling", "views/diagnosis",
    "views/items", "views/tables", "views/draft", "views/play",
    "views/unit",
]  # fmt: skip


def files(place=""):
    path = PACKAGE / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@functools.cache
def tree_of(path):
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path):
    """Return a module's folder, or its own name if it is in the package's root."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path, *, when_called=True):
    """Yield what a file imports, by full name; without `when_called` only at its loading."""
    tree = tree_of(path)
    nodes = ast.walk(tree) if when_called else _at_module_level(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            is_package = node.module == "charlstm" or (
                node.module.startswith("charlstm.")
                and PACKAGE.joinpath(*node.module.split(".")[1:]).is_dir()
            )
            if is_package:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def _at_module_level(tree):
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        yield node
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not is_for_types and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            pending += ast.iter_child_nodes(node)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_down(path):
    room = room_of(path)
    if room == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "charlstm" or parts[1:] in ([], ["__version__"]) or parts[1] == room:
            continue
        assert FLOOR[parts[1]] < FLOOR[room], f"{room} imports {name}"


@pytest.mark.parametrize("place", WITHOUT_TORCH)
def test_fast_modules_do_not_import_torch(place):
    for path in files(place):
        for name in imports(path, when_called=False):
            assert name.split(".")[0] != "torch", path
            if name.startswith("charlstm."):
                inner = "/".join(name.split(".")[1:])
                allowed = any(inner == p or inner.startswith(p + "/") for p in WITHOUT_TORCH)
                assert allowed, f"{path} loads {name}, which may load torch"


def test_trainer_does_not_use_files_or_store():
    for path in files("training"):
        for name in imports(path):
            assert not re.match(r"charlstm\.(run|system\.files)\b", name), (path, name)
    for name in imports(PACKAGE / "training/trainer.py"):
        assert not re.match(r"charlstm\.text\.(corpus|storage|source)\b", name), name


def test_model_only_imports_the_alphabet_of_text():
    for path in files("model"):
        for name in imports(path):
            if name.startswith("charlstm.text"):
                assert name in ("charlstm.text.tokenizer", "charlstm.text.vocabulary"), (path, name)


def test_tensors_become_float64_on_the_cpu_only():
    for path in files():
        # Apple's GPUs have no float64.
        assert not re.search(r"(?<!\.cpu\(\))\.double\(\)", path.read_text("utf-8")), path


def test_no_code_executes_data():
    for path in files():
        names = {name.split(".")[0] for name in imports(path)}
        assert not names & {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}
                assert not (node.value.id in ("np", "numpy") and node.attr == "load")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}


@pytest.mark.parametrize(
    ("expression", "places"),
    [
        (r"math\.log\(2\)", {"config"}),
        (r"num_layers} x ", {"model/config"}),
    ],
)
def test_decisions_are_written_once(expression, places):
    for path in files():
        if re.search(expression, path.read_text(encoding="utf-8")):
            place = path.relative_to(PACKAGE).with_suffix("").as_posix()
            assert places & {place, room_of(path)}, place


def test_every_module_has_a_docstring():
    for path in files():
        assert ast.get_docstring(tree_of(path)), path


def test_module_map_is_complete():
    for folder in sorted(path for path in PACKAGE.iterdir() if path.name in FLOOR):
        if not folder.is_dir():
            continue
        assert re.search(rf"\b{folder.name}/", charlstm.__doc__), folder
        page = ast.get_docstring(tree_of(folder / "__init__.py"))
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        listed = ",".join(re.findall(r"^ {4}(\w[\w, ]*?)(?: {2}|$)", page, re.MULTILINE))
        assert set(re.findall(r"\w+", listed)) <= modules, folder
        for module in modules:
            assert re.search(rf"\b{module}\b", page), (folder, module)


def test_module_map_fits_a_screen():
    assert len(charlstm.__doc__.splitlines()) <= 40


def test_tests_mirror_the_package():
    tests = Path(__file__).parent
    for path in tests.glob("*/test_*.py"):
        module = path.stem.removeprefix("test_")
        folder = PACKAGE / path.parent.name
        names = (module, module.split("_")[0], {"golden": "checkpoints"}.get(module, module))
        found = any((folder / f"{name}.py").exists() for name in names)
        assert found, path
