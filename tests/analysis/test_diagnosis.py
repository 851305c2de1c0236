import math

import pytest

from charlstm.analysis.diagnosis import diagnose
from charlstm.config import ReadingConfig
from charlstm.evaluation.baselines import ngram_baseline, score_baselines
from charlstm.ngram.order_selection import fit_ngrams
from charlstm.text.corpus import load_corpus

PROSE = "".join(f"{n} is a number that stands here and there, at its place\n" for n in range(4000))


@pytest.fixture
def check(tmp_path):
    def check(text, **options):
        path = tmp_path / "text.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return diagnose(ReadingConfig(paths=(str(path),), **options))

    return check


def cures(found):
    return [problem.cure for problem in found.problems]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"split_documents": "lines"},
        {"split_documents": "blank-lines"},
        {"split_documents": "re:7"},
        {"split_documents": "lines", "split_by": "order"},
        {"min_count": 20},
        {"level": "byte"},
    ],
)
def test_diagnose_matches_load_corpus(check, tmp_path, options):
    text = "".join(f"name {number}\nand \xe9\n\n" for number in range(300))
    found = check(text, **options)
    corpus = load_corpus(ReadingConfig(paths=(str(tmp_path / "text.txt"),), **options))
    splits = (corpus.train, corpus.val, corpus.test)
    assert [(split.num_chars, split.num_documents) for split in found.splits] == [
        (split.num_chars, len(split.starts)) for split in splits
    ]
    assert (found.notices, found.files) == (corpus.notices, corpus.files)
    assert found.num_characters == len(corpus.vocabulary)
    baselines = score_baselines(corpus.tokenizer, train=corpus.train, text=corpus.test)
    ngrams = fit_ngrams(corpus.train, corpus.val, corpus.tokenizer)
    baselines.append(ngram_baseline(ngrams, ngrams.score(corpus.test).sum()))
    bits = {b.name: b.nats / corpus.test.num_chars / math.log(2) for b in baselines}
    assert found.baseline_bits_per_char == pytest.approx(bits)


@pytest.mark.parametrize(
    ("text", "how", "unit", "num_repeated"),
    [
        ("hello\nworld\n" * 500, None, "lines", 998),
        ("ab\n" + "name 7\n" * 60, "lines", "documents", 59),
        ("one\ntwo\n\n" * 50, "blank-lines", "lines", 98),
        ("a" * 100, None, "documents", 0),
    ],
)
def test_diagnose_counts_repeated_units(check, text, how, unit, num_repeated):
    found = check(text, split_documents=how, val_fraction=0.0, test_fraction=0.0)
    assert (found.repeated_unit, found.num_repeated) == (unit, num_repeated)
    is_problem = any(f"in repeated {unit}" in problem.what for problem in found.problems)
    assert is_problem == (num_repeated > 0)


def test_documents_with_unknown_characters_are_not_repeated(check):
    lines = [f"name {number}" for number in range(90)] + list(map(chr, range(0x4E00, 0x4E40)))
    found = check("\n".join(lines), split_documents="lines", min_count=2)
    assert found.num_repeated == 0


def test_good_text_has_no_problems(check):
    found = check(PROSE)
    assert (found.notices, found.problems) == ((), ())
    assert found.model is not None
    assert found.model.startswith("2 x ")


@pytest.mark.parametrize(
    ("text", "options", "cure"),
    [
        ("text\x1b\x1b " * 50, {}, "--level byte"),
        ("cafe\u0301 and caf\xe9, " * 50, {}, "--normalize nfc"),
        ("a few words", {}, "--from RUN"),
    ],
)
def test_diagnose_suggests_cures(check, text, options, cure):
    assert any(cure in found for found in cures(check(text, **options)))
    assert cures(check(text.encode(), level="byte")) == cures(check("a few words"))[-1:]


@pytest.mark.parametrize(
    ("content", "encoding", "line_ends"),
    [
        (b"\xef\xbb\xbfone\rtwo\r\nthree\n", "utf-8-sig", ("\r", "\n", "\r\n")),
        ("one\ntwo\n".encode("utf-16"), "utf-16", ("\n",)),
        (b"one" * 9, "utf-8", ()),
    ],
)
@pytest.mark.parametrize("keep_line_ends", [False, True])
def test_diagnose_reports_encoding_and_line_ends(
    check, content, encoding, line_ends, keep_line_ends
):
    (file,) = check(content, keep_line_ends=keep_line_ends).files
    assert (file.encoding, set(file.line_ends)) == (encoding, set(line_ends))


def test_diagnose_suggests_no_model_for_a_very_short_text(check):
    poem = "Two roads diverged in a yellow wood,\nAnd sorry I could not travel both\n"
    found = check(poem)
    assert found.num_rare > 10
    assert not any("--min-count" in cure for cure in cures(found))
    assert found.model is None
