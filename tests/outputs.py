r"""Write into the guides what their examples print: `python tests/outputs.py [PAGE...]`.

A ```console block holds commands, each after `$ `, and below each what it prints. All blocks of a
page run in one folder, in order, in a shell; shakespeare.txt is there. A block that ends with `…`
is cut there. In a ```console trained block, numbers depend on the machine, and so do samples: only
the program's own words are compared.

What is measured by hand is in plain ``` blocks, on the front page only, with date and machine.
"""

import lzma
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "charlstm/README.md", "data/README.md", "checkpoints/README.md")
# The last 55,770 characters of tiny Shakespeare, which the example model has not seen.
TEXT = ROOT / "tests/shakespeare.txt.xz"
_BLOCK = re.compile(r"^```console( trained)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_BARS = re.compile(r"[▏▎▍▌▋▊▉█▓▒░─]+")
# Progress where stderr is not a terminal, which depends on the time.
_PROGRESS = re.compile(r"^ *\d+% .* chars/s, .*\n", re.MULTILINE)
# Samples at evaluations, which are cut to the width of a terminal.
_PREVIEW = re.compile(r"^(epoch .{72}).*$", re.MULTILINE)
# Lines with text by a model: an evaluation, a row of a run's history, an item of a list.
_WRITTEN = re.compile(r"epoch\b| (\d|-)[\d.]* +(\d|-)|\S+$")
_TOLERANCE = 0.02
# Settings that training otherwise chooses for the machine.
_SAME_EVERYWHERE = {"DEVICE": "cpu", "PRECISION": "float32", "THREADS": "1"}


def run_shell(command, folder):
    """Run a command and return its output on a terminal of 80 columns."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CHARLSTM_")}
    own |= {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    own |= {f"CHARLSTM_TRAIN_{name}": value for name, value in _SAME_EVERYWHERE.items()}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    printed = _PROGRESS.sub("", done.stdout).replace(str(folder), "/home/me")
    printed = _PREVIEW.sub(r"\1…", printed)
    assert done.returncode == 0, (command, printed)
    lines = "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines)


def printed_block(block, folder):
    """Run a block's commands and return the block with their output."""
    parts = re.split(r"^\$ (.*(?:\\\n.*)*)\n", block, flags=re.MULTILINE)[1:]
    lines = []
    for command, shown in zip(parts[::2], parts[1::2], strict=True):
        printed = run_shell(command, folder)
        if shown.endswith("…\n"):
            kept = printed.splitlines(keepends=True)[: shown.count("\n") - 1]
            printed = "".join(kept) + "…\n"
        lines.append(f"$ {command}\n{printed}")
    return "".join(lines)


def examples(text):
    """Run a page's examples; yield (match, whether trained, shown, printed) for each block."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "shakespeare.txt").write_bytes(lzma.decompress(TEXT.read_bytes()))
        for match in _BLOCK.finditer(text):
            yield match, bool(match[1]), match[2], printed_block(match[2], folder)


def _numbers_agree(shown, printed):
    one, other = (float(number.replace(",", "")) for number in (shown, printed))
    last_place = 10.0 ** -len(shown.partition(".")[2])
    return abs(one - other) <= max(2.5 * last_place, _TOLERANCE * abs(one))


def differs(shown, printed, *, trained):
    """Return whether two outputs differ in more than rounding and model-generated text."""
    before, after = (_BARS.sub("", text).splitlines() for text in (shown, printed))
    if len(before) != len(after):
        return True
    for old, new in zip(before, after, strict=True):
        if trained and _WRITTEN.match(old) and _WRITTEN.match(new):
            continue
        if _NUMBER.sub("#", old).split() != _NUMBER.sub("#", new).split():
            return True
        numbers = zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=True)
        if not trained and not all(_numbers_agree(*pair) for pair in numbers):
            return True
    return False


def update(page):
    """Rewrite a page's outputs; return the number of changed blocks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [
        (match.start(2), match.end(2), shown, printed)
        for match, _, shown, printed in examples(text)
    ]
    for start, end, _, printed in reversed(blocks):
        text = text[:start] + printed + text[end:]
    (ROOT / page).write_text(text, encoding="utf-8")
    return sum(shown != printed for _, _, shown, printed in blocks)


if __name__ == "__main__":
    for page in sys.argv[1:] or PAGES:
        print(f"{page}: {update(page)} blocks changed")
