"""A trained model at work, without torch: next-character distributions and samples.

    predictor   reads characters, says what comes next; begin here: `Predictor`
    prediction  the distribution after a prefix, ranked, by length of context
    sampling    temperature, top-k, top-p, min-p, and drawing
    draft       a text that is being typed, and what the model predicts at each place of it
    search      the most likely continuations up to an end, exactly
    items       more documents of a list, drawn until there are enough that are wanted
    copying     how much of a sample stands in the training text

In: a `Checkpoint` and a text. Out: probabilities and characters.
"""
