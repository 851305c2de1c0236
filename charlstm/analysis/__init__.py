"""Analysis of models and texts.

    inspection  gates, cell states, surprisal; units that track features of the text
    unit        a unit's gates, broken down into their summands
    reach       effective context length
    comparison  LSTM, GRU and plain RNN trained under the same conditions
    recall      the distance over which each of them remembers a character
    advice      advice on how to improve a run's model
    diagnosis   checks of a text before training, for `corpus check`

Input: a model (or cells to train) and an `EncodedText`. Output: frozen results. Start with
`inspection.trace`.
"""
