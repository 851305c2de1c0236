"""Predicting by counting: what followed each short stretch of text, without a network.

    counts           all n-grams of a text and how often each occurs, one length after another
    kneser_ney       smoothed probabilities from them: `NgramModel`
    order_selection  how long n-grams are worth counting; begin here: `learn_ngrams`
    interpolation    two predictors as one, by how much of the context the counts know
    storage          counts and mixture in a file beside the run's checkpoints

In: the training and validation `Split`. Out: probabilities of the next character.
"""
