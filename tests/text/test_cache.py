import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import posix

from charlstm.config import IN_MEMORY, CorpusConfig
from charlstm.errors import CorpusError
from charlstm.system.container import open_container, write_container
from charlstm.system.files import replace_file
from charlstm.text import cache as cache_module
from charlstm.text.cache import CorpusCache, load_corpus_of_run
from charlstm.text.corpus import load_corpus
from charlstm.text.filelist import FileList

TEXT = "the quick brown fox, na\xefve\n" * 40


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    age(path)
    return path


@pytest.fixture
def cache(tmp_path):
    return CorpusCache(tmp_path / "store/.cache")


@pytest.fixture
def readings(monkeypatch):
    """Counts how often a text is read."""
    found = []

    def counting(config, files, **more):
        found.append(config)
        return load_corpus(config, files, **more)

    monkeypatch.setattr(cache_module, "load_corpus", counting)
    return found


def age(path, seconds=10):
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def same(one, other):
    assert (one.name, one.fingerprint) == (other.name, other.fingerprint)
    assert one.notices == other.notices
    assert one.vocabulary.characters == other.vocabulary.characters
    for name in ("train", "val", "test"):
        first, second = getattr(one, name), getattr(other, name)
        assert np.array_equal(first.ids, second.ids)
        assert first.ids.dtype == second.ids.dtype
        assert np.array_equal(first.starts, second.starts)
        assert first.num_bytes == second.num_bytes
    return True


def config_of(*paths, **options):
    return CorpusConfig(paths=tuple(map(str, paths)), **options)


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
def test_what_was_kept_is_what_was_read(cache, path, readings, options):
    config = config_of(path, **options)
    first = cache.load(config)
    assert same(first, cache.load(config))
    assert same(first, load_corpus(config))
    assert len(readings) == 1


def test_a_changed_file_is_read_again(cache, path, readings):
    first = cache.load(config_of(path))
    path.write_text(TEXT.replace("fox", "cat"), encoding="utf-8")
    age(path, 5)
    assert cache.load(config_of(path)).fingerprint != first.fingerprint
    assert len(readings) == 2
    # The same size and time, but another file in its place.
    state = path.stat()
    path.rename(path.with_name("old"))
    path.write_text(TEXT.replace("fox", "cow"), encoding="utf-8")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    cache.load(config_of(path))
    assert len(readings) == 3


def test_other_options_are_another_corpus(cache, path, readings):
    cache.load(config_of(path))
    assert cache.load(config_of(path, min_count=41)).vocabulary.characters != ""
    assert cache.load(config_of(path, val_fraction=0.3)).val.num_chars > 300
    assert len(readings) == 3


def test_a_file_that_has_just_changed_gets_no_key(cache, path, readings):
    path.touch()
    cache.load(config_of(path))
    assert not list((path.parent / "store/.cache").glob("*.key"))


def test_a_folder_knows_of_a_new_file(cache, path, readings):
    folder = path.parent / "folder"
    folder.mkdir()
    path.rename(folder / "a.txt")
    cache.load(config_of(folder))
    cache.load(config_of(folder))
    assert len(readings) == 1
    (folder / "b.txt").write_text("more text")
    age(folder / "b.txt")
    assert cache.load(config_of(folder)).train.num_chars > 900
    assert len(readings) == 2


def test_a_text_that_is_gone_is_recalled(cache, path):
    config = config_of(path)
    first = cache.load(config)
    path.unlink()
    assert same(first, load_corpus_of_run(config, first.fingerprint, cache))
    assert load_corpus_of_run(config_of("-"), first.fingerprint, cache).name == "stdin"
    with pytest.raises(CorpusError, match=r"text\.txt"):
        load_corpus_of_run(config, "f" * 64, cache)
    with pytest.raises(CorpusError, match="stdin"):
        load_corpus_of_run(config_of("-"), "f" * 64, cache)
    with pytest.raises(CorpusError, match=r"text\.txt"):
        load_corpus_of_run(config, first.fingerprint, None)


