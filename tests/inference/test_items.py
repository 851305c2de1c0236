import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import with_spec

from charlstm.config import ReadingConfig, SampleConfig
from charlstm.inference.items import draw_items, unique
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import collect, sample_many
from charlstm.inference.search import likely_items


@pytest.fixture
def predictor(checkpoint):
    """A predictor whose documents are short lines."""
    assert "\n" in checkpoint.spec.vocabulary.characters
    weights = dict(checkpoint.weights)
    weights["head.bias"] = weights["head.bias"].copy()
    weights["head.bias"][checkpoint.spec.vocabulary.encode("\n")] += 2.0
    lines = with_spec(checkpoint, corpus=ReadingConfig(split_documents="lines"))
    return Predictor(replace(lines, weights=weights))


def draw(predictor, number, **options):
    config = SampleConfig(**{"length": 40} | options.pop("config", {}))
    return draw_items(
        predictor, "", config, num_items=number, generator=np.random.default_rng(0), **options
    )


def test_sample_many_ends_streams_at_eos(predictor):
    steps = sample_many(
        predictor, "", SampleConfig(length=60), num_samples=50, generator=np.random.default_rng(0)
    )
    for sample in collect(steps, 50):
        assert sample.text.count("\n") == sample.text.endswith("\n")
        assert len(sample.log_probabilities) == len(sample.text)


def test_sample_many_restarts_documents_from_a_zero_state(predictor):
    start = predictor.start().log_p[0]
    steps = list(
        sample_many(
            predictor,
            "",
            SampleConfig(length=200),
            num_samples=3,
            generator=np.random.default_rng(0),
            restarts=True,
        )
    )
    assert len(steps) == 200
    num_restarts = 0
    for before, after in pairwise(steps):
        for stream in range(3):
            token = int(predictor.tokenizer.encode(after.chars[stream])[0])
            if before.chars[stream] == "\n":
                assert after.log_p_B[stream] == pytest.approx(start[token], rel=1e-5)
                num_restarts += 1
    assert num_restarts > 20


def test_draw_items_returns_the_requested_number(predictor):
    assert len(draw(predictor, 7).samples) == 7
    wanted = draw(predictor, 7, filters=[lambda texts: ["q" in text for text in texts]])
    assert all("q" in sample.text for sample in wanted.samples)
    assert wanted.num_drawn > 7
    texts = [sample.text for sample in draw(predictor, 60, filters=[unique()]).samples]
    assert len(set(texts)) == 60


def test_draw_items_gives_up_when_too_few_pass(predictor):
    nothing = draw(predictor, 3, filters=[lambda texts: [False] * len(texts)])
    assert re.match(r"only 0 of 3 items in 2,\d\d\d draws", nothing.problem)
    assert nothing.samples == ()
    letters = draw(predictor, 300, config={"length": 2}, filters=[unique()])
    assert 0 < len(letters.samples) < 300
    assert letters.problem is not None
    assert draw(predictor, 3).problem is None


def test_draw_items_rejects_cut_and_empty_items(predictor):
    found = draw(predictor, 50, config={"length": 3}, filters=[lambda texts: [True] * len(texts)])
    assert all(sample.text.endswith("\n") for sample in found.samples)
    assert all(sample.text != "\n" for sample in found.samples)
    assert found.num_drawn > 50
    assert "\n" in [sample.text for sample in draw(predictor, 200).samples]


def test_likely_items_leaves_out_the_empty_item(predictor):
    empty = float(np.exp(predictor.start().log_p[0, predictor.tokenizer.eos_id]))
    items = likely_items(predictor, "", 5)
    assert len(items) == 5
    assert all(item.text for item in items)
    assert empty > min(item.probability for item in items)  # it would have been among them
