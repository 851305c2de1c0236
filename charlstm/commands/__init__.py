"""The command line, one file per command: parse, call the library, show the result.

    train, sample, predict, play, eval, score, inspect, compare, export, runs, corpus
    rows     rows of score: read, scored, written

Commands import what they need when they run, so `charlstm --help` loads neither torch nor numpy.
"""
