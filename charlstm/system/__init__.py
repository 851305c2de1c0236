"""Processes, terminals, files and signals.

    distributed    distributed training (torchrun)
    notebook_html  HTML for notebooks: bars, shaded text, heat maps
    terminal       terminal output, with untrusted text escaped
    progress       progress bars
    files          atomic file writes, and output files named by the user
    tensor_file    safetensors files with charlstm's metadata and a digest
    run_files      file names of a run
    interrupts     signals as requests to stop
    spinning       settings that keep idle threads from spinning

Nothing here knows the rest of the package, except its errors.
"""
