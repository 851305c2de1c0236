"""The command line, one file per command: parse, call the library, show the result.

    train, sample, predict, play, eval, score, inspect, compare, export, runs, corpus
    rows     rows of score: read, scored, written
    texts    texts that commands read, and what eval scores of them
    options  options that several commands have in common
    help     layout of --help, and messages for usage errors

Commands import what they need when they run, so `charlstm --help` loads neither torch nor numpy.
"""
