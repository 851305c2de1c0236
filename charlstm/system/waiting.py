"""Threads that wait for work: how they are kept from taking the processor from others.

Threads of torch (libgomp) and of numpy (OpenBLAS) spin while they wait for one another. Beside a
busy program, on as many cores as there are threads, the one that is waited for isn't running: steps
of training took 7 to 10 times as long, and products of small matrices 15 times. Figures in
tests/benchmarks/LOG.md.
"""

import os
from typing import Final

# Spins of libgomp before a thread sleeps: on an idle machine 2 to 6 % slower than its default.
_SPIN_COUNT: Final = "3000"
# The products that numpy makes here are small: a second thread gains a fifth at most.
_NUMPY_THREADS: Final = "1"


def calm_waiting_threads() -> None:
    """Set what the libraries read when they are loaded; what the user has set stays."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", _NUMPY_THREADS)
