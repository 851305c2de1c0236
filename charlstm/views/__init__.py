"""Results as tables, pictures or JSON records.

    tables, shading, context                                   shared by others
    training, prediction, sampling, evaluation, items, difference,
    inspection, unit, comparison, runs, diagnosis              one for each kind of result
    draft, play                                                a text that is being typed, live
    plots, tensorboard                                         pictures by the optional extras

In: a frozen result. Out: stdout, or a file. Nothing here computes what it shows.
"""
