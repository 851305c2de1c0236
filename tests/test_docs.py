"""Tests of the guides: commands, outputs, links and structure."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import outputs
import pytest
import typer
from conftest import TEXT

from charlstm.analysis import recall
from charlstm.cli import app, main
from charlstm.inference import draft, sampling
from charlstm.settings import DEFAULT_MINUTES
from charlstm.training import optimization

ROOT = Path(__file__).parent.parent
FRONT = "README.md"
GUIDES = (
    "charlstm/README.md",
    "data/README.md",
    "checkpoints/README.md",
    "tests/benchmarks/README.md",
)
# Pages for contributors; only their links are tested.
OTHERS = (
    "tests/README.md",
    "tests/benchmarks/LOG.md",
    "charlstm/export/page/README.md",
    ".github/CONTRIBUTING.md",
)
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in (FRONT, *GUIDES, *OTHERS)}
MANUAL = "\n".join(PAGES[name] for name in (FRONT, *GUIDES))
SHORT = ["--steps", "3", "--hidden-size", "8", "--batch-size", "4", "--threads", "1"]
# Long enough for three splits, with the characters of the pages' primes.
EXAMPLE = "The beginning. ROMEO: To be, or not. " + TEXT * 4
TABLE = "text,label\n" + "the quick brown fox,ham\nbuy now,spam\n" * 60
MAX_FRONT_LINES = 200


def blocks(page, language="sh"):
    """Return a page's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def is_sweep(block):
    return block.startswith("for ")


def shell_lines(page):
    """Return a page's commands in order, one per line, without loops."""
    for language, block in re.findall(
        r"^```(sh|console).*?\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE
    ):
        if is_sweep(block):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if language == "console" and not line.startswith("$ "):
                continue
            if command := line.removeprefix("$ ").split("  #")[0].strip():
                yield command


def commands(page):
    """Return a page's charlstm commands, including those after an installation or with torchrun."""
    for line in shell_lines(page):
        for part in re.split(r" && |; | \| ", line):
            if part.startswith("torchrun "):
                yield "charlstm " + re.split(r" -m (?:-- )?charlstm ", part)[1]
            elif part.startswith("charlstm "):
                yield part


def run(command, monkeypatch, capsys):
    """Run a command with a small model, a small budget, and its redirections."""
    command, _, target = command.partition(" > ")
    command, _, source = command.partition(" < ")
    arguments = shlex.split(command)[1:]
    added = SHORT if "--resume" not in arguments else ["--steps", "4"]
    if arguments[0] == "compare":
        added = ["--steps", "2", "--hidden-size", "8", "--seeds", "1", "--threads", "1"]
    replaced = added[::2] if arguments[0] in ("train", "compare") else []
    for option in ("--minutes", "--epochs", *replaced):
        if option in arguments:
            place = arguments.index(option)
            del arguments[place : place + 2]
    if replaced:
        arguments += added
    elif arguments[0] == "play":
        play(arguments)
        return
    capsys.readouterr()
    with open(source or os.devnull, encoding="utf-8") as stdin, monkeypatch.context() as patched:
        patched.setattr(sys, "stdin", stdin)
        code = main(arguments)
    out, err = capsys.readouterr()
    assert code == 0, (command, err)
    if target:
        Path(target).write_text(out, encoding="utf-8")


def play(arguments):
    """Start an interactive command in a pseudo-terminal and quit it."""
    if os.name == "nt":
        pytest.skip("there is no pseudo-terminal")
    from pseudo_terminal import in_a_terminal

    in_a_terminal(Path.cwd(), arguments, keys=[(b"^D quit", b"\x04")])


@pytest.fixture
def beginner(tmp_path, monkeypatch):
    """Return a folder with the input texts of a page."""

    def prepare(page):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(recall, "_NUM_DOCUMENTS", 50)
        monkeypatch.setattr(recall, "_NUM_TEST_DOCUMENTS", 20)
        lines = "\n".join(shell_lines(page))
        written = set(re.findall(r"charlstm .* > ([\w-]+\.\w+)\b", lines))
        for name in set(re.findall(r"\b[\w-]+\.(?:txt|csv)\b", lines)) - written:
            (tmp_path / name).write_text(
                TABLE if name.endswith(".csv") else EXAMPLE, encoding="utf-8"
            )
        return tmp_path

    return prepare


