"""Measure the speed of reading texts: encoding, against Python's decoding, and loading.

    python tests/benchmarks/corpora.py FILE... [--megabytes 100]

Each file is repeated up to the given size. Encoding turns decoded text into ids; loading also reads
the text twice, counts, hashes and writes it. Best of several alternating repetitions.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from charlstm.config import ReadingConfig
from charlstm.text.corpus import load_corpus
from charlstm.text.storage import read_corpus, write_corpus
from charlstm.text.vocabulary import Vocabulary

PIECE = 1 << 20  # as texts are read


def timed(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def encode(vocabulary: Vocabulary, pieces: list[str]) -> None:
    for piece in pieces:
        vocabulary.encode(piece)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    for path in options.files:
        data = path.read_bytes()
        data *= max(1, options.megabytes * 1_000_000 // len(data))
        text = data.decode()
        pieces = [text[first : first + PIECE] for first in range(0, len(text), PIECE)]
        vocabulary = Vocabulary.of(text)
        decoding, encoding = [], []
        for _ in range(options.repeats):
            decoding.append(timed(data.decode))
            encoding.append(timed(partial(encode, vocabulary, pieces)))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / path.name
            file.write_bytes(data)
            config = ReadingConfig(paths=(str(file),))
            cold = timed(partial(load_corpus, config))
            corpus = load_corpus(config)
            write_corpus(Path(folder), corpus, config, mode=0o666)
            kept = partial(read_corpus, Path(folder), config, corpus.fingerprint)
            warm = min(timed(kept) for _ in range(options.repeats))
        megabytes = len(data) / 1e6
        print(f"{path.name}: {megabytes:.0f} MB, {len(vocabulary):,} characters")
        print(f"  bytes.decode    {megabytes / min(decoding):8,.0f} MB/s")
        print(f"  encoding        {megabytes / min(encoding):8,.0f} MB/s")
        print(f"  ratio           {min(decoding) / min(encoding):8.2f}")
        print(f"  reading a file  {megabytes / cold:8,.0f} MB/s")
        print(f"  its copy        {warm:8.3f} s")


if __name__ == "__main__":
    main()
