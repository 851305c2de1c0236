"""From an encoded text and a budget to a trained model.

    recipe        settings that the user left open, from text, machine and budget
    probe         how long a step takes, and with how many CPU threads it is fastest
    hardware      device, precision, threads, memory
    batches       windows of the training text, and how one is cut where documents begin
    lists         batches of whole short documents
    bptt          one gradient step of truncated backpropagation through time
    graphs        the same as a CUDA graph, launched at once
    losses        the loss of the output layer in chunks, and what became of steps, counted
    optimization  Muon, AdamW, the learning-rate schedule
    pacing        progress along a budget, and the epochs at its end, which dropout follows
    state         reading a training state from a checkpoint
    trainer       the loop, a generator of events; begin here: `Trainer.run`

In: a `Split` and settings. Out: events (see `charlstm.events`), weights and a state to resume from.
It knows no files: what is saved, and when, is decided in `run`.
"""
