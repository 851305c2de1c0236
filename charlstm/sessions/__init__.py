"""One session of training a run: trainer and store put together.

    preparation  what was asked for -> a run that can start or resume
    session      trains, saves, reports; begin here: `open_session`

In: a `Request`. Out: `Report`s, and checkpoints in the store.
"""
