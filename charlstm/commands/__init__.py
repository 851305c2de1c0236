"""The command line, one file per command: parse, call the library, show the result.

    train, sample, predict, play, eval, score, inspect, compare, export, runs, corpus
    eval_text  the text that eval scores; rows, score_output: input and output of score
    options    options that several commands have in common
    help       layout of --help; usage: messages for usage errors

Commands import what they need when they run, so `charlstm --help` loads neither torch nor numpy.
"""
