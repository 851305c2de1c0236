"""What the pages say is so."""

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

ROOT = Path(__file__).parent.parent
FRONT = "README.md"
GUIDES = (
    "charlstm/README.md",
    "data/README.md",
    "checkpoints/README.md",
    "tests/benchmarks/README.md",
)
# No guides for users, but their links must hold as well.
OTHERS = (
    "tests/README.md",
    "tests/benchmarks/LOG.md",
    "charlstm/export/page/README.md",
    ".github/CONTRIBUTING.md",
)
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in (FRONT, *GUIDES, *OTHERS)}
MANUAL = "\n".join(PAGES[name] for name in (FRONT, *GUIDES))
SHORT = ["--steps", "3", "--hidden-size", "8", "--batch-size", "4", "--threads", "1"]
# Long enough for each split to hold something, and it has what the pages' primes are made of.
EXAMPLE = "The beginning. ROMEO: To be, or not. " + TEXT * 4
TABLE = "text,label\n" + "the quick brown fox,ham\nbuy now,spam\n" * 60
MAX_FRONT_LINES = 205


def blocks(page, language="sh"):
    """The code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def is_sweep(block):
    return block.startswith("for ")


def shell_lines(page):
    """The commands that a reader sees, a line each, in their order; loops are left out."""
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
    """What a page runs with charlstm, by itself, after an installation, or by torchrun."""
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
    """Begin it where somebody sits at a terminal, and end it."""
    if os.name == "nt":
        pytest.skip("there is no pseudo-terminal")
    from pseudo_terminal import in_a_terminal

    in_a_terminal(Path.cwd(), arguments, keys=[(b"^D end", b"\x04")])


@pytest.fixture
def beginner(tmp_path, monkeypatch):
    """A folder with the texts that a page names, but not those that its commands write."""

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
def test_every_command_of_a_page_works(page, beginner, monkeypatch, capsys):
    """In their order; the guides take it that the front page's model has been trained."""
    folder = beginner(page)
    if page != FRONT:
        (folder / "shakespeare.txt").write_text(EXAMPLE, encoding="utf-8")
        assert main(["train", "shakespeare.txt", *SHORT]) == 0
    for command in dict.fromkeys(commands(page)):
        run(command, monkeypatch, capsys)


@pytest.mark.parametrize("page", [FRONT, *GUIDES])
def test_no_command_of_a_page_is_left_out(page):
    """Each line that a reader sees is among those that are run, and there are some."""
    lines = [line for block in blocks(page) for line in block.splitlines()]
    seen = [line.split("  #")[0].strip() for line in lines if line.startswith("charlstm ")]
    seen += re.findall(r"^\$ (charlstm .*\S)", PAGES[page], re.MULTILINE)
    assert seen
    # A command after an installation, and those of torchrun, are run as well.
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
    """In a real shell, with small models and few steps."""
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
    """The examples in the help of the program and of each command, with the command's name."""
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
def test_the_examples_of_the_help_work(beginner, monkeypatch, capsys):
    folder = beginner(FRONT)
    for name in ("my-text.txt", "another.txt", "names.txt", "first-lines.txt"):
        (folder / name).write_text(EXAMPLE, encoding="utf-8")
    (folder / "mails.csv").write_text(TABLE, encoding="utf-8")
    assert main(["train", "names.txt", "--split-documents", "lines", "--run", "names", *SHORT]) == 0
    for name in ("small", "large", "shakespeare", "ham", "spam", "newest"):
        assert main(["train", "my-text.txt", "--run", name, *SHORT]) == 0
    # What is deleted is needed before.
    lines = sorted((line for _, line in help_examples()), key=lambda line: " rm " in line)
    for line in dict.fromkeys(lines):
        command = line.split("  #")[0].strip()
        if command == "charlstm runs rm shakespeare":
            assert main(["runs", "rm", "shakespeare", "--yes"]) == 0  # nobody is there to be asked
            continue
        run(command, monkeypatch, capsys)


def test_the_front_page_has_the_two_commands_after_the_small_torch():
    lines = list(shell_lines(FRONT))
    (small_torch,) = (place for place, line in enumerate(lines) if "/whl/cpu" in line)
    (train,) = (place for place, line in enumerate(lines) if "pip install -e . " in line)
    (test,) = (place for place, line in enumerate(lines) if "pip install -e '.[test]'" in line)
    assert small_torch < train < test
    assert lines[train].endswith("charlstm train")
    assert lines[test].endswith("pytest")


def test_the_front_page_is_short():
    assert len(PAGES[FRONT].splitlines()) <= MAX_FRONT_LINES


def test_the_pages_python_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shakespeare.txt").write_text("To be, or not. " + TEXT, encoding="utf-8")
    (tmp_path / "names.txt").write_text("anna\notto\nhannah\n" * 300, encoding="utf-8")
    assert main(["train", "shakespeare.txt", *SHORT]) == 0
    capsys.readouterr()
    found = [(page, block) for page in PAGES for block in blocks(page, "python")]
    assert found
    for page, block in found:
        exec(compile(block, page, "exec"), {})
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
    named = set(re.findall(r"`(?:charlstm [^`\n]*?)?(--[\w-]+)", own))
    assert named
    assert named <= known, named - known


def prose(page):
    """A page without its code blocks, whose comments look like headings."""
    return re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)


def anchor(heading):
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(page, level="##+"):
    return re.findall(rf"^{level} (.+)$", prose(page), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        found = (ROOT / page).parent.joinpath(path) if path else ROOT / page
        assert found.exists(), target
        if fragment:
            name = found.resolve().relative_to(ROOT.resolve()).as_posix()
            assert fragment in map(anchor, headings(name)), target


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_begins_with_its_purpose_and_its_sections(page):
    title, purpose, contents, *_ = prose(page).split("\n\n")
    assert re.fullmatch(r"# .+", title)
    assert purpose.endswith(".")
    named = re.findall(r"^- \[(.+)\]\(#(.+)\)$", contents, re.MULTILINE)
    assert len(named) == len(contents.splitlines())
    assert named == [(heading, anchor(heading)) for heading in headings(page, "##")]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the examples run in bash")
@pytest.mark.parametrize("page", outputs.PAGES)
def test_an_output_in_a_guide_is_what_the_program_prints(page):
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
