from charlstm.analysis.advice import advise
from charlstm.model.checkpoints import HistoryEntry


def history(*rows):
    return [
        HistoryEntry(record={}, epoch=epoch, train_bits_per_char=train, val_bits_per_char=val)
        for epoch, train, val in rows
    ]


def test_too_little_says_nothing():
    assert advise([], is_finished=True) is None
    assert advise(history((0, None, None), (1, 3.0, 3.0)), is_finished=True) is None
    assert advise(history((1, 3.0, None), (2, 2.0, None)), is_finished=True) is None


def test_what_only_got_worse_overfits():
    found = advise(history((1, 3.0, 3.0), (2, 2.0, 2.5), (9, 0.5, 4.0)), is_finished=True)
    assert "epoch 2.0 of 9.0" in found
    assert "overfits" in found


def test_the_gap_between_training_and_validation_tells_what_helps():
    begin = (1, 3.0, 3.1)
    assert "More minutes may" in advise(history(begin, (2, 2.0, 2.01)), is_finished=True)
    assert "larger text helps most" in advise(history(begin, (9, 1.0, 2.0)), is_finished=True)
    assert "both" in advise(history(begin, (9, 1.8, 2.0)), is_finished=True)
    assert "--resume" in advise(history(begin, (9, 1.8, 2.0)), is_finished=False)