@pytest.mark.parametrize("page", [FRONT, *GUIDES])
def test_commands_in_guides_work(page, beginner, monkeypatch, capsys):
    """Run them in order; the guides assume the model of the front page."""
    folder = beginner(page)
    if page != FRONT:
        (folder / "shakespeare.txt").write_text(EXAMPLE, encoding="utf-8")
        assert main(["train", "shakespeare.txt", *SHORT]) == 0
    for command in dict.fromkeys(commands(page)):
        run(command, monkeypatch, capsys)


@pytest.mark.parametrize("page", [FRONT, *GUIDES])
def test_all_commands_in_guides_are_tested(page):
    """Compare the visible command lines with those that are run."""
    lines = [line for block in blocks(page) for line in block.splitlines()]
    seen = [line.split("  #")[0].strip() for line in lines if line.startswith("charlstm ")]
    seen += re.findall(r"^\$ (charlstm .*\S)", PAGES[page], re.MULTILINE)
    assert seen
    # Commands after an installation and with torchrun are also run.
    assert set(seen) <= set(commands(page))
    for block in blocks(page):
        if is_sweep(block):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            assert re.match(r"(charlstm|torchrun|curl|python3? )", line), line


def test_there_is_one_sweep_for_the_slow_test():
    assert sum(is_sweep(block) for page in PAGES for block in blocks(page)) == 1


@pytest.mark.slow
def test_the_sweep_works(tmp_path):
    """Run the sweep in a real shell, with small models and few steps."""
    (block,) = filter(is_sweep, blocks("charlstm/README.md"))
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


def help_examples(command=None, path="charlstm"):
    """Yield (command name, example) for the help of the program and all commands."""
    command = command or typer.main.get_command(app)
    for line in command.epilog.splitlines():
        yield path, line
    for name, inner in getattr(command, "commands", {}).items():
        yield from help_examples(inner, f"{path} {name}")


def test_every_command_has_examples_that_fit_a_terminal():
    paths = [path for path, _ in help_examples()]
    assert all(paths.count(path) >= 2 for path in paths if not re.search("clean|corpus$", path))
    for path, line in help_examples():
        assert line.startswith(path), line
        assert len(line) <= 78, line  # under an indentation of two
        code, _, comment = line.partition("  #")
        assert bool(comment) == ("#" in line)
        assert code.strip()


@pytest.mark.slow
def test_help_examples_work(beginner, monkeypatch, capsys):
    folder = beginner(FRONT)
    for name in ("my-text.txt", "another.txt", "names.txt", "first-lines.txt"):
        (folder / name).write_text(EXAMPLE, encoding="utf-8")
    (folder / "mails.csv").write_text(TABLE, encoding="utf-8")
    assert main(["train", "names.txt", "--split-documents", "lines", "--run", "names", *SHORT]) == 0
    for name in ("small", "large", "shakespeare", "ham", "spam", "newest"):
        assert main(["train", "my-text.txt", "--run", name, *SHORT]) == 0
    # Run deleting commands last.
    lines = sorted((line for _, line in help_examples()), key=lambda line: " rm " in line)
    for line in dict.fromkeys(lines):
        command = line.split("  #")[0].strip()
        if command == "charlstm runs rm shakespeare":
            assert (
                main(["runs", "rm", "shakespeare", "--yes"]) == 0
            )  # no terminal for a confirmation
            continue
        run(command, monkeypatch, capsys)


def test_front_page_lists_two_commands_after_small_torch():
    lines = list(shell_lines(FRONT))
    (small_torch,) = (place for place, line in enumerate(lines) if "/whl/cpu" in line)
    (train,) = (place for place, line in enumerate(lines) if "pip install -e . " in line)
    (test,) = (place for place, line in enumerate(lines) if "pip install -e '.[test]'" in line)
    assert small_torch < train < test
    assert lines[train].endswith("charlstm train")
    assert lines[test].endswith("pytest")


