"""EOS in documents other than lines, from files to samples."""

import re
from dataclasses import replace

import numpy as np
import pytest

import charlstm
from charlstm.config import IN_MEMORY, ReadingConfig
from charlstm.reading.documents import EOS, EOS_NOTICE
from charlstm.text.corpus import encode_files, load_corpus

POEMS = "quick\nfox\n\nlazy\ndog\n\njump\nover\n\n"


@pytest.fixture
def poems(tmp_path):
    path = tmp_path / "poems.txt"
    path.write_text(POEMS * 40)
    return path


def test_eos_is_a_token_without_bytes(poems):
    config = ReadingConfig(paths=(str(poems),), split_documents="blank-lines")
    corpus = load_corpus(config)
    tokenizer = corpus.tokenizer
    assert tokenizer.eos == EOS
    for part in (corpus.train, corpus.val, corpus.test):
        documents = tokenizer.decode(part.ids).split(EOS)
        assert documents.pop() == ""
        assert set(documents) <= set(POEMS.split("\n\n")) | {
            f"{poem}\n\n" for poem in POEMS.split("\n\n")
        }
        assert part.num_bytes == part.num_chars - len(documents)
    scored = encode_files([str(poems)], config, corpus.tokenizer).split
    assert tokenizer.decode(scored.ids).count(EOS) == 120
    assert scored.num_bytes == poems.stat().st_size


@pytest.mark.parametrize("level", ["char", "byte"])
def test_eos_in_running_text_is_replaced(tmp_path, level):
    """In a byte model no byte is EOS."""
    text = f"quick {EOS} fox\n" * 40
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    config = ReadingConfig(paths=(str(path),), level=level)
    in_memory = replace(config, paths=(IN_MEMORY,))
    corpus, typed = load_corpus(config), load_corpus(in_memory, texts=[text])
    scored = encode_files([str(path)], config, corpus.tokenizer)
    notices = [[*one.notices] for one in (corpus, typed, scored)]
    if level == "byte":
        assert corpus.tokenizer.text_of(corpus.train.ids).startswith(f"quick {EOS} fox\n")
        assert notices == [[], [], []]
    else:
        assert corpus.vocabulary.characters == "\n cfikoqux\ufffd"
        assert corpus.tokenizer.eos is None
        assert [notice.removeprefix(f"{path}: ") for (notice,) in notices] == [EOS_NOTICE] * 3
    assert np.array_equal(corpus.train.ids, typed.train.ids)


def test_eos_in_typed_text_is_replaced(run, stored):
    for command in ("predict", "inspect"):
        code, _, err = run(command, f"qu{EOS}")
        assert (code, err.splitlines()[0]) == (1, EOS_NOTICE)
    assert EOS_NOTICE in run("sample", "--prime", f"qu{EOS}", "--unknown", "skip")[2]
    with pytest.warns(UserWarning, match=re.escape(EOS_NOTICE)):
        assert charlstm.load().score(f"qu{EOS}").num_unknown == 1


def test_only_several_files_have_eos(tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_text(POEMS * 20)
    both, one = (
        load_corpus(ReadingConfig(paths=tuple(map(str, chosen)))) for chosen in (paths, paths[:1])
    )
    assert both.tokenizer.eos == EOS
    assert one.tokenizer.eos is None


@pytest.mark.parametrize("level", ["char", "byte"])
def test_model_of_documents_samples_eos(run, here, poems, level):
    options = ["--split-documents", "blank-lines", "--level", level, "--learning-rate", 0.02]
    run.train(poems, "--steps", 200, *options)
    out, _ = run.works("sample", "--seed", 1, "--temperature", 0.5)
    assert EOS not in out
    assert out.strip() in [poem.strip() for poem in POEMS.split("\n\n")]
    (sample,) = run.json("sample", "--seed", 1, "--temperature", 0.5)["samples"]
    assert sample["is_ended"]
    assert sample["text"].strip() == out.strip()
    _, out, _ = run("predict", "lazy\ndog\n\n")
    assert "(end)" in out
    assert run.json("predict", "lazy\ndog\n\n", "--top", 1)["next"][0]["char"] == EOS
    assert run.json("eval")["bits_per_char"] < 1.5
    new = run("sample", "--unique", "--num-samples", 2, "--seed", 1)[1]
    assert new.startswith("--- 1 of 2 ---\n")
    run("inspect", "--html", "page.html")
    page = (here / "page.html").read_text(encoding="utf-8")
    assert '"end": ' in page or '"end":' in page
