"""A training run: what was asked for becomes a model that is trained, saved and found again.

    preparation  from the user's settings to a run that can start or resume
    session      one session of a run: trainer and files put together; begin here: `open_session`
    log          what a session reports, and the run's history
    saving       when and in which order checkpoints are written
    keeping      models trained outside a session become runs
    repetition   the command that makes a run again
    store        the folder of runs: finds and loads them; `CheckpointStore`
    writer       a run's lock, and all that is written under it

In: a `Request` and a `CheckpointStore`. Out: log entries, checkpoint files, loaded checkpoints.
`store`, `writer`, `log` and `repetition` need no torch.
"""
