"""N-gram models: predict by counting what followed each context.

    counts           all n-grams of a text and how often each occurs, one length after another
    kneser_ney       smoothed probabilities from the counts: `NgramModel`
    order_selection  the order, chosen on validation text; start here: `learn_ngrams`
    interpolation    LSTM and n-grams combined, weighted by the matched context length
    storage          counts and weights in a file next to the run's checkpoints

Input: the training and validation `Split`. Output: probabilities of the next character.
"""
