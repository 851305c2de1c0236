import bz2
import csv
import gzip
import io
import json
import lzma
import os
import sys
import tempfile
from types import SimpleNamespace

import pytest
from conftest import DISK_FULL, posix, raising
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charlstm.config import ReadingConfig
from charlstm.errors import ConfigError, CorpusError
from charlstm.reading.documents import EOS
from charlstm.reading.filelist import FileList
from charlstm.reading.source import _composed, _encoding_error
from charlstm.text.corpus import encode_files, load_corpus


def load(*paths, **options):
    return load_corpus(ReadingConfig(paths=tuple(map(str, paths)), **options))


def text_of(corpus, name):
    return corpus.vocabulary.decode(getattr(corpus, name).ids)


@pytest.fixture
def write(tmp_path):
    def write(content, name="corpus.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_order_splits_are_train_val_test_in_text_order(write):
    text = "abcdefghij" * 20
    corpus = load(write(text), val_fraction=0.1, test_fraction=0.2)
    assert text_of(corpus, "train") == text[:140]
    assert text_of(corpus, "val") == text[140:160]
    assert text_of(corpus, "test") == text[160:]


@given(
    documents=st.lists(st.text("ab", min_size=0, max_size=9), min_size=1, max_size=5),
    num_val=st.floats(0, 0.4),
    num_test=st.floats(0, 0.4),
)
def test_every_character_is_in_exactly_one_split(tmp_path_factory, documents, num_val, num_test):
    folder = tmp_path_factory.mktemp("documents")
    paths = [folder / f"{number}.txt" for number in range(len(documents))]
    for path, text in zip(paths, documents, strict=True):
        path.write_text(text, encoding="utf-8")
    try:
        corpus = load(*paths, val_fraction=num_val, test_fraction=num_test)
    except CorpusError:
        assert len("".join(documents)) < 20
        return
    splits = [corpus.train, corpus.val, corpus.test]
    num_documents = sum(bool(text) for text in documents)
    # With several files, each document has EOS.
    num_ends = num_documents if len(documents) > 1 else 0
    assert sum(split.num_chars for split in splits) == len("".join(documents)) + num_ends
    # Documents start at file starts and split starts.
    starts = sum(len(split.starts) for split in splits)
    assert num_documents <= starts <= num_documents + 2


def test_val_and_test_files_replace_fractions(write):
    train, val, test = write("a" * 50), write("ab", "val.txt"), write("cccc", "test.txt")
    corpus = load(train, val=str(val), test=str(test))
    assert [corpus.train.num_chars, corpus.val.num_chars, corpus.test.num_chars] == [50, 2, 4]
    assert corpus.vocabulary.characters == "a"
    assert corpus.val.ids.tolist() == [1, 0]


def test_default_corpus_is_the_python_documentation():
    corpus = load()
    assert corpus.name == "python-docs"
    assert corpus.train.num_chars > 300_000


@pytest.mark.parametrize(
    "content",
    [
        "naïve\nlines\n".encode("utf-8-sig"),
        "naïve\nlines\n".encode("utf-16"),
        b"\x00\x00\xfe\xff" + "naïve\nlines\n".encode("utf-32-be"),
        "naïve\r\nlines\r\n".encode(),
        "naïve\rlines\r".encode(),
        "naïve\r\nlines\r".encode(),
        gzip.compress("naïve\nlines\n".encode(), mtime=0),
        bz2.compress("naïve\nlines\n".encode()),
        lzma.compress("naïve\nlines\n".encode()),
    ],
)
def test_compression_encoding_and_line_ends_don_t_change_the_corpus(write, content):
    options = {"val_fraction": 0.0, "test_fraction": 0.0}
    plain = load(write("naïve\nlines\n"), **options)
    variant = load(write(content, "variant"), **options)
    assert text_of(variant, "train") == "naïve\nlines\n"
    assert variant.fingerprint == plain.fingerprint


def test_fingerprint_depends_on_text_and_splits(write):
    first = load(write("abcdefghij" * 10)).fingerprint
    assert load(write("abcdefghij" * 10, "other-name")).fingerprint == first
    assert load(write("abcdefghiX" * 10)).fingerprint != first
    assert load(write("abcdefghij" * 10), val_fraction=0.2).fingerprint != first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"x", "too few"),
        ("caf\xe9 au lait".encode("cp1252"), r"byte 3 \(0xE9\) is not valid utf-8.*cp1252"),
        (b"\x28\xb5\x2f\xfd....", "zstd|can't be read: .*Zstandard"),
        (b"%PDF-1.7 ...", "PDF"),
        (gzip.compress(b"text " * 100, mtime=0)[:-9], "can't be read: Compressed file ended"),
    ],
)
def test_non_text_files_give_a_one_line_error(write, content, message):
    with pytest.raises(CorpusError, match=message) as caught:
        load(write(content))
    assert "\n" not in str(caught.value)


