"""The cost of each character of a text for a model, next to other predictors.

    scoring      the cost of each character, in torch; start here: `score`
    scores       the results: `Evaluation`, `Scores`, calibration, kinds of character
    with_ngrams  LSTM, n-grams and both interpolated, in one pass
    items        lines and documents with their percentiles, for `score`
    difference   two models on the same text, with an interval
    dynamic      dynamic evaluation: the model keeps learning from what it has scored
    baselines    simpler predictors of the same text
    assessment   all of these together, for `eval`

Input: a model and a `Split`. Output: frozen results in nats per character.
"""
