"""The command line, one file per command: parse, call the library, show the result.

    train, sample, predict, play, eval, score, inspect, compare, export, runs, corpus
    scored   which text eval scores; rows, answers: what score reads and writes
    options  options that several commands have
    help     layout of --help; usage: messages about wrong usage

Functions import what they need when they run: `charlstm --help` loads neither torch nor numpy.
"""