def test_encoding_error_at_the_end_of_a_text_has_its_position():
    # Python 3.13 reports a position after the last byte.
    error = UnicodeDecodeError("punycode", b"BZh9", 4, 5, "incomplete punycode string")
    assert str(_encoding_error("a.txt", 4, error)).startswith(
        "a.txt: byte 4 (the end) is not valid punycode"
    )


@posix
def test_missing_files_folders_and_devices_are_rejected(tmp_path):
    for path in (tmp_path / "missing", "/dev/zero", "nul\0byte"):
        with pytest.raises(CorpusError):
            load(path)
    with pytest.raises(CorpusError, match="contains no text file"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["\n" * 50, "a" * 50, "ab\0" * 20])
def test_unusual_but_valid_texts_are_accepted(write, text):
    corpus = load(write(text))
    assert text_of(corpus, "train") + text_of(corpus, "val") + text_of(corpus, "test") == text


def test_bytes_are_counted_per_document(write):
    lines = [f"{number} Li\n" for number in range(60)] + ["床前明月\n", "\U0001f600é\n"] * 30
    path = write("".join(lines))
    corpus = load(path, split_documents="lines", min_count=40)  # some are unknown
    scored = encode_files([str(path)], ReadingConfig(split_documents="lines"), corpus.tokenizer)
    assert scored.split.bytes_D.tolist() == [len(line.encode()) for line in lines]
    splits = (corpus.train, corpus.val, corpus.test)
    assert sum(part.num_bytes for part in splits) == path.stat().st_size
    assert {int(number) for part in splits for number in part.bytes_D} == {5, 6, 7, 13}
    is_chosen_D = scored.split.bytes_D == 13
    assert scored.split.documents(is_chosen_D).num_bytes == 13 * 30


def all_text_of(corpus):
    return "".join(text_of(corpus, name) for name in ("train", "val", "test"))


NO_HELD_OUT = {"val_fraction": 0.0, "test_fraction": 0.0}


@pytest.fixture
def folder(tmp_path):
    for name, content in {
        "tree/b.txt": b"bbbb\n",
        "tree/a/z.py": b"zzzz\n",
        "tree/a/latin.txt": "caf\xe9".encode("latin-1"),
        "tree/picture.png": b"\x89PNG\0\0",
        "tree/.hidden/c.txt": b"cccc\n",
        "tree/.secret": b"dddd\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "tree"


def test_a_folder_stands_for_its_text_files_in_order(folder):
    corpus = load(folder, **NO_HELD_OUT)
    assert all_text_of(corpus) == f"bbbb\n{EOS}zzzz\n{EOS}"
    assert corpus.train.starts.tolist() == [0, 6]
    (notice,) = corpus.notices
    assert "tree: skipped 2 files: " in notice
    assert "(" in notice


def test_skipped_files_of_a_folder_are_named_with_a_reason(tmp_path):
    (tmp_path / "a.txt").write_text("the quick brown fox\n" * 20)
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"text"))
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.7 \x00")
    (tmp_path / "d").write_bytes(b"\0")
    (tmp_path / "e.txt").write_bytes("caf\u00e9".encode("cp1252"))
    files = FileList.of(ReadingConfig(paths=(str(tmp_path),)))
    assert [(os.path.basename(file.path), file.reason) for file in files.skipped] == [
        ("b.gz", "compressed"), ("c.pdf", "a PDF"), ("d", "binary"), ("e.txt", "not UTF-8")
    ]  # fmt: skip
    (notice,) = files.notices
    assert notice == (
        f"{tmp_path}: skipped 4 files: "
        "b.gz (compressed), c.pdf (a PDF), d (binary), e.txt (not UTF-8)"
    )
    for number in range(10, 20):
        (tmp_path / f"f{number}").write_bytes(b"\0")
    files = FileList.of(ReadingConfig(paths=(str(tmp_path),)))
    assert len(files.skipped) == 14
    (notice,) = files.notices
    assert notice.endswith("f15 (binary), and 4 more; corpus check lists all")
    (tmp_path / "a.txt").unlink()
    with pytest.raises(
        CorpusError, match=r"contains no text file: skipped 14 .*b\.gz \(compressed\)"
    ):
        load(tmp_path)


