"""Measure how long the page takes from a key to the frame that shows its result, in Chromium.

    python tests/benchmarks/page.py                 # 2 x 256, 2 x 512, 2 x 1024
    python tests/benchmarks/page.py --sizes 256 --keys 100

With barely trained models, a text grows key by key, from 100 characters and near the limit of
2,000; then 2,000 are pasted. The time is from a key's event to the end of the frame that shows the
next prediction. Long tasks are those of the page's main thread, 50 ms and more.
Needs Playwright and a Chromium (CHARLSTM_TEST_CHROMIUM, or one on the path).
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

import charlstm

TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom;\n"
LIMIT = 2000

# From a key's event to the end of the frame in which the prediction after it stands.
WATCH = """() => {
  globalThis.times = [];
  globalThis.longTasks = [];
  let pressed;
  document.getElementById("text").addEventListener("keydown", (event) => {
    pressed = event.timeStamp;
  });
  new MutationObserver(() => {
    if (pressed === undefined) return;
    const from = pressed;
    pressed = undefined;
    // A message is the first task after this frame, layout and paint included.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => times.push(performance.now() - from);
    port2.postMessage(undefined);
  }).observe(document.getElementById("next-words"), { childList: true });
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) longTasks.push(one.duration);
  }).observe({ type: "longtask", buffered: true });
}"""


def opened(browser: Browser, size: int, folder: Path) -> tuple[Page, int]:
    """The page of a model that has hardly learned, and its size in bytes."""
    model = charlstm.train(
        text=TEXT * 500,
        steps=1,
        hidden_size=size,
        run=f"benchmark-{size}",
        checkpoints=folder,
        progress=False,
    )
    path = folder / f"{size}.html"
    model.page(path)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(path.as_uri())
    while not page.evaluate("globalThis.charlstm?.secondsToFirst"):
        page.wait_for_timeout(20)
    return page, path.stat().st_size


def milliseconds(times: list[float]) -> str:
    middle, high = np.percentile(times, [50, 99])
    return f"{middle:6.1f} {high:6.1f} {max(times):6.1f}"


def typed(page: Page, *, before: int, keys: int, delay: float) -> list[float]:
    page.locator("#text").fill((TEXT * 30)[:before])
    wait(page)
    page.evaluate("times.length = 0")
    generator = np.random.default_rng(0)
    for key in (TEXT * 3)[:keys].replace("\n", " "):
        page.keyboard.press(key if key != " " else "Space")
        # Not in step with the frames of the screen.
        page.wait_for_timeout(delay + generator.uniform(0, 40))
    wait(page)
    return page.evaluate("times")


def wait(page: Page) -> None:
    while not page.evaluate("charlstm.isRead()"):
        page.wait_for_timeout(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--delay", type=float, default=60, help="milliseconds between two keys")
    asked = parser.parse_args()
    path = os.environ.get("CHARLSTM_TEST_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for size in asked.sizes:
            page, num_bytes = opened(browser, size, Path(folder))
            first = page.evaluate("charlstm.secondsToFirst")
            page.evaluate(WATCH)
            wait(page)
            short = typed(page, before=100, keys=asked.keys, delay=asked.delay)
            long = typed(page, before=LIMIT - asked.keys, keys=asked.keys, delay=asked.delay)
            page.locator("#text").fill("")
            wait(page)
            pasted = page.evaluate(
                """async (text) => {
                  const field = document.getElementById("text");
                  const start = performance.now();
                  field.focus();
                  field.value = text;
                  field.dispatchEvent(new Event("input"));
                  while (!charlstm.isRead()) await new Promise((done) => setTimeout(done, 5));
                  return (performance.now() - start) / 1000;
                }""",
                (TEXT * 30)[:LIMIT],
            )
            tasks = page.evaluate("longTasks")
            print(f"2 x {size}, {num_bytes / 1e6:.2f} MB: first prediction after {first:.2f} s")
            print("  key to picture, ms       median    99%  worst")
            print(f"  from 100 characters      {milliseconds(short)}")
            print(f"  up to {LIMIT:,} characters   {milliseconds(long)}")
            print(f"  {LIMIT:,} characters pasted  {pasted:.2f} s")
            print(
                f"  long tasks               {len(tasks)}, longest {max(tasks, default=0):.0f} ms"
            )
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
