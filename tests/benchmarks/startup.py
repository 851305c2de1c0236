"""Measure how long commands take to start, against importing the libraries that they need.

    python tests/benchmarks/startup.py RUN [--checkpoints DIR]

Medians of whole processes that alternate.
"""

import argparse
import statistics
import subprocess
import sys
import time

CHARLSTM = [sys.executable, "-m", "charlstm"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--checkpoints", default="checkpoints")
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()
    model = ["--run", options.run, "--checkpoints", options.checkpoints]
    commands = {
        "import typer": [sys.executable, "-c", "import typer"],
        "charlstm --help": [*CHARLSTM, "--help"],
        "import torch": [sys.executable, "-c", "import torch"],
        "charlstm sample": [*CHARLSTM, "sample", "--length", "20", "--seed", "1", *model],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.repeats):
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begin)
    median = {name: statistics.median(found[1:]) for name, found in seconds.items()}
    for name, value in median.items():
        print(f"{name:16} {value:6.3f} s")
    print(f"--help against import typer: {median['charlstm --help'] / median['import typer']:.2f}")
    print(f"sample against import torch: {median['charlstm sample'] / median['import torch']:.2f}")


if __name__ == "__main__":
    main()
