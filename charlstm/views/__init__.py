"""Display of results as tables, plots or JSON.

    tables                                                     used by the other views
    training, sampling, evaluation, items,
    comparison, inspection, unit, runs, diagnosis              one per kind of result
    draft, play                                                interactive view of charlstm play
    plots                                                      plots, with optional extras

Input: a frozen result. Output: stdout or a file. Views format results and compute nothing.
"""
