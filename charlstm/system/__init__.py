"""The outside world: processes, terminals, files, signals.

distributed  the processes that train one model together (torchrun)
markup       results in a notebook: bars, shaded text, heat maps
terminal     text from outside, escaped for display
progress     the progress bar
files        files written completely or not at all; output that the user named
container    safetensors files with charlstm's metadata and a digest
layout       the names of the files of a run
interrupts   signals as a request to stop
waiting      threads that wait for work without using the processor
"""
