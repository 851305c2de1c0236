"""Tests of models that are saved outside a session."""

from dataclasses import replace

import numpy as np

from charlstm.config import Budget, ReadingConfig
from charlstm.run.saving import ModelSaver
from charlstm.run.store import CheckpointStore
from charlstm.text.corpus import load_corpus
from charlstm.text.encoded_text import EncodedText


def test_model_saver_saves_a_calibrated_best_and_resumable_last(
    tmp_path, make_trainer, corpus_file
):
    config = ReadingConfig(paths=(str(corpus_file),))
    store = CheckpointStore(tmp_path / "runs")
    corpus = replace(load_corpus(config), name="tiny")
    # Read backwards, the text surprises the model, so that calibration has something to do.
    val = EncodedText.of([corpus_file.read_text("utf-8")[::-1]], corpus.vocabulary)
    trainer = make_trainer(steps=20, options={"val": val})
    events = list(trainer.run())
    saver = ModelSaver(store=store, corpus=corpus, config=config, budget=Budget(steps=20))
    assert saver.save(trainer, events) == "tiny-lstm"
    run, weights = store.run("tiny-lstm"), trainer.weights()
    best, last = run.best().checkpoint, run.last().checkpoint
    assert [entry["event"] for entry in best.history][:2] == ["started", "evaluated"]
    calibrated = trainer.calibrated(weights)
    assert not np.array_equal(calibrated["head.weight"], weights["head.weight"])
    for name, expected in weights.items():
        np.testing.assert_array_equal(last.weights[name], expected)
        np.testing.assert_array_equal(best.weights[name], calibrated[name])
    assert last.training is not None
    assert best.training is None
