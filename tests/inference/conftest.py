from dataclasses import replace

import pytest
from conftest import with_spec

from charlstm.inference.predictor import Predictor


@pytest.fixture(scope="session")
def lines_predictor(checkpoint):
    """Return a predictor whose documents are short lines."""
    corpus = replace(checkpoint.spec.corpus, split_documents="lines")
    weights = {**checkpoint.weights, "head.bias": checkpoint.weights["head.bias"].copy()}
    weights["head.bias"][checkpoint.spec.vocabulary.encode("\n")] += 2.0
    return Predictor(with_spec(checkpoint, corpus=corpus, weights=weights))
