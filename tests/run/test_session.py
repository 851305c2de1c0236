from conftest import SMALL

from charlstm.training.trainer import Trainer


def test_weights_are_copied_once_per_event(run, corpus_file, monkeypatch):
    steps = []
    weights = Trainer.weights

    def counted(self):
        steps.append(self.step)
        return weights(self)

    monkeypatch.setattr(Trainer, "weights", counted)
    run.works("train", corpus_file, "--steps", 8, *SMALL)
    # Started, four evaluations including the final one, finished.
    assert steps == [0, 2, 4, 6, 8, 8]
