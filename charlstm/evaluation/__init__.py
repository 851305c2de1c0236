"""What each character of a text costs a model, beside what it costs other predictors.

    scoring      the cost of each character, in torch; begin here: `score`
    scores       the results: `Evaluation`, `Scores`, calibration, kinds of character
    with_ngrams  network, n-grams and both mixed, in one reading
    items        lines and documents one by one, and how usual their cost is, as `score` shows it
    difference   two models on the same text, and whether chance explains what differs
    dynamic      dynamic evaluation: the model keeps learning from what it has scored
    baselines    simpler predictors of the same text
    assessment   all of these together, as `eval` shows them

In: a model and a `Split`. Out: frozen results in nats per character.
"""
