"""What commands are given.

    options  options that several commands have in common; declared settings become options
    texts    texts that commands read, and what eval scores of them
    help     layout of --help, and messages for usage errors

Input: the command line. Output: options, a loaded `Model`, encoded texts.
"""
