"""Training runs: starting, resuming, storing and loading them.

    preparation     the user's settings -> a run that can start or resume
    session         one session of a run: trainer and files; start here: `open_session`
    log             log entries of a session, and the run's history
    saving          when and in which order checkpoints are written; other models saved as runs
    repeat_command  the command that repeats a run
    store           the folder of runs, for reading; `CheckpointStore`
    writer          a run's lock and files, for writing

Input: a `Request` and a `CheckpointStore`. Output: log entries, checkpoint files, loaded
checkpoints. `store`, `writer`, `log` and `repeat_command` need no torch.
"""