def test_front_page_is_short():
    assert len(PAGES[FRONT].splitlines()) <= MAX_FRONT_LINES


def test_python_examples_in_guides_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shakespeare.txt").write_text("To be, or not. " + TEXT, encoding="utf-8")
    (tmp_path / "names.txt").write_text("anna\notto\nhannah\n" * 300, encoding="utf-8")
    assert main(["train", "shakespeare.txt", *SHORT]) == 0
    capsys.readouterr()
    found = [(page, block) for page in PAGES for block in blocks(page, "python")]
    assert found
    for page, block in found:
        short = re.sub(r"steps=\d+", "steps=3", block.replace("hidden_size=64", "hidden_size=8"))
        exec(compile(short, page, "exec"), {})
    candidate, text, bits = re.fullmatch(
        r"(?s)(Candidate\(.*?\))\n(.*)\n([\d.]+)\n", capsys.readouterr().out
    ).groups()
    assert "probability=" in candidate
    assert len(text) == 200
    assert float(bits) > 0


def test_every_command_is_in_the_manual():
    for command in app.registered_commands:
        assert f"charlstm {command.name}" in MANUAL
    for group in app.registered_groups:
        assert f"charlstm {group.name}" in MANUAL
        for command in group.typer_instance.registered_commands:
            assert f"charlstm {group.name} {command.name}" in MANUAL


def test_the_options_that_the_pages_name_exist():
    def options(command):
        found = {name for parameter in command.params for name in parameter.opts}
        found |= {name for parameter in command.params for name in parameter.secondary_opts}
        return found.union(*map(options, getattr(command, "commands", {}).values()))

    known = options(typer.main.get_command(app)) | {"--help", "--max-restarts"}
    own, _, _ = MANUAL.partition("## Other tools")
    commands = {"charlstm", *typer.main.get_command(app).commands}
    named = set()
    for code in re.findall(r"`([^`\n]+)`", own):
        if code.startswith("--") or code.split()[0] in commands:
            named |= set(re.findall(r"(?<!\S)--[\w-]+", code))
    assert {"--resume", "--no-early-stop"} <= named
    assert named <= known, named - known


@pytest.mark.parametrize(
    ("page", "sentence", "value"),
    [
        (FRONT, r"`--minutes` \(([\d.]+) by default\)", DEFAULT_MINUTES),
        ("charlstm/README.md", r"A text can have ([\d,]+) characters", draft._MAX_CHARS),
        (
            "charlstm/README.md",
            r"`--learning-rate` of Muon; AdamW uses (\d+)\s+times",
            optimization._ADAMW_RATE,
        ),
    ],
)
def test_figures_in_guides_are_those_of_the_program(page, sentence, value):
    (found,) = re.findall(sentence, PAGES[page])
    assert float(found.replace(",", "")) == value


def test_help_names_the_default_lengths_of_samples(capsys):
    assert main(["sample", "--help"]) == 0
    shown = " ".join(re.sub(r"[^\w\s,;:]", " ", capsys.readouterr().out).split())
    lengths = re.findall(r"default: ([\d,]+); for an item of a list ([\d,]+)", shown)
    assert lengths == [(f"{sampling._TEXT_CHARS:,}", f"{sampling._MAX_ITEM_CHARS:,}")]


def test_names_in_the_measured_outputs_are_those_of_the_program():
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "charlstm/views").glob("*.py"))
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", PAGES[FRONT], re.DOTALL | re.MULTILINE)
    measured = "".join(block for language, block in fenced if not language)
    names = re.findall(r"^([a-z][a-z ]+?) {2,}\S", measured, re.MULTILINE)
    assert "perplexity" in names
    assert [name for name in names if f'"{name}' not in code] == []


def prose(page):
    """Return a page without code blocks, whose comments look like headings."""
    return re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)


