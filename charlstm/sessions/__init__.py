"""One session of training a run: trainer and store put together.

    preparation  what was asked for -> a run that can start or resume
    session      trains, saves, reports; begin here: `open_session`
    journal      the reports of a session, and the run's history
    repetition   the command that makes a run again
    keeping      models trained outside a session, by compare, become runs
    saving       when and in which order checkpoints are written

In: a `Request`. Out: `Report`s, and checkpoints in the store.
"""
