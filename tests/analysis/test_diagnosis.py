import pytest

from charlstm.analysis.diagnosis import diagnose
from charlstm.config import CorpusConfig
from charlstm.text.corpus import load_corpus


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("".join(f"name {number}\n" for number in range(300)) + "name 7\n" * 60)
    return str(path)


@pytest.mark.parametrize("split_by", ["auto", "order", "random"])
def test_the_splits_are_those_that_train_makes(names, split_by):
    config = CorpusConfig(paths=(names,), split_documents="lines", split_by=split_by)
    found, corpus = diagnose(config), load_corpus(config)
    sizes = [part.num_chars for part in (corpus.train, corpus.val, corpus.test)]
    assert [found.num_train_chars, found.num_val_chars, found.num_test_chars] == sizes
    assert found.num_documents == 360


def test_repeated_documents_and_a_pattern_that_is_found_nowhere_are_problems(names):
    def problems(how):
        found = diagnose(CorpusConfig(paths=(names,), split_documents=how))
        return [problem.what for problem in found.problems]

    assert "60 of 360 documents are repeated" in problems("lines")
    assert "--split-documents x{9}: found nowhere, the text is one document" in problems("x{9}")