def test_without_a_copy_the_text_is_read_again_if_it_is_still_the_same(cache, path):
    first = load_corpus(config_of(path))
    for kept in (None, cache):
        assert same(first, load_corpus_of_run(config_of(path), first.fingerprint, kept))
    path.write_text(TEXT[::-1], encoding="utf-8")
    with pytest.raises(CorpusError, match=f"{first.fingerprint[:12]} and is "):
        load_corpus_of_run(config_of(path), first.fingerprint, cache)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_text_from_a_pipe_cannot_be_read_again(cache, path, split):
    config = CorpusConfig(paths=(str(path),), **{split: "-"})
    with pytest.raises(CorpusError, match="stdin or a pipe, and no copy"):
        load_corpus_of_run(config, "f" * 64, cache)


def test_what_is_unchanged_is_known_without_reading(cache, path, readings):
    config = config_of(path)
    assert cache.unchanged(config) is None
    first = cache.load(config)
    readings.clear()
    assert same(first, cache.unchanged(config))
    assert cache.unchanged(config_of(path, min_count=2)) is None
    age(path, 5)
    assert cache.unchanged(config) is None
    path.unlink()
    assert cache.unchanged(config) is None
    assert readings == []


def test_texts_in_memory_have_no_key(cache, readings):
    config = config_of(IN_MEMORY)
    for text in (TEXT, TEXT[::-1]):
        kept = cache.load(config, texts=[text])
        assert same(kept, load_corpus(config, texts=[text]))
        assert same(kept, cache.recall(kept.fingerprint, config))


def test_whatever_is_damaged_is_read_again(cache, path, readings):
    config = config_of(path)
    first = cache.load(config)
    (kept,) = (path.parent / "store/.cache").glob("*.corpus")
    whole = kept.read_bytes()
    generator = np.random.default_rng(0)
    for number in range(200):
        place = int(generator.integers(len(whole)))
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(generator.integers(8))
        kept.write_bytes(damaged if number % 2 else whole[:place])
        assert same(first, cache.load(config))
    assert kept.read_bytes() == whole
    (key,) = (path.parent / "store/.cache").glob("*.key")
    for content in (b"", b"../../etc/passwd", b"\xff", b"absent"):
        key.write_bytes(content)
        assert same(first, cache.load(config))


def test_where_nothing_can_be_written_it_does_without(path, tmp_path):
    (tmp_path / "store").write_text("a file in its place")
    cache = CorpusCache(tmp_path / "store/.cache")
    assert same(cache.load(config_of(path)), load_corpus(config_of(path)))


def test_a_file_that_changes_while_it_is_kept_gets_no_key(cache, path, monkeypatch):
    write = cache_module.write_container

    def slow(*parts):
        write(*parts)
        path.write_text(TEXT[::-1], encoding="utf-8")
        age(path, 5)

    monkeypatch.setattr(cache_module, "write_container", slow)
    first = cache.load(config_of(path))
    monkeypatch.undo()
    assert cache.load(config_of(path)).fingerprint != first.fingerprint


def test_an_edit_with_its_time_put_back_is_seen(cache, path):
    first = cache.load(config_of(path))
    state = path.stat()
    with path.open("r+", encoding="utf-8") as file:
        file.write("THE")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert cache.load(config_of(path)).fingerprint != first.fingerprint


def test_notices_are_those_of_the_files(cache, path, readings):
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    age(path)
    (notice,) = cache.load(config_of(path)).notices
    assert cache.load(config_of(path)).notices == (notice,)
    assert len(readings) == 1


@posix
def test_hostile_files_are_read_again(cache, path):
    first = cache.load(config_of(path))
    (kept,) = (path.parent / "store/.cache").glob("*.corpus")
    for header in (b'{"__metadata__": {"charlstm": "{}"}, "a": {"data_offsets": []}}', b"[" * 5000):
        kept.write_bytes(len(header).to_bytes(8, "little") + header)
        assert same(first, cache.load(config_of(path)))
    kept.unlink()
    os.mkfifo(kept)
    assert same(first, cache.load(config_of(path)))


def test_leftovers_of_the_killed_are_removed(cache, path):
    cache.load(config_of(path))
    folder = path.parent / "store/.cache"
    old, young = folder / "a.corpus.1.tmp", folder / "b.corpus.2.tmp"
    for file in (old, young):
        file.write_bytes(b"half")
    age(old, 3 * 24 * 3600)
    cache.load(config_of(path, min_count=2))
    assert not old.exists()
    assert young.exists()


