from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import ReadingConfig
from charlstm.text.assignment import Assignment
from charlstm.text.corpus import load_corpus

# File sizes of a folder for which validation once got no text.
LUMPY = [
    min(150_000, int(size) + 1) for size in np.random.default_rng(11).lognormal(6, 2.2, size=103)
]


def assigned(lengths, **options):
    lengths = np.array(lengths)
    config = ReadingConfig(**{"split_by": "random"} | options)
    return Assignment.of(config, np.cumsum(lengths) - lengths, int(lengths.sum()))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=200), st.integers(0, 9))
def test_every_document_is_in_exactly_one_split_unchanged(lengths, seed):
    found = assigned(lengths, split_seed=seed, val_fraction=0.2, test_fraction=0.1)
    ids = np.arange(sum(lengths))
    grouped = np.concatenate(list(found.grouped(ids)))
    assert sorted(grouped) == list(ids)
    train, val, test = found.sizes
    assert train + val + test == len(ids)
    assert test <= 0.1 * len(ids) + 1
    assert val <= 2 * 0.2 * len(ids) + 1
    assert 2 * test >= 0.1 * len(ids) - 1
    assert 2 * val >= 0.2 * len(ids) - 1
    starts = [*found.grouped_starts, len(ids)]
    for start, after in pairwise(starts):
        assert list(np.diff(grouped[start:after])) == [1] * (after - start - 1)
    assert {train, train + val} <= set(starts)


def test_assignment_depends_on_the_seed():
    first, same, other = (assigned([3] * 300, split_seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.split_D, same.split_D)
    assert not np.array_equal(first.split_D, other.split_D)
    assert first.sizes == (810, 45, 45)


@pytest.mark.parametrize(
    "lengths", [[3] * 300 + [100_000], [60] * 110 + [300_000], [100_000, *[3] * 200, 90_000], LUMPY]
)
@pytest.mark.parametrize("fractions", [(0.05, 0.05), (0.4, 0.4), (0.0, 0.3), (0.001, 0.6)])
def test_split_sizes_are_within_a_factor_of_two_of_their_fractions(lengths, fractions):
    val, test = fractions
    found = assigned(lengths, val_fraction=val, test_fraction=test)
    for size, fraction in zip(found.sizes, (1 - val - test, val, test), strict=True):
        assert fraction / 2 <= size / sum(lengths) <= 2 * fraction + 1e-5


def test_the_longest_document_is_divided_only_if_the_others_are_too_short():
    assert assigned([3] * 300).notices == ()
    assert len(assigned([3] * 300).lengths_D) == 300
    found = assigned([3] * 300 + [100_000])
    assert found.lengths_D[-3:].tolist() == [100_000 - 10_000, 5000, 5000]
    assert found.split_D[-3:].tolist() == [0, 1, 2]
    assert found.sizes == (90_810, 5045, 5045)
    assert found.notices[0].startswith("test text: 5,045 of 5,045 characters, partly from longer")


def test_a_split_that_is_too_small_gives_a_notice():
    found = assigned([16, 19, 5], val_fraction=0.49, test_fraction=0.5, split_seed=2)
    assert (found.sizes, found.notices) == ((0, 35, 5), ("test text: 5 of 20 characters",))


def test_few_documents_are_split_in_order_by_default():
    assert assigned([3] * 99, split_by="auto") is None
    assert assigned([3] * 100, split_by="auto") is not None
    assert assigned([3] * 100, split_by="order") is None
    assert assigned([3] * 9, split_by="random") is not None


def test_test_items_of_a_sorted_list_cover_all_letters(tmp_path):
    path = tmp_path / "sorted.txt"
    words = [f"{letter}{number:02}\n" for letter in "abcdefghij" for number in range(60)]
    path.write_text("".join(words))
    config = ReadingConfig(paths=(str(path),), split_documents="lines", split_by="auto")
    corpus = load_corpus(config)
    splits = [
        corpus.tokenizer.text_of(part.ids) for part in (corpus.train, corpus.val, corpus.test)
    ]
    assert sorted("".join(splits).splitlines(keepends=True)) == words
    letters = set(splits[2]) & set("abcdefghij")
    assert len(letters) > 4
    assert [len(part.starts) for part in (corpus.train, corpus.val, corpus.test)] == [540, 30, 30]


def test_val_and_test_files_are_not_shuffled(tmp_path):
    for name, text in (("train", "ab\n" * 200), ("val", "ba\n" * 3), ("test", "bb\n" * 5)):
        (tmp_path / name).write_text(text)
    paths = {name: str(tmp_path / name) for name in ("val", "test")}
    config = ReadingConfig(
        paths=(str(tmp_path / "train"),), split_documents="lines", split_by="auto", **paths
    )
    corpus = load_corpus(config)
    assert corpus.tokenizer.text_of(corpus.val.ids) == "ba\n" * 3
    assert corpus.tokenizer.text_of(corpus.test.ids) == "bb\n" * 5
    assert len(corpus.train.starts) == 200
