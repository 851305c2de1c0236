import pytest

from charlstm.analysis.comparison import CellResult, TrainedRun
from charlstm.views.comparison import show_comparison


def result(cell, nats):
    run = TrainedRun(
        seed=0, nats_per_char=nats, chars_per_second=1.0, bits_by_distance={}, half_distance=1
    )
    return CellResult(cell=cell, hidden_size=8, num_parameters=9, runs=(run,))


@pytest.mark.parametrize(("gru", "is_ahead"), [(1.45, True), (1.495, False), (1.6, False)])
def test_note_on_the_best_cell_needs_a_significant_lead(capsys, gru, is_ahead):
    show_comparison([result("lstm", 1.5), result("gru", gru)], [], num_chars=10_000)
    out = capsys.readouterr().out
    assert ("The gru is best with this budget" in out) == is_ahead
    assert "steps" not in out
