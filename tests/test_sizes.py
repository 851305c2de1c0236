"""Results must not depend on the size of internal chunks."""

import numpy as np
import pytest

from charlstm.config import ReadingConfig
from charlstm.ngram import counts, kneser_ney
from charlstm.ngram.order_selection import fit_ngrams
from charlstm.reading import documents, source
from charlstm.text import assignment, corpus, duplicates
from charlstm.text.corpus import encode_files, load_corpus
from charlstm.text.duplicates import DocumentHashes


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    generator = np.random.default_rng(0)
    for name in ("one", "two"):
        lines = ["".join(generator.choice(list("ab é\u4e00"), 9)) for _ in range(150)]
        (folder / name).write_text("\n\n".join(["a", *lines, "b" * 300]), encoding="utf-8")
    return tuple(str(path) for path in sorted(folder.iterdir()))


def outcome(paths, how):
    config = ReadingConfig(paths=paths[:1], split_documents=how, normalize="nfc")
    read = load_corpus(config)
    other = encode_files(paths, config, read.tokenizer)
    splits = (read.train, read.val, read.test, other.split)
    ngrams = fit_ngrams(read.train, read.val, read.tokenizer)
    return [
        read.fingerprint,
        other.original(0, 500),
        *(array.tolist() for one in splits for array in (one.ids, one.starts, one.bytes_D)),
        DocumentHashes(read.train, read.tokenizer).have(other.split).tolist(),
        ngrams.score(other.split).tolist(),
    ]


@pytest.fixture(scope="module", params=[None, "lines", "blank-lines"])
def usual(request, paths):
    """Return how documents are split, and the outcome with chunks of the usual sizes."""
    return request.param, outcome(paths, request.param)


@pytest.mark.parametrize(
    ("module", "name", "size"),
    [
        (assignment, "_CHUNK_DOCUMENTS", 7),
        (corpus, "_PIECE_CHARS", 7),
        (documents, "_MAX_HELD_CHARS", 400),
        (duplicates, "_PIECE_CHARS", 7),
        (source, "_PIECE_BYTES", 7),
        (counts, "_SORTED_AT_ONCE", 7),
        (kneser_ney, "_SCORED_AT_ONCE", 7),
    ],
)
def test_chunk_sizes_do_not_change_results(paths, usual, monkeypatch, module, name, size):
    how, expected = usual
    monkeypatch.setattr(module, name, size)
    assert outcome(paths, how) == expected
