"""The world outside: processes, terminals, files, signals.

distributed  the processes that train one model together (torchrun)
terminal     text from outside made safe to show
files        files that the user named as output, written whole or not at all
interrupts   signals as a request to stop
"""
