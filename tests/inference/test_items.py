import re

import numpy as np
import pytest

from charlstm.config import SampleConfig
from charlstm.inference.items import draw_items, unique
from charlstm.inference.search import likely_items


@pytest.fixture
def draw(lines_predictor):
    def draw(number, *, length=40, filters=()):
        return draw_items(
            lines_predictor,
            "",
            SampleConfig(length=length),
            num_items=number,
            generator=np.random.default_rng(0),
            item_filters=filters,
        )

    return draw


def test_draw_items_returns_the_requested_number(draw):
    assert len(draw(7).samples) == 7
    wanted = draw(7, filters=[lambda texts: ["q" in text for text in texts]])
    assert all("q" in sample.text for sample in wanted.samples)
    assert wanted.num_drawn > 7
    texts = [sample.text for sample in draw(60, filters=[unique()]).samples]
    assert len(set(texts)) == 60


def test_draw_items_gives_up_when_too_few_pass(draw):
    nothing = draw(3, filters=[lambda texts: [False] * len(texts)])
    assert re.match(r"only 0 of 3 items in 2,\d\d\d draws", nothing.problem)
    assert nothing.samples == ()
    letters = draw(300, length=2, filters=[unique()])
    assert 0 < len(letters.samples) < 300
    assert letters.problem is not None
    assert draw(3).problem is None


def test_draw_items_rejects_cut_and_empty_items(draw):
    found = draw(50, length=3, filters=[lambda texts: [True] * len(texts)])
    assert all(sample.text.endswith("\n") for sample in found.samples)
    assert all(sample.text != "\n" for sample in found.samples)
    assert found.num_drawn > 50
    assert "\n" in [sample.text for sample in draw(200).samples]


def test_likely_items_leaves_out_the_empty_item(lines_predictor):
    empty = float(np.exp(lines_predictor.start().log_p[0, lines_predictor.tokenizer.eos_id]))
    items = likely_items(lines_predictor, "", 5)
    assert len(items) == 5
    assert all(item.text for item in items)
    assert empty > min(item.probability for item in items)  # it would have been among them
