"""Show results as tables, pictures or JSON.

    tables, shading, context                                   shared by others
    training, prediction, sampling, evaluation, items, difference,
    inspection, unit, comparison, runs, diagnosis              one for each kind of result
    draft, play                                                a text that is being typed, live
    plots, tensorboard                                         pictures, by optional extras

Input: a frozen result. Output: stdout, or a file. Nothing here computes what it shows.
"""
