import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import with_spec

from charlstm.config import CorpusConfig, SampleConfig
from charlstm.inference.items import draw_items, unique
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import collect, sample_many


@pytest.fixture
def predictor(checkpoint):
    """A model of lines that end soon."""
    assert "\n" in checkpoint.spec.vocabulary.characters
    weights = dict(checkpoint.weights)
    weights["head.bias"] = weights["head.bias"].copy()
    weights["head.bias"][checkpoint.spec.vocabulary.encode("\n")] += 2.0
    lines = with_spec(checkpoint, corpus=CorpusConfig(split_documents="lines"))
    return Predictor(replace(lines, weights=weights))


def draw(predictor, number, **options):
    config = SampleConfig(**{"length": 40} | options.pop("config", {}))
    return draw_items(
        predictor, "", config, num_items=number, generator=np.random.default_rng(0), **options
    )


def test_each_stream_ends_with_its_document(predictor):
    drawn = sample_many(
        predictor, "", SampleConfig(length=60), num_samples=50, generator=np.random.default_rng(0)
    )
    for one in collect(drawn, 50):
        assert one.text.count("\n") == one.text.endswith("\n")
        assert len(one.log_probabilities) == len(one.text)


def test_where_it_restarts_the_next_document_has_a_zero_state(predictor):
    start = predictor.start().log_p[0]
    drawn = list(
        sample_many(
            predictor,
            "",
            SampleConfig(length=200),
            num_samples=3,
            generator=np.random.default_rng(0),
            restarts=True,
        )
    )
    assert len(drawn) == 200
    num_restarts = 0
    for before, after in pairwise(drawn):
        for stream in range(3):
            symbol = int(predictor.alphabet.encode(after.chars[stream])[0])
            if before.chars[stream] == "\n":
                assert after.log_p_B[stream] == pytest.approx(start[symbol], rel=1e-5)
                num_restarts += 1
    assert num_restarts > 20


def test_as_many_are_drawn_as_are_wanted(predictor):
    assert len(draw(predictor, 7).samples) == 7
    wanted = draw(predictor, 7, filters=[lambda texts: ["q" in text for text in texts]])
    assert all("q" in one.text for one in wanted.samples)
    assert wanted.num_drawn > 7
    texts = [one.text for one in draw(predictor, 60, filters=[unique()]).samples]
    assert len(set(texts)) == 60


def test_it_gives_up_where_nothing_is_wanted(predictor):
    nothing = draw(predictor, 3, filters=[lambda texts: [False] * len(texts)])
    assert re.match(r"only 0 of 3 items in 2,\d\d\d draws", nothing.problem)
    assert nothing.samples == ()
    one = draw(predictor, 3, config={"temperature": 1e-3, "length": 400}, filters=[unique()])
    assert 0 < len(one.samples) < 3
    assert one.problem is not None
    assert draw(predictor, 3).problem is None


def test_what_was_cut_is_no_item(predictor):
    found = draw(predictor, 50, config={"length": 3}, filters=[lambda texts: [True] * len(texts)])
    assert all(one.text.endswith("\n") for one in found.samples)
    assert found.num_drawn > 50
