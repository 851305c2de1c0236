import pytest

from charlstm.config import CorpusConfig
from charlstm.errors import CorpusError
from charlstm.text.corpus import encode_files, load_corpus

COMPOSED, DECOMPOSED = "caf\xe9 au lait\n" * 40, "cafe\u0301 au lait\n" * 40


@pytest.fixture
def load(tmp_path):
    """Load files of some texts."""

    def load(train, **options):
        for name, text in {"train": train, **options}.items():
            if name in ("train", "val"):
                (tmp_path / name).write_text(text, encoding="utf-8")
        if "val" in options:
            options["val"] = str(tmp_path / "val")
        return load_corpus(CorpusConfig(paths=(str(tmp_path / "train"),), **options))

    return load


def test_validation_text_of_unknown_characters_is_noticed(load, tmp_path):
    greek = "\u03bc\u03b9\u03b1 \u03c6\u03bf\u03c1\u03ac\n" * 40
    corpus = load(COMPOSED, val=greek)
    notice = "78% of the {} are characters that the vocabulary lacks"
    assert corpus.notices == (notice.format("validation text"),)
    scored = encode_files([str(tmp_path / "val")], CorpusConfig(), corpus.alphabet)
    assert scored.notices == (notice.format("text"),)
    assert load(COMPOSED, val=COMPOSED[:100]).notices == ()


@pytest.mark.parametrize(
    ("train", "val", "char"),
    [(COMPOSED, DECOMPOSED, "\u0301"), (DECOMPOSED, COMPOSED, "\xe9")],
)
def test_another_normal_form_is_noticed(load, train, val, char):
    corpus = load(train, val=val)
    assert "--normalize nfc" in corpus.notices[-1]
    assert f"(U+{ord(char):04X})" in corpus.notices[-1]
    with pytest.raises(CorpusError, match=rf"normal form: .*\(U\+{ord(char):04X}\)$"):
        corpus.alphabet.require_known(val)
    assert load(train, val=val, normalize="nfc").notices == ()


def test_unknown_characters_without_another_form_are_no_matter_of_forms(load):
    """The letter that an accent stands on isn't known by that."""
    corpus = load("caf\xe9 au lait\n".replace("e", "") * 40, val="\xe8 e" * 2 + "caf" * 40)
    assert corpus.notices == ()
    with pytest.raises(CorpusError, match=r"\(U\+0065\)$"):
        corpus.alphabet.require_known("e")


@pytest.mark.parametrize("how", ["lines", "blank-lines", "re:^x"])
def test_rules_that_find_no_document_are_noticed(load, how):
    text = "one line, and a long one at that, without an end" * 9
    notice = f"--split-documents {how}: found nowhere, the text is one document"
    assert notice in load(text, split_documents=how).notices
