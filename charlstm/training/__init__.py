"""From an encoded text and a budget to a trained model.

    recipe        settings that the user left open, from text, machine and budget
    probe         how long a step takes, measured
    hardware      device and precision
    threads       how many CPU threads make the fastest steps
    memory        how much memory a training takes, and how much is free
    batches       windows of the training text
    lists         batches of whole short documents
    pieces        a window cut where documents begin
    bptt          one gradient step of truncated backpropagation through time
    graphs        the same as a CUDA graph, launched at once
    head          the loss of the output layer and its gradient, in chunks
    optimization  Muon, AdamW, the learning-rate schedule
    losses        what became of gradient steps, counted
    pacing        progress along a budget of steps or minutes
    forecast      how many epochs a run will have read, which its dropout follows
    trainer       the loop, a generator of events; begin here: `Trainer.run`

In: a `Split` and settings. Out: events (see `charlstm.events`), weights and a state to resume from.
It knows no files: what is saved, and when, is decided in `run`.
"""
