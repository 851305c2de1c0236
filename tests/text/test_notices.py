import pytest

from charlstm.config import ReadingConfig
from charlstm.errors import CorpusError
from charlstm.text.corpus import encode_files, load_corpus

COMPOSED, DECOMPOSED = "caf\xe9 au lait\n" * 40, "cafe\u0301 au lait\n" * 40


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a corpus from texts."""

    def load(train, val=None, **options):
        path, val_path = tmp_path / "train", tmp_path / "val"
        path.write_text(train, encoding="utf-8")
        if val is not None:
            val_path.write_text(val, encoding="utf-8")
            options["val"] = str(val_path)
        return load_corpus(ReadingConfig(paths=(str(path),), **options))

    return load


def test_many_unknown_characters_give_a_notice(load, tmp_path):
    greek = "\u03bc\u03b9\u03b1 \u03c6\u03bf\u03c1\u03ac\n" * 40
    corpus = load(COMPOSED, val=greek)
    notice = "78% of the {} consists of characters outside the vocabulary"
    assert corpus.notices == (notice.format("validation text"),)
    scored = encode_files([str(tmp_path / "val")], ReadingConfig(), corpus.tokenizer)
    assert scored.notices == (notice.format("text"),)
    assert load(COMPOSED, val=COMPOSED[:100]).notices == ()


@pytest.mark.parametrize(
    ("train", "val", "char"),
    [(COMPOSED, DECOMPOSED, "\u0301"), (DECOMPOSED, COMPOSED, "\xe9")],
)
def test_unknown_normal_form_gives_a_notice(load, train, val, char):
    corpus = load(train, val=val)
    assert "--normalize nfc" in corpus.notices[-1]
    assert f"(U+{ord(char):04X})" in corpus.notices[-1]
    with pytest.raises(CorpusError, match=rf"normal form: .*\(U\+{ord(char):04X}\)$"):
        corpus.tokenizer.require_known(val)
    assert load(train, val=val, normalize="nfc").notices == ()


def test_characters_unknown_in_every_form_give_no_form_notice(load):
    """A known accented letter does not make its base letter known."""
    corpus = load("caf\xe9 au lait\n".replace("e", "") * 40, val="\xe8 e" * 2 + "caf" * 40)
    assert corpus.notices == ()
    with pytest.raises(CorpusError, match=r"\(U\+0065\)$"):
        corpus.tokenizer.require_known("e")


@pytest.mark.parametrize("how", ["lines", "blank-lines", "re:^x"])
def test_rules_without_a_match_give_a_notice(load, how):
    text = "one line, and a long one at that, without an end" * 9
    notice = f"--split-documents {how}: no match, the text is one document"
    assert notice in load(text, split_documents=how).notices
