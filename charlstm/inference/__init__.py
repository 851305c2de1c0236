"""Inference without torch: next-character distributions and samples.

    predictor   read characters and predict the next one; start here: `Predictor`
    prediction  the ranked distribution after a prefix, by context length
    sampling    temperature, top-k, top-p, min-p, and sampling
    draft       a text that is being typed, with predictions at each position
    search      exact search for the most likely continuations
    items       sampling items of a list until enough pass the filters
    copying     passages of a sample that occur in the training text

Input: a `Checkpoint` and a text. Output: probabilities and characters.
"""
