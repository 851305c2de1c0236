from dataclasses import replace

import numpy as np

from charlstm.model.finetuning import resize_vocabulary
from charlstm.model.lstm import CharLSTM
from charlstm.text.vocabulary import Vocabulary


def test_known_rows_are_kept_and_new_ones_are_the_mean(checkpoint):
    old = checkpoint.spec.vocabulary
    vocabulary = Vocabulary("".join(sorted("quick\u2603\u2604")))
    made = resize_vocabulary(checkpoint, vocabulary)
    for name in ("embedding.weight", "head.weight", "head.bias"):
        before, after = checkpoint.weights[name], made[name]
        assert after.dtype == np.float32
        assert np.array_equal(after[0], before[0])  # unknown
        for number, char in enumerate(vocabulary.characters, start=1):
            if char in old.characters:
                expected = before[1 + old.characters.index(char)]
            else:
                expected = before[1 : len(old) + 1].mean(0)
            np.testing.assert_allclose(after[number], expected, rtol=1e-6)
    assert np.array_equal(made["embedding.weight"][-1], checkpoint.weights["embedding.weight"][-1])
    config = replace(checkpoint.spec.model_config, num_characters=len(vocabulary))
    CharLSTM(config).load_arrays(made)


def test_the_same_vocabulary_gives_the_same_model(checkpoint):
    made = resize_vocabulary(checkpoint, checkpoint.spec.vocabulary)
    for name, weight in checkpoint.weights.items():
        assert np.array_equal(made[name], weight)
