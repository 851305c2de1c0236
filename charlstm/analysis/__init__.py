"""Looking inside models and texts.

    inspection  gates, cell states, surprise; units that track something readable
    unit        one unit's gates as sums that can be followed by hand
    reach       how far back predictions depend on what was read
    comparison  LSTM, GRU and plain RNN trained alike
    recall      over what distance each of them remembers a symbol
    advice      what would make a run's model better
    diagnosis   checks of a text before training, for `corpus check`

In: a model (or cells to train) and a `Split`. Out: frozen results. Begin with `inspection.trace`.
"""
