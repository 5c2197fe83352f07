"""The yardstick of a device's memory: the triad of STREAM, 16 bytes a load and a store.

Its counterpart on the CPU is :func:`mfviz.kernels.triad.triad`.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels.cuda.target import cuda, kernel, types
from mfviz.kernels.cuda.vectors import load_run, store_run

__all__ = ["RUNS", "THREADS", "triad"]

THREADS = 256
RUNS = 4  # of a thread, so that several loads are in flight
COLUMNS = 4  # float32 of 16 bytes


def _signature():
    runs = types.Array(types.float32, 2, "C")
    return types.void(runs, runs, runs, types.float32)


@kernel("triad", _signature, widths=(COLUMNS,))
def triad(width, shuffle):
    """Make the kernel that sets ``a = b + factor c``.

    Parameters
    ----------
    width : int
        4: columns of the arrays.
    shuffle : bool
        Both forms are one: a number is a single thread's.

    Notes
    -----
    The kernel takes ``a, b, c`` (runs, 4) float32 and ``factor`` float32; a block of
    :data:`THREADS` threads has the next :data:`RUNS` times as many runs, and the last one may have
    fewer.

    References
    ----------
    McCalpin, "Memory bandwidth and machine balance in current high performance computers", 1995.
    """
    columns = width

    def add(a, b, c, factor):
        x, y = cuda.local.array(16, types.float32), cuda.local.array(16, types.float32)
        first = np.int64(cuda.blockIdx.x) * THREADS * RUNS + cuda.threadIdx.x
        for k in range(RUNS):
            row = first + k * THREADS
            if row < a.shape[0]:
                load_run(b, row, 0, x, columns * k)
                load_run(c, row, 0, y, columns * k)
        for k in range(columns * RUNS):
            x[k] += factor * y[k]
        for k in range(RUNS):
            row = first + k * THREADS
            if row < a.shape[0]:
                store_run(a, row, 0, x, columns * k)

    return add
