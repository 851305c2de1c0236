"""Per-character losses of a model on a text, and comparison with other predictors.

    scoring      per-character losses in torch; start here: `score`
    scores       the results: `Evaluation`, `CharLosses`, calibration, kinds of characters
    with_ngrams  LSTM, n-gram model and their interpolation in one pass
    items        losses and percentiles of lines and documents, for `score`
    difference   significance of the difference between two models on the same text
    dynamic      dynamic evaluation: the model keeps learning from the text it has scored
    baselines    simpler predictors of the same text
    report       all of these together, for `eval`

Input: a model and an `EncodedText`. Output: frozen dataclasses; losses are in nats unless a name
says bits.
"""
