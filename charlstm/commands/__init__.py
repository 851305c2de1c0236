"""The command line, a file for each command: parse, call the library, show the result.

    train, sample, predict, play, eval, score, inspect, compare, export, runs, corpus
    scored   which text eval scores; rows, answers: what score reads, and says of it
    options  options that commands share
    help     how --help looks; usage: what is said about wrong usage

Bodies import what they need when they run: `charlstm --help` loads neither torch nor numpy.
"""
