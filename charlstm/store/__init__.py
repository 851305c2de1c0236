"""The folder of runs: the only code that touches its files.

    runs  `CheckpointStore` reads, `RunWriter` holds a run's lock and writes

In: names and checkpoints. Out: checkpoints, the newest sound one where another is damaged. Nothing
here needs torch.
"""
