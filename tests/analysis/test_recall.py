import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import MODEL, TRAIN

from charlstm.analysis.recall import RecallResult, compare_recall, recall_documents
from charlstm.config import Budget
from charlstm.text.vocabulary import Vocabulary


def test_recall_documents_repeat_their_first_letter():
    vocabulary = Vocabulary("".join(sorted("ABCDEFGH>\n")))
    split = recall_documents(np.array([5, 20, 1]), np.random.default_rng(0))
    for distance, start, length in zip((5, 20, 1), split.starts, split.lengths, strict=True):
        text = vocabulary.decode(split.ids[start : start + length])
        assert re.fullmatch(rf"([A-H])[A-H]{{{distance - 1}}}>\1\n", text)


def test_longest_distance_stops_at_the_first_failure():
    def longest_distance(*accuracies):
        accuracy = dict(zip((5, 10, 20), accuracies, strict=True))
        options = {"cell": "lstm", "hidden_size": 1, "num_parameters": 1, "seed": 0}
        return RecallResult(accuracy=accuracy, **options).longest_distance

    assert longest_distance(0.1, 1.0, 1.0) == 0
    assert longest_distance(1.0, 0.95, 0.2) == 10
    assert longest_distance(1.0, 1.0, 1.0) == 20


@pytest.mark.slow
def test_lstm_recalls_over_distances_that_a_plain_rnn_does_not():
    model = replace(MODEL, hidden_size=48, embedding_size=32)
    found = {
        result.cell: result
        for result in compare_recall(
            model, replace(TRAIN, learning_rate=8e-3), Budget(steps=1800), seeds=[0]
        )
    }
    # Thresholds are loose because the speed of learning depends on rounding; chance is 1/8.
    assert found["lstm"].accuracy[20] > 0.75
    assert found["lstm"].accuracy[200] > 0.5
    assert found["rnn"].accuracy[20] < 0.5
