"""Train a model on an encoded text within a budget.

    recipe        auto-configuration: settings from text, machine and budget
    probe         step benchmark: a step's time, and the fastest number of CPU threads
    hardware      device, precision, threads, memory
    batches       truncated-BPTT batches, and windows split at document starts
    lists         length-bucketed batches of whole short documents
    bptt          one gradient step of truncated backpropagation through time (BPTT)
    graphs        the same as one CUDA graph
    losses        the output layer's loss in chunks; the loss meter
    optimization  Muon, AdamW, the learning-rate schedule
    pacing        the budget: progress, and the forecast of epochs that dropout follows
    state         the training state in a checkpoint, read
    trainer       the loop, a generator of events; start here: `Trainer.run`

Input: a `Split` and settings. Output: events (see `charlstm.events`), weights, and a state to
resume from. Nothing here knows files: `run` decides what is saved, and when.
"""
