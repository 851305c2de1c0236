"""One training run: requested, trained, saved, and found again.

    preparation  the user's settings -> a run that can start or resume
    session      one session of a run: trainer and files together; start here: `open_session`
    log          what a session reports, and the run's history
    saving       when and in which order checkpoints are written
    keeping      models trained outside a session become runs
    repetition   the command that repeats a run
    store        the folder of runs: finds and loads them; `CheckpointStore`
    writer       a run's lock, and all that is written under it

Input: a `Request` and a `CheckpointStore`. Output: log entries, checkpoint files, loaded
checkpoints. `store`, `writer`, `log` and `repetition` need no torch.
"""