def test_empty_val_and_test_files_are_rejected(write):
    path, empty = write("the quick brown fox\n" * 20), write("", "empty.txt")
    for name in ("val", "test"):
        for how in (None, "blank-lines"):
            with pytest.raises(CorpusError, match=f"^--{name} .*empty.txt: contains no text$"):
                load(path, **{name: str(empty)}, split_documents=how)


def test_include_selects_files_of_a_folder(folder):
    corpus = load(folder, include=("*.py",), **NO_HELD_OUT)
    assert all_text_of(corpus) == "zzzz\n"
    assert corpus.notices == ()
    assert (
        all_text_of(load(folder, include=("*.py", "b*"), **NO_HELD_OUT))
        == f"bbbb\n{EOS}zzzz\n{EOS}"
    )
    with pytest.raises(CorpusError, match=r"no file name matches \*.c"):
        load(folder, include=("*.c",))
    # Files named by --include are never skipped.
    with pytest.raises(CorpusError, match="not valid utf-8"):
        load(folder, include=("*.txt",))


def test_documents_inside_a_file_have_their_own_starts(write):
    path = write("anna\nberta\nclara\n" * 8)
    corpus = load(path, split_documents="lines", **NO_HELD_OUT)
    assert len(corpus.train.starts) == 24
    assert corpus.train.starts[:4].tolist() == [0, 5, 11, 17]
    assert all_text_of(corpus) == "anna\nberta\nclara\n" * 8
    assert load(path, **NO_HELD_OUT).train.starts.tolist() == [0]
    assert load(path, **NO_HELD_OUT).fingerprint != corpus.fingerprint
    assert len(load(path, split_documents="^b", **NO_HELD_OUT).train.starts) == 9
    split = load(path, split_documents="lines", val_fraction=0.25, test_fraction=0.25)
    assert len(split.val.starts) >= 5


@example(
    text="a\u0f74\u0f73", cuts=[3]
)  # the last character decomposes, and its parts are reordered
@given(text=st.text(max_size=40), cuts=st.lists(st.integers(1, 9), max_size=9))
def test_nfc_doesn_t_depend_on_piece_boundaries(text, cuts):
    from unicodedata import normalize

    pieces, place = [], 0
    for cut in cuts:
        pieces.append(text[place : place + cut])
        place += cut
    pieces.append(text[place:])
    assert "".join(_composed(iter(pieces))) == normalize("NFC", text)


def test_normalize_nfc_composes_accents(write):
    path = write("cafe\u0301 " * 30)
    assert "\u0301" in load(path).vocabulary.characters
    composed = load(path, normalize="nfc")
    assert composed.vocabulary.characters == " acf\xe9"
    assert composed.tokenizer.to_chars("cafe\u0301") == "caf\xe9"


@pytest.mark.parametrize(
    "options",
    [
        {"split_documents": "("},
        {"split_documents": ""},
        {"format": "csv"},
        {"column": ""},
        {"column": "text", "split_documents": "lines"},
        {"column": "text", "level": "byte"},
        {"normalize": "nfd"},
        {"include": "x"},
        {"level": "byte", "normalize": "nfc"},
    ],
)
def test_invalid_reading_options_are_rejected(options):
    with pytest.raises(ConfigError):
        ReadingConfig(**options)


@settings(max_examples=40)
@given(
    text=st.text(min_size=2, max_size=60),
    size=st.integers(4, 17),  # the first piece must hold a byte order mark
    codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    normalize=st.sampled_from(["none", "nfc"]),
    how=st.sampled_from([None, "lines", "blank-lines", "^a"]),
)
def test_ids_don_t_depend_on_piece_size_or_source(
    tmp_path_factory, text, size, codec, normalize, how
):
    from charlstm.reading import source

    text = text.encode("utf-8", "replace").decode()
    path = tmp_path_factory.mktemp("pieces") / "text"
    path.write_bytes(text.encode(codec))
    options = {"normalize": normalize, "split_documents": how, **NO_HELD_OUT}

    def outcome(piece_bytes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "_PIECE_BYTES", piece_bytes)
            try:
                corpus = load(path, **options)
            except CorpusError as error:
                return type(error)
        return (
            corpus.train.ids.tolist(),
            corpus.train.starts.tolist(),
            corpus.vocabulary.characters,
            corpus.fingerprint,
        )

    assert outcome(size) == outcome(1 << 20)