@posix
def test_a_clock_of_whole_seconds_is_waited_for(cache, path, readings):
    """Where times are whole seconds, an edit of the same size in the same second looks alike."""
    moment = int(time.time()) - 1
    os.utime(path, (moment, moment))
    cache.load(config_of(path))
    cache.load(config_of(path))
    assert len(readings) == 2
    os.utime(path, (moment - 9, moment - 9))
    cache.load(config_of(path))
    cache.load(config_of(path))
    assert len(readings) == 3


def crafted(kept, *, header=(), **changed):
    """A kept corpus with other values and a digest that is right."""
    with open_container(kept) as container:
        arrays = {name: np.array(container.mapped(name)) for name in container.entries}
        whole = {k: v for k, v in container.header.items() if k != "digest"}
    with replace_file(kept) as file:
        write_container(file, arrays | changed, whole | dict(header))


@pytest.mark.parametrize(
    "edit",
    [
        {"header": {"fingerprint": 7}},
        {"header": {"num_bytes": {"train": 0, "val": 0, "test": 0}}},
        {"header": {"num_bytes": None}},
        {"header": {"format": 1}},
        {"train.ids": np.full(9, 200, np.uint8)},
        {"train.ids": np.zeros(9, np.int64)},
        {"train.ids": np.zeros((3, 3), np.uint8)},
        {"val.starts": np.array([0, 5, 5])},
        {"val.starts": np.array([3])},
        {"val.starts": np.array([0, 10**9])},
        {"codes": np.array([5, 4], np.uint32)},
        {"codes": np.zeros(0, np.uint32)},
    ],
)
def test_a_crafted_corpus_with_a_right_digest_is_read_again(cache, path, readings, edit):
    first = cache.load(config_of(path))
    (kept,) = (path.parent / "store/.cache").glob("*.corpus")
    crafted(kept, **edit)
    assert cache.recall(first.fingerprint, config_of(path)) is None
    assert same(first, cache.load(config_of(path)))
    assert len(readings) == 2


@posix
def test_what_is_kept_is_no_more_readable_than_the_text(cache, path):
    path.chmod(0o640)
    cache.load(config_of(path))
    for file in (path.parent / "store/.cache").iterdir():
        assert file.stat().st_mode & 0o777 == 0o640 & ~0o022
    assert cache.load(config_of(path)).mode == 0o640


@posix
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_the_group_that_may_read_a_text_is_not_the_one_of_its_copy(path):
    for mode, readers in ((0o640, 0o600), (0o644, 0o644), (0o664, 0o644)):
        os.chown(path, -1, os.getegid() + 1)
        path.chmod(mode)
        assert FileList.of(config_of(path)).mode() == readers


def test_texts_that_no_run_needs_are_removed(cache, path, tmp_path):
    needed, other = cache.load(config_of(path)), cache.load(config_of(path, val_fraction=0.3))
    folder = tmp_path / "store/.cache"
    size = sum(file.stat().st_size for file in folder.glob(f"{other.fingerprint[:40]}*"))
    assert cache.remove_all_but([needed.fingerprint]) == size > 0
    assert cache.recall(needed.fingerprint, config_of(path)) is not None
    assert cache.recall(other.fingerprint, config_of(path)) is None
    assert len(list(folder.glob("*.key"))) == 1
    cache.remove_all_but([])
    assert list(folder.iterdir()) == []


def test_what_is_freed_is_added_up_and_what_is_being_written_stays(cache, path, tmp_path):
    for fraction in (0.2, 0.3, 0.4):
        cache.load(config_of(path, val_fraction=fraction))
    folder = tmp_path / "store/.cache"
    young, old = folder / "a.corpus.1.tmp", folder / "b.corpus.2.tmp"
    for file in (young, old):
        file.write_bytes(b"half")
    age(old, 3 * 24 * 3600)
    # A key of nothing, one of something else, and what isn't the cache's own.
    (folder / "lost.key").write_text('{"corpus": "gone-1", "notices": []}')
    (folder / "odd.key").write_text("[]")
    (folder / "notes.txt").touch()
    size = sum(file.stat().st_size for file in folder.glob("*.corpus"))
    assert cache.remove_all_but([]) == size
    assert {file.name for file in folder.iterdir()} == {young.name, "notes.txt"}


def test_nothing_is_removed_where_there_is_nothing(cache, tmp_path):
    assert cache.remove_all_but([]) == 0
    (tmp_path / "store").write_text("a file in its place")
    assert cache.remove_all_but([]) == 0


