from dataclasses import replace

import numpy as np
import pytest
from conftest import MODEL, TEXT, TRAIN, tokenizer_of

from charlstm.analysis.comparison import CELLS, compare, match_num_parameters
from charlstm.config import Budget
from charlstm.text.corpus import Corpus
from charlstm.text.encoded_text import EncodedText


@pytest.mark.parametrize("hidden_size", [8, 64, 200])
@pytest.mark.parametrize("cell", CELLS)
def test_matched_keeps_the_number_of_parameters(cell, hidden_size):
    model = replace(MODEL, hidden_size=hidden_size)
    other = match_num_parameters(model, cell)
    assert other.cell == cell
    assert other.num_parameters == pytest.approx(model.num_parameters, rel=0.06)
    assert match_num_parameters(model, "lstm") == model


def test_compare_trains_each_cell_with_each_seed(vocabulary):
    split = EncodedText.of([TEXT], vocabulary)
    results = list(
        compare(
            replace(MODEL, num_characters=len(vocabulary)),
            TRAIN,
            Budget(steps=12),
            corpus=Corpus(
                name="tiny",
                tokenizer=tokenizer_of(vocabulary),
                train=split,
                val=split.part(0, 300),
                test=split.part(0, 500),
                fingerprint="",
                notices=(),
            ),
            scored_text=split.part(0, 500),
            seeds=range(2),
        )
    )
    assert [result.cell for result in results] == list(CELLS)
    for result in results:
        assert [run.seed for run in result.runs] == [0, 1]
        bits = [run.bits_per_char for run in result.runs]
        assert result.bits_per_char == pytest.approx(np.mean(bits))
        assert result.spread == pytest.approx(abs(bits[0] - bits[1]) / 2)
        assert result.spread > 0
        assert all(run.chars_per_second > 0 and run.half_distance >= 1 for run in result.runs)
