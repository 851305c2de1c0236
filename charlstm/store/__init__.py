"""The folder of runs: the only code that touches its files.

    runs    `CheckpointStore` finds and loads runs; begin here
    writer  a run's lock, and all that is written under it

In: names and checkpoints. Out: checkpoints, the newest sound one where another is damaged. Nothing
here needs torch.
"""
