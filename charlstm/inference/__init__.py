"""A trained model at work, without torch: next-character distributions and samples.

    predictor   reads characters, predicts the next one; start here: `Predictor`
    prediction  the distribution after a prefix, ranked, by length of context
    sampling    temperature, top-k, top-p, min-p, and drawing
    draft       a text that is being typed, with the prediction at each position
    search      the most likely continuations up to an end, exactly
    items       more items of a list, drawn until enough are accepted
    copying     how much of a sample occurs in the training text

Input: a `Checkpoint` and a text. Output: probabilities and characters.
"""