def test_without_a_path_nothing_is_kept(cache, tmp_path):
    cache.load(CorpusConfig())
    assert not list(tmp_path.rglob("*.key"))


@pytest.mark.slow
def test_two_processes_and_kills_leave_it_whole(path):
    """Eight processes load at once, half of them killed at some moment; then all is as it was."""
    path.write_text(TEXT * 2000, encoding="utf-8")
    age(path)
    folder = path.parent / "store/.cache"
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from charlstm.text.cache import CorpusCache\n"
        "from charlstm.config import CorpusConfig\n"
        "config = CorpusConfig(paths=(sys.argv[2],))\n"
        "print(CorpusCache(Path(sys.argv[1])).load(config).fingerprint)\n"
    )
    expected = load_corpus(config_of(path)).fingerprint
    generator = np.random.default_rng(0)
    for _ in range(3):
        command = [sys.executable, "-c", program, str(folder), str(path)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
        for process in running[::2]:
            time.sleep(float(generator.uniform(0, 0.4)))
            process.kill()
        for number, process in enumerate(running):
            out, _ = process.communicate(timeout=60)
            if number % 2:
                assert out.strip() == expected
        assert CorpusCache(folder).load(config_of(path)).fingerprint == expected
        for file in folder.glob("*.corpus"):
            file.unlink()


def test_each_min_count_keeps_its_own_alphabet(cache, path, readings):
    """The fingerprint is the text's, and the same for both."""
    (path.parent / "rare.txt").write_text(TEXT + "xyz!", encoding="utf-8")
    age(path.parent / "rare.txt")
    options = {"val_fraction": 0.0, "test_fraction": 0.0}
    configs = [config_of(path.parent / "rare.txt", min_count=n, **options) for n in (1, 5)]
    alphabets = [cache.load(config).vocabulary.characters for config in configs]
    assert "!" in alphabets[0]
    assert "!" not in alphabets[1]
    again = [cache.load(config).vocabulary.characters for config in configs]
    assert again == alphabets
    assert len(readings) == 2


def test_no_document_begins_where_the_text_ends(cache, path, readings):
    first = cache.load(config_of(path))
    (kept,) = (path.parent / "store/.cache").glob("*.corpus")
    crafted(kept, **{"val.starts": np.array([0, first.val.num_chars])})
    assert same(first, cache.load(config_of(path)))
    assert len(readings) == 2


def test_one_text_in_place_of_another_is_read_again(cache, path, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("a text of its own, " * 50, encoding="utf-8")
    age(other)
    first, second = cache.load(config_of(path)), cache.load(config_of(other))
    folder = path.parent / "store/.cache"
    mine = next(folder.glob(f"{first.fingerprint[:8]}*.corpus"))
    mine.write_bytes(next(folder.glob(f"{second.fingerprint[:8]}*.corpus")).read_bytes())
    assert cache.recall(first.fingerprint, config_of(path)) is None
    assert same(first, cache.load(config_of(path)))


def test_a_key_leads_nowhere_outside(cache, path, tmp_path, readings):
    cache.load(config_of(path))
    folder = path.parent / "store/.cache"
    (kept,), (key,) = folder.glob("*.corpus"), folder.glob("*.key")
    outside = folder.parent / kept.name
    kept.rename(outside)
    key.write_text(json.dumps({"corpus": f"../{outside.stem}", "notices": []}), encoding="utf-8")
    cache.load(config_of(path))
    assert len(readings) == 2


@posix
def test_a_text_that_became_private_is_known_as_private(cache, path):
    path.chmod(0o644)
    config = config_of(path)
    first = cache.load(config)
    assert first.mode & 0o044
    path.chmod(0o600)
    assert not cache.load(config).mode & 0o077
    for file in (path.parent / "store/.cache").glob("*.corpus"):
        assert not file.stat().st_mode & 0o077
    recalled = cache.recall(first.fingerprint, config)
    assert recalled is not None
    assert recalled.mode == 0o600


def test_a_fine_clock_is_waited_for_a_moment_only(cache, path, readings):
    moment = time.time_ns() - 4 * 10**8
    os.utime(path, ns=(moment, moment + (moment % 10**9 == 0)))
    cache.load(config_of(path))
    cache.load(config_of(path))
    assert len(readings) == 1
