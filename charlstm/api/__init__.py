"""Use charlstm from Python: train, load, predict, sample, score and inspect.

    loading         load a `Model` from a run or file; list runs
    model           `Model`, a trained model; mostly without torch; start here
    classification  find the best of several models for each text
    training        `charlstm train` as a function
    results         surprisals of a text

Input: names, paths, texts. Output: a `Model` and plain results.
"""
