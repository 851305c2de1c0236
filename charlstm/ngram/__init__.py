"""N-gram models, and their log-linear interpolation with an LSTM.

    counts           count the n-grams of a text, one length after another
    kneser_ney       modified Kneser-Ney smoothing: `NgramModel`
    order_selection  choose the order and prune on validation text; start here: `fit_ngrams`
    interpolation    log-linear interpolation, with weights by matched context length
    storage          the file with the n-gram model, next to the run's checkpoints

Input: the training and validation `EncodedText`. Output: probabilities of the next character.
"""
