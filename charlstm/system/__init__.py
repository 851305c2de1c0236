"""Processes, terminals, files and signals.

distributed  distributed training (torchrun)
markup       HTML for notebooks: bars, shaded text, heat maps
terminal     terminal output, with untrusted text escaped
progress     progress bars
files        atomic file writes, and output files named by the user
container    safetensors files with charlstm's metadata and a digest
layout       file names of a run
interrupts   signals as requests to stop
waiting      settings that keep idle threads from spinning
"""
