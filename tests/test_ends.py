"""Documents that are no lines know their end, too: from files to samples."""

import json

import pytest
from conftest import SMALL

from charlstm.config import CorpusConfig
from charlstm.text.corpus import encode_files, load_corpus
from charlstm.text.vocabulary import END

POEMS = "quick\nfox\n\nlazy\ndog\n\njump\nover\n\n"


@pytest.fixture
def poems(tmp_path):
    path = tmp_path / "poems.txt"
    path.write_text(POEMS * 40)
    return path


def test_the_end_is_a_symbol_of_the_vocabulary_and_costs_no_byte(poems):
    config = CorpusConfig(paths=(str(poems),), split_documents="blank-lines")
    corpus = load_corpus(config)
    alphabet = corpus.alphabet
    assert alphabet.end == END
    for part in (corpus.train, corpus.val, corpus.test):
        documents = alphabet.decode(part.ids).split(END)
        assert documents.pop() == ""
        assert set(documents) <= set(POEMS.split("\n\n")) | {
            f"{poem}\n\n" for poem in POEMS.split("\n\n")
        }
        assert part.num_bytes == part.num_chars - len(documents)
    scored = encode_files([str(poems)], config, corpus.vocabulary).split
    assert alphabet.decode(scored.ids).count(END) == 120
    assert scored.num_bytes == poems.stat().st_size


def test_several_files_end_and_one_does_not(tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_text(POEMS * 20)
    both, one = (
        load_corpus(CorpusConfig(paths=tuple(map(str, chosen)))) for chosen in (paths, paths[:1])
    )
    assert both.alphabet.end == END
    assert one.alphabet.end is None


@pytest.mark.parametrize("level", ["char", "byte"])
def test_a_model_of_poems_ends_them(run, here, poems, level):
    arguments = ["--split-documents", "blank-lines", "--level", level, "--learning-rate", 0.02]
    assert run("train", poems, "--steps", 400, *arguments, *SMALL)[0] == 0
    code, out, _ = run("sample", "--seed", 1, "--temperature", 0.5)
    assert code == 0
    assert END not in out
    assert out.strip() in [poem.strip() for poem in POEMS.split("\n\n")]
    (sample,) = json.loads(run("sample", "--seed", 1, "--temperature", 0.5, "--json")[1])["samples"]
    assert sample["is_ended"]
    assert sample["text"].strip() == out.strip()
    _, out, _ = run("predict", "lazy\ndog\n\n")
    assert "(end)" in out
    _, out, _ = run("predict", "lazy\ndog\n\n", "--json", "--top", 1)
    assert json.loads(out)["next"][0]["char"] == END
    code, out, _ = run("eval", "--json")
    assert code == 0
    assert json.loads(out)["bits_per_char"] < 1.5
    new = run("sample", "--unique", "--num-samples", 2, "--seed", 1)[1]
    assert new.startswith("--- 1 of 2 ---\n")
    run("inspect", "--html", "page.html")
    page = (here / "page.html").read_text(encoding="utf-8")
    assert '"end": ' in page or '"end":' in page
