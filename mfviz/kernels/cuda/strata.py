"""Strata of a grid of blocks, a thread a row block: GPUSGD's kernel.

The ratings of a block are visited by one thread, which reads and writes both rows 16 bytes at a
time. The row blocks of a thread block meet at a barrier after each stratum of theirs; those of
different thread blocks share no column until the next launch. The CPU twin is
:func:`mfviz.kernels.strata.run_steps`.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels.cuda.target import cuda, inlined, kernel, types
from mfviz.kernels.cuda.vectors import load_run, store_run

__all__ = ["visit_strata"]


def _signature():
    matrix, vector = types.Array(types.float32, 2, "C"), types.Array(types.float32, 1, "C")
    number, places = types.Array(types.int32, 1, "C"), types.Array(types.int64, 1, "C")
    return types.void(
        matrix, matrix, vector, vector, number, vector, places, types.Array(types.int64, 2, "C"),
        types.int64, types.int64, *[types.float32] * 5, types.boolean,
    )  # fmt: skip


@inlined
def _product(P, Q, u, i, columns, p, q):
    """Dot product of two rows."""
    z = np.float32(0.0)
    for c in range(0, columns, 4):
        load_run(P, u, c, p, 0)
        load_run(Q, i, c, q, 0)
        for k in range(4):
            z += p[k] * q[k]
    return z


@inlined
def _update(P, Q, u, i, columns, keep, step, p, q):
    """Take a step with both rows, each from the old values of the other."""
    for c in range(0, columns, 4):
        load_run(P, u, c, p, 0)
        load_run(Q, i, c, q, 0)
        for k in range(4):
            a, b = p[k], q[k]
            p[k] = step * b + keep * a
            q[k] = step * a + keep * b
        store_run(P, u, c, p, 0)
        store_run(Q, i, c, q, 0)


@kernel("visit_strata", _signature, meets=1)
def visit_strata(width, shuffle):
    """Make the kernel that visits strata of blocks.

    Parameters
    ----------
    width : int
        Columns of P and Q, a multiple of 4.
    shuffle : bool
        Both forms are one: a rating is a single thread's.

    Notes
    -----
    The kernel takes ``P, Q`` (rows, width) float32; biases ``bu, bi``; the triples (u, i, r) block
    by block as int32 ``ids`` and as float32 ``values``, one memory; ``offsets`` (d d + 1,) int64,
    places of the blocks; ``strata`` (d, d) int64, the column block of each row block (columns) in
    each stratum (rows); the strata ``low`` to ``high`` to visit; then the rates. Thread t of block
    g has row block ``g threads + t``. Threads whose block is shorter wait at the barrier.
    """
    columns, real = np.int64(width), types.float32

    def visit(
        P, Q, bu, bi, ids, values, offsets, strata, low, high, mu, lr, lam, lr_bias, lam_bias,
        biased,
    ):  # fmt: skip
        p, q = cuda.local.array(4, real), cuda.local.array(4, real)
        own = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        first = own * strata.shape[0]
        keep = np.float32(1.0) - lr * lam
        for s in range(low, high):
            block = first + strata[s, own]
            for t in range(offsets[block], offsets[block + 1]):
                u, i = np.int64(ids[3 * t]), np.int64(ids[3 * t + 1])
                z = mu + _product(P, Q, u, i, columns, p, q)
                if biased:
                    z += bu[u] + bi[i]
                error = values[3 * t + 2] - z
                _update(P, Q, u, i, columns, keep, lr * error, p, q)
                if biased:
                    bu[u] += lr_bias * (error - lam_bias * bu[u])
                    bi[i] += lr_bias * (error - lam_bias * bi[i])
            cuda.syncthreads()

    return visit
