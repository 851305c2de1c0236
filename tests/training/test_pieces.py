import numpy as np
import pytest

from charlstm.training.pieces import Pieces


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_each_place_is_read_once_and_what_has_ended_no_more(share):
    begins_TB = np.random.default_rng(0).random((20, 6)) < share
    pieces = Pieces.of(begins_TB)
    places, is_first = [], []
    for stretch in pieces.stretches:
        places.append(stretch.place_TP.ravel())
        is_first.append(np.zeros(stretch.place_TP.shape, np.bool_))
        is_first[-1][0] = True
    places, is_first = np.concatenate(places), np.concatenate([one.ravel() for one in is_first])
    # In the window's order the places stand one after another.
    assert places[pieces.order_TB].ravel().tolist() == list(range(120))
    # Whatever a stretch reads, it begins within its piece.
    read = np.zeros(len(places), np.bool_)
    read[pieces.order_TB.ravel()] = True
    assert read[is_first].all()
    assert pieces.is_whole == (not begins_TB[1:].any())