@posix
def test_links_to_files_of_the_same_folder_are_skipped(tmp_path):
    (tmp_path / "a.txt").write_text("the quick brown fox\n" * 20)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/b.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "inner/c.txt").symlink_to("../a.txt")
    corpus = load(tmp_path, **NO_HELD_OUT)
    assert corpus.train.num_chars == 400
    assert "skipped 2 links to files that are read anyway" in corpus.notices[0]


def test_repeated_and_copied_files_give_a_notice(write):
    path = write("the quick brown fox\n" * 20)
    (notice,) = load(path, path).notices
    assert "is read twice" in notice
    (notice,) = load(path, val=str(path)).notices
    assert "is read twice, used for both training and evaluation" in notice
    copy = path.with_name("copy.txt")
    copy.write_bytes(path.read_bytes())
    (notice,) = load(path, test=str(copy)).notices
    assert notice == f"{copy}: is a copy of {path}, used for both training and evaluation"
    copy.write_bytes(path.read_bytes()[::-1])
    assert not load(path, test=str(copy)).notices


def test_nfc_of_kana_runs_in_bounded_memory():
    """Each piece is yielded with the next one, so time and memory are linear in the text."""
    pieces = iter(["\u304b\u3099" * 50] * 3)
    composed = _composed(pieces)
    assert len(next(composed)) == 49
    assert next(pieces, None) is not None


def test_full_disk_while_copying_a_pipe_gives_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"text")))
    full = SimpleNamespace(write=raising(DISK_FULL), close=lambda: None)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
    with pytest.raises(CorpusError, match="no room for a copy of -"):
        load("-")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_byte_order_mark_is_recognized(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(("the quick brown fox\n" * 20).encode(encoding))
    with pytest.raises(CorpusError, match=f"use --encoding {encoding}"):
        load(path)
    assert load(path, encoding=encoding).train.num_chars > 300


def test_table_rows_are_documents(write):
    rows = [("a\u0301\r\n", "b"), ("", "c,d"), (f"x{EOS}", "e")]
    lines = [json.dumps({"text": text, "other": other}) for text, other in rows]
    of_json = load(
        write("\n".join(lines), "t.jsonl"), column="text", normalize="nfc", **NO_HELD_OUT
    )
    assert text_of(of_json, "train") == f"\xe1\n{EOS}{EOS}x\ufffd{EOS}"
    assert of_json.train.starts.tolist() == [0, 3, 4]
    assert "U+FFFD" in of_json.notices[0]
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("text", "other"), *rows])
    of_csv = load(write(table.getvalue(), "t.csv"), column="text", normalize="nfc", **NO_HELD_OUT)
    assert of_csv.fingerprint == of_json.fingerprint
    assert "1 of 3 documents are empty and trained on like others" in of_csv.notices


@pytest.mark.parametrize(
    ("options", "expected", "skipped"),
    [
        ({}, ["a.csv", "b.jsonl"], "skipped 2 files: c.md (not a table), d (not a table)"),
        ({"include": ("*.csv",)}, ["a.csv"], None),
        ({"format": "csv"}, ["a.csv", "b.jsonl", "c.md"], "skipped 1 file: d (binary)"),
    ],
)
def test_a_folder_stands_for_its_tables_with_column(tmp_path, options, expected, skipped):
    for name, content in (("a.csv", b"x"), ("b.jsonl", b"y"), ("c.md", b"z"), ("d", b"\0")):
        (tmp_path / name).write_bytes(content)
    files = FileList.of(ReadingConfig(paths=(str(tmp_path),), column="text", **options))
    assert [os.path.basename(path) for path in files.main] == expected
    assert files.notices == ((f"{tmp_path}: {skipped}",) if skipped else ())


def test_encode_files_reads_the_model_s_column(write):
    config = ReadingConfig(
        paths=(str(write("text\nab\nba\n", "t.csv")),), column="text", **NO_HELD_OUT
    )
    other = write('{"text": "b"}\n{"text": "ab"}\n', "o.jsonl")
    found = encode_files([str(other)], config, load_corpus(config).tokenizer)
    assert found.original(0, 5) == f"b{EOS}ab{EOS}"
    assert found.split.starts.tolist() == [0, 2]
