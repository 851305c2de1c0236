"""Runs of the program in a pseudo-terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios


def in_a_terminal(tmp_path, arguments, *, size=(24, 80), keys=(), code=0, **environment):
    """Run the program in a pseudo-terminal and return its output.

    Args:
        keys: pairs of bytes: after the program has written the first, the second is typed.
        code: what it has to exit with.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-m", "charlstm", *map(str, arguments)],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    written, keys = b"", list(keys)
    awaited_from = 0
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
        while keys and (place := written.find(keys[0][0], awaited_from)) >= 0:
            awaited_from = place + len(keys[0][0])
            os.write(ours, keys.pop(0)[1])
    os.close(ours)
    assert child.wait() == code, written
    return written.decode("utf-8")