def anchor(heading):
    """Return GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(page, level="##+"):
    return re.findall(rf"^{level} (.+)$", prose(page), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_links_are_valid(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        found = (ROOT / page).parent.joinpath(path) if path else ROOT / page
        assert found.exists(), target
        if fragment:
            name = found.resolve().relative_to(ROOT.resolve()).as_posix()
            assert fragment in map(anchor, headings(name)), target


@pytest.mark.parametrize("page", OTHERS)
def test_files_that_contributors_are_sent_to_exist(page):
    patterns = ("*.*", "charlstm/**/*.*", "tests/**/*.*", ".github/**/*.*")
    files = [f"/{file.as_posix()}" for pattern in patterns for file in ROOT.glob(pattern)]
    named = set(re.findall(r"[\w./-]*\w\.(?:py|js|ts|html|css|toml|yml)\b", prose(page)))
    named -= {"commands/NAME.py", "axe.min.js"}
    if page == "tests/benchmarks/LOG.md":  # which also tells what was there before
        named = {name for name in named if name.startswith("tests/")}
    missing = {
        name for name in named if not any(f.endswith(f"/{name.lstrip('./')}") for f in files)
    }
    assert not missing


def test_names_that_contributors_are_sent_to_exist():
    _, _, section = PAGES[".github/CONTRIBUTING.md"].partition("## How to add")
    code = "\n".join(file.read_text("utf-8") for file in (ROOT / "charlstm").rglob("*.py"))
    names = set(re.findall(r"`([A-Za-z_]\w+)`", section))
    assert "SampleOptions" in names
    assert {name for name in names if not re.search(rf"\b{name}\b", code)} == {"pypi"}


def test_constants_in_the_benchmarks_exist():
    _, _, table = PAGES["tests/benchmarks/README.md"].partition("## Constants")
    rows = re.findall(r"^\| (.*`.*) \| (`.+`) \| \[", table, re.MULTILINE)
    assert rows
    for constants, files in rows:
        paths = [ROOT / "charlstm" / file for file in re.findall(r"`(.+?)`", files)]
        code = "\n".join(path.read_text("utf-8") for path in paths)
        for constant in re.findall(r"`(.+?)`", constants):
            assert re.search(rf"^{constant}\b", code, re.MULTILINE), constant


@pytest.mark.parametrize("page", GUIDES)
def test_guide_starts_with_purpose_and_sections(page):
    title, purpose, contents, *_ = prose(page).split("\n\n")
    assert re.fullmatch(r"# .+", title)
    assert purpose.endswith(".")
    expected = [f"[{heading}](#{anchor(heading)})" for heading in headings(page, "##")]
    assert contents.replace("\n", " ").split(" · ") == expected


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the examples run in bash")
@pytest.mark.parametrize("page", outputs.PAGES)
def test_guide_outputs_match_the_program(page):
    for _, trained, shown, printed in outputs.examples(PAGES[page]):
        assert not outputs.differs(shown, printed, trained=trained), printed


def test_an_output_that_is_not_generated_is_on_the_front_page():
    for page in outputs.PAGES:
        fences = re.findall(r"^```(.*)\n", PAGES[page], re.MULTILINE)[::2]
        assert page == FRONT or "" not in fences, page


@pytest.mark.parametrize(
    ("printed", "trained", "expected"),
    [
        ("val 2.26 best\n e 44.1%  ██\n", False, False),
        ("val 2.9 best\n e 44.1%  ██▌\n", False, True),
        ("val 2.9 best\n e 44.1%  ██▌\n", True, False),
        ("val 2.25 last\n e 44.1%  ██▌\n", True, True),
        ("val 2.25 best\n", True, True),
    ],
    ids=["rounding", "number", "number of a trained model", "word", "missing line"],
)
def test_outputs_differ_by_words_and_by_more_than_rounding(printed, trained, expected):
    shown = "val 2.25 best\n e 44.1%  ██▌\n"
    assert outputs.differs(shown, printed, trained=trained) == expected


def test_help_names_the_guide(capsys):
    for command in ("", "train", "runs", "runs show"):
        assert main(["help", *command.split()]) == 0
        guide = capsys.readouterr().out.rstrip().splitlines()[-1].strip()
        assert Path(guide).read_text("utf-8") == PAGES["charlstm/README.md"]
