import os
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import posix, raising

from charlstm.config import IN_MEMORY, ReadingConfig
from charlstm.errors import CorpusError
from charlstm.reading.filelist import FileList
from charlstm.system.tensor_file import open_tensor_file, to_bytes
from charlstm.text import storage
from charlstm.text.corpus import load_corpus
from charlstm.text.storage import load_corpus_of_run, read_corpus, write_corpus
from charlstm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary("ab")
TEXT = "the quick brown fox, na\xefve\n" * 40


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def same(corpus, other):
    assert (corpus.name, corpus.fingerprint) == (other.name, other.fingerprint)
    assert corpus.vocabulary.characters == other.vocabulary.characters
    for first, second in zip(corpus.splits.values(), other.splits.values(), strict=True):
        assert np.array_equal(first.ids, second.ids)
        assert first.ids.dtype == second.ids.dtype
        assert np.array_equal(first.starts, second.starts)
        assert np.array_equal(first.bytes_D, second.bytes_D)
    return True


def config_of(*paths, **options):
    return ReadingConfig(paths=tuple(map(str, paths)), **options)


def again(folder, config, corpus):
    """Read the copy of a corpus."""
    return read_corpus(folder, config, corpus.fingerprint, corpus.vocabulary)


def resumed(folder, config, corpus):
    """Read the text of a run that was trained on this corpus."""
    return load_corpus_of_run(config, corpus.fingerprint, corpus.vocabulary, folder)


def kept(folder, config, *, texts=(), others=()):
    """Load a corpus, write its copy and return the corpus."""
    corpus = load_corpus(config, texts=texts)
    write_corpus(folder, corpus, config, mode=corpus.mode, others=others)
    return corpus


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"val_fraction": 0.0, "test_fraction": 0.0},
        {"min_count": 41},
        {"split_documents": "lines"},
        {"level": "byte"},
    ],
)
def test_written_text_is_read_back_unchanged(folder, path, options):
    config = config_of(path, **options)
    first = kept(folder, config)
    assert same(first, again(folder, config, first))


def test_copy_with_another_vocabulary_is_rejected(folder, path):
    """The fingerprint covers the text, not the vocabulary."""
    first = kept(folder, config_of(path))
    assert again(folder, config_of(path, level="byte"), first) is None
    for corpus in (
        load_corpus(config_of(path, min_count=41)),
        load_corpus(config_of(path), extra_characters="\u0101"),
    ):
        assert corpus.fingerprint == first.fingerprint
        assert again(folder, config_of(path), corpus) is None
    assert read_corpus(folder, config_of(path), "f" * 64, first.vocabulary) is None


def test_missing_files_are_replaced_by_the_copy(folder, path):
    config = config_of(path)
    first = kept(folder, config)
    path.unlink()
    assert same(first, resumed(folder, config, first))
    assert resumed(folder, config_of("-"), first).name == "stdin"
    with pytest.raises(CorpusError, match=r"text\.txt"):
        load_corpus_of_run(config, "f" * 64, VOCABULARY, folder)
    with pytest.raises(CorpusError, match="stdin"):
        load_corpus_of_run(config_of("-"), "f" * 64, VOCABULARY, folder)
    with pytest.raises(CorpusError, match=r"text\.txt"):
        resumed(None, config, first)


def test_without_a_copy_unchanged_files_are_read_again(folder, path):
    first = load_corpus(config_of(path))
    for place in (None, folder):
        assert same(first, resumed(place, config_of(path), first))
    path.write_text(TEXT[::-1], encoding="utf-8")
    with pytest.raises(CorpusError, match=f"{first.fingerprint[:12]} and is "):
        resumed(folder, config_of(path), first)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_pipe_without_a_copy_gives_an_error(folder, path, split):
    config = ReadingConfig(paths=(str(path),), **{split: "-"})
    with pytest.raises(CorpusError, match="stdin or a pipe, and the run has no copy"):
        load_corpus_of_run(config, "f" * 64, VOCABULARY, folder)


def test_a_text_in_memory_is_written(folder):
    config = config_of(IN_MEMORY)
    first = kept(folder, config, texts=[TEXT])
    assert same(first, again(folder, config, first))


def test_damage_is_detected_and_repaired(folder, path):
    config = config_of(path)
    first = kept(folder, config)
    files = {name: (folder / name).read_bytes() for name in ("text.npy", "text.safetensors")}
    generator = np.random.default_rng(0)
    for number in range(200):
        name = list(files)[number % 2]
        content = files[name]
        place = int(generator.integers(len(content)))
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(generator.integers(8))
        (folder / name).write_bytes(damaged if number % 4 < 2 else content[:place])
        assert again(folder, config, first) is None
        if number < 8:  # each file and kind of damage twice
            kept(folder, config)
            assert {name: (folder / name).read_bytes() for name in files} == files
        (folder / name).write_bytes(content)


