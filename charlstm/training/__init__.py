"""Training: from an encoded text and a budget to a trained model.

    auto_config     auto-configuration of the settings that the user left open
    step_benchmark  step benchmarks: model sizes before a run, CPU threads also during it
    hardware        device, precision, threads, memory
    batches         truncated-BPTT batches, and their packing into document segments
    bucketing       length-bucketed batches of complete documents
    bptt            one gradient step of truncated backpropagation through time
    graphs          gradient steps as CUDA graphs
    head            cross-entropy of the output layer, in chunks
    loss_meter      running training-loss statistics
    optimization    Muon, AdamW, learning-rate schedule; entries of a state_dict
    budgets         training budgets: progress, and expected epochs
    trainer         the training loop, evaluation and early stopping; start here: `Trainer.run`

Input: an `EncodedText` and settings. Output: events (see `charlstm.events`), weights and a
`state_dict` for resuming. This package writes no files; `run` decides what to save and when.
"""
