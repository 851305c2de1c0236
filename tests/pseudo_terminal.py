"""The program in a terminal of a chosen size."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios


def in_a_terminal(tmp_path, arguments, *, size=(24, 80), **environment):
    """Run the program in a pseudo-terminal; gives all that was written to it."""
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
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert child.wait() == 0, written
    return written.decode("utf-8")
