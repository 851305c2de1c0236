"""The world outside: processes, terminals, files, signals.

distributed  the processes that train one model together (torchrun)
markup       results in a notebook: bars, shaded text, heat maps
terminal     text from outside made safe to show
progress     the progress bar
files        files written whole or not at all; output that the user named
container    safetensors files with a header of charlstm's own and a digest
layout       the names of a store's files
interrupts   signals as a request to stop
waiting      threads that wait for work without taking the processor
"""
