"""Settings that keep idle threads of torch and numpy from spinning.

Threads of torch (libgomp) and numpy (OpenBLAS) spin while they wait for each other. If another
program is busy and all cores are in use, spinning threads displace the one they wait for: training
steps took 7 to 10 times as long, small matrix products 15 times. See tests/benchmarks/LOG.md.
"""

import os
from typing import Final

# Spins before a libgomp thread sleeps; 2 to 6 % slower than the default on an idle machine.
_SPIN_COUNT: Final = "3000"
# Numpy's matrix products here are small: a second thread makes them at most 20 % faster.
_NUMPY_THREADS: Final = "1"


def limit_spinning() -> None:
    """Set the libraries' environment variables before they are loaded, unless the user has."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", _NUMPY_THREADS)
