"""Look inside models and texts.

    inspection  gates, cell states, surprisal; units that track something readable
    unit        one unit's gates as sums, step by step
    reach       how far back predictions depend on the text
    comparison  LSTM, GRU and plain RNN trained alike
    recall      over what distance each cell remembers a symbol
    advice      what may improve a run's model
    diagnosis   checks of a text before training, for `corpus check`

Input: a model (or cells to train) and a `Split`. Output: frozen results. Start with
`inspection.trace`.
"""