@posix
def test_pipes_links_and_folders_are_rejected_without_waiting(folder, path, tmp_path):
    config = config_of(path)
    first = kept(folder, config)
    for name in ("text.npy", "text.safetensors"):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert again(folder, config, first) is None
        (folder / name).unlink()
        (folder / name).mkdir()
        assert again(folder, config, first) is None
        (folder / name).rmdir()
        (folder / name).write_bytes(content)
    assert same(first, again(folder, config, first))


@pytest.mark.parametrize(
    "edit",
    [
        {"val.bytes": np.array([-1])},
        {"val.bytes": np.array([1, 2])},
        {"val.bytes": np.zeros(1, np.float32)},
        {"header": {"num_chars": [1, 2]}},
        {"header": {"num_chars": [-1, 541, 540]}},
        {"header": {"num_chars": [10**9, 0, 0]}},
        {"header": {"ids": 7}},
        {"header": {"level": None}},
        {"val.starts": np.array([0, 5, 5])},
        {"val.starts": np.array([3])},
        {"val.starts": np.array([0, 54])},
        {"val.starts": np.array([0, 10**9])},
        {"val.starts": np.zeros((1, 1), np.int64)},
        {"val.starts": np.zeros(1, np.float32)},
        {"codes": np.array([5, 4], np.uint32)},
        {"codes": np.zeros(0, np.uint32)},
    ],
)
def test_crafted_metadata_with_a_valid_digest_is_rejected(folder, path, edit):
    config = config_of(path)
    first = kept(folder, config)
    with open_tensor_file(folder / "text.safetensors") as container:
        arrays, header = container.read(), container.header
    changes = dict(edit)
    header |= changes.pop("header", {})
    (folder / "text.safetensors").write_bytes(to_bytes(arrays | changes, header))
    assert again(folder, config, first) is None


@posix
def test_runs_of_the_same_text_share_the_ids_file(folder, path, tmp_path):
    first = kept(folder, config_of(path))
    others = [tmp_path / name for name in ("missing", "run")]
    for options, is_shared in (({}, True), ({"min_count": 41}, False)):
        place = tmp_path / f"new{len(options)}"
        place.mkdir()
        kept(place, config_of(path, **options), others=others)
        assert os.path.samefile(place / "text.npy", folder / "text.npy") == is_shared
    (folder / "text.npy").unlink()
    assert same(first, again(tmp_path / "new0", config_of(path), first))


def test_without_hard_links_each_run_has_its_own_ids_file(folder, path, tmp_path, monkeypatch):
    kept(folder, config_of(path))
    monkeypatch.setattr(storage.os, "link", raising(OSError()))
    (tmp_path / "new").mkdir()
    first = kept(tmp_path / "new", config_of(path), others=[folder])
    assert same(first, again(tmp_path / "new", config_of(path), first))


@posix
def test_copy_is_not_more_readable_than_the_text(folder, path):
    path.chmod(0o640)
    config = config_of(path)
    first = kept(folder, config)
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o640 & ~0o022
    assert again(folder, config, first).mode == 0o640
    # The text has become private since.
    path.chmod(0o600)
    kept(folder, config)
    assert {file.stat().st_mode & 0o077 for file in folder.iterdir()} == {0}


@posix
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_another_group_s_read_permission_is_dropped(path):
    for mode, readers in ((0o640, 0o600), (0o644, 0o644), (0o664, 0o644)):
        os.chown(path, -1, os.getegid() + 1)
        path.chmod(mode)
        assert FileList.of(config_of(path)).mode() == readers


@pytest.mark.slow
def test_a_killed_writer_leaves_a_valid_copy_or_none(folder, path):
    path.write_text(TEXT * 2000, encoding="utf-8")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from charlstm.config import ReadingConfig\n"
        "from charlstm.text.corpus import load_corpus\n"
        "from charlstm.text.storage import write_corpus\n"
        "config = ReadingConfig(paths=(sys.argv[2],))\n"
        "write_corpus(Path(sys.argv[1]), load_corpus(config), config, mode=0o666)\n"
    )
    config = config_of(path)
    first = load_corpus(config)
    generator = np.random.default_rng(0)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", program, str(folder), str(path)])
        time.sleep(float(generator.uniform(0.1, 0.8)))
        process.kill()
        process.wait()
        found = again(folder, config, first)
        assert found is None or same(first, found)
    subprocess.run([sys.executable, "-c", program, str(folder), str(path)], check=True)
    assert same(first, again(folder, config, first))
