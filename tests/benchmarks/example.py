"""Make the example model that comes with the package: a small one of Shakespeare's plays.

    python tests/benchmarks/example.py shakespeare.txt [--output charlstm/run/example.safetensors]

The text is "tiny Shakespeare", in the public domain. With a budget of steps, the model depends
only on the text and the versions of its libraries. Its size is chosen to stay below a megabyte.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import charlstm
from charlstm.export.hub import without_paths
from charlstm.system import run_files

STEPS = 7000
HIDDEN_SIZE = 116
OUTPUT = Path(charlstm.__file__).parent / "run" / run_files.EXAMPLE_FILE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        model = charlstm.train(
            options.text,
            hidden_size=HIDDEN_SIZE,
            steps=STEPS,
            threads=1,
            run="shakespeare",
            checkpoints=store,
        )
    data = without_paths(replace(model.checkpoint, training=None)).to_bytes()
    options.output.write_bytes(data)
    print(f"{options.output}: {len(data):,} bytes; {model!r}")


if __name__ == "__main__":
    main()
