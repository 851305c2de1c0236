"""Display of results as tables, plots or JSON.

    tables, shading, context                                   used by the other views
    training, prediction, sampling, evaluation, items, difference,
    inspection, unit, comparison, runs, diagnosis              one per kind of result
    draft, play                                                interactive view of charlstm play
    plots, tensorboard                                         plots, with optional extras

Input: a frozen result. Output: stdout or a file. Views format results and compute nothing.
"""
