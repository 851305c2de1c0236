"""Sample the mutants of mutmut, and make a table of what became of them.

    mutmut run "charlstm.model.cell.*"     # makes the mutants of all modules, tries those of one
    mutmut run $(python tests/benchmarks/mutants.py --sample 25 run/session api/model)
    python tests/benchmarks/mutants.py

The table counts every mutant that was tried so far: see tests/README.md. A sample is drawn from
those that were not tried, for each of the modules. A mutant that runs into mutmut's time limit or
crashes the process counts as killed.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path("mutants/charlstm")
_KILLED = ("killed", "timeout", "segfault")


def outcomes() -> Iterator[tuple[str, dict[str, int | None]]]:
    """Yield (module, exit code of the tests by mutant); None where a mutant was not tried."""
    for path in sorted(_PACKAGE.rglob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        if codes:
            yield str(path.relative_to(_PACKAGE)).removesuffix(".py.meta"), codes


def show_table() -> None:
    from mutmut.stats import status_by_exit_code

    print("| module | tried | killed | survived | no tests | killed |")
    print("|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for module, codes in outcomes():
        count = Counter({"possible": len(codes)})
        for code in codes.values():
            status = "killed" if status_by_exit_code[code] in _KILLED else status_by_exit_code[code]
            count[status] += 1
        if count["possible"] > count["not checked"]:
            _show_row(f"`{module}`", count)
            total += count
    if total:
        _show_row("all", total)


def _show_row(name: str, count: Counter[str]) -> None:
    tried = count["possible"] - count["not checked"]
    print(
        f"| {name} | {tried:,} of {count['possible']:,} | {count['killed']:,} "
        f"| {count['survived']:,} | {count['no tests']:,} | {count['killed'] / tried:.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("modules", nargs="*", help="such as run/session")
    parser.add_argument("--sample", type=int, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.sample is None:
        show_table()
        return
    drawn = random.Random(options.seed)
    for module, codes in outcomes():
        if module in options.modules:
            untried = [name for name, code in codes.items() if code is None]
            print(*drawn.sample(untried, min(options.sample, len(untried))), sep="\n")


if __name__ == "__main__":
    main()
