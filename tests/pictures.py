"""Make the guides' pictures anew, with the example model: `python tests/pictures.py`.

Needs Playwright and a Chromium, as the page's tests do. Look at the result before committing it.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent.parent / ".github"
COMMANDS = (
    ["predict", "The q", "--top", "3", "--run", "example"],
    ["inspect", "O Romeo, Romeo, wherefore art thou", "--run", "example"],
)
PAGE_TEXT = """ROMEO:
O, she doth teach the torches to burn bright!
It seems she hangs upon the cheek of n"""
COLUMNS = 80


def run(arguments, folder=None):
    """Return what a command prints on a terminal with 256 colors."""
    command = [sys.executable, "-m", "charlstm", *arguments]
    own = {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    own["PYTHONPATH"] = str(FOLDER.parent)
    done = subprocess.run(
        command, cwd=folder, env=os.environ | own, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().strip("\n")


def draw_terminal():
    """Draw the output of COMMANDS as it looks in a terminal."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    for number, arguments in enumerate(COMMANDS):
        shown = [f'"{argument}"' if " " in argument else argument for argument in arguments]
        console.print(Text("\n" * (number > 0) + " ".join(["$ charlstm", *shown])))
        console.print(Text.from_ansi(run(arguments)))
    console.save_svg(str(FOLDER / "terminal.svg"), title="charlstm")


def photograph_page():
    """Photograph the page on a desktop and a phone, and its drawing of one cell."""
    path = os.environ.get("CHARLSTM_TEST_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        run(["inspect", PAGE_TEXT, "--html", "page.html", "--run", "example"], folder)
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, width, height in (("page", 1180, 900), ("page-phone", 390, 844)):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(Path(folder, "page.html").as_uri())
            while not page.evaluate("charlstm.isRead()"):
                page.wait_for_timeout(20)
            page.wait_for_timeout(1000)  # everything is drawn
            page.screenshot(path=FOLDER / f"{name}.png")
            if name == "page":
                page.locator("#cell").screenshot(path=FOLDER / "page-cell.png")
        browser.close()


if __name__ == "__main__":
    draw_terminal()
    photograph_page()
