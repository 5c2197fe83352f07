"""Chunks of consecutive ratings visited by racing workers, factors in half precision: cuMF_SGD.

A worker is a warp or a part of one, as wide as 16-byte loads of halves make a row. It walks
through its chunks rating by rating and writes both rows back, whoever else may be at them. The
arithmetic is float32. The CPU twin is :func:`mfviz.kernels.chunks.visit_chunks`.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels.cuda.target import cuda, inlined, kernel, types
from mfviz.kernels.cuda.vectors import held_by_lane, lanes_of, row_sum, row_tools

__all__ = ["HALVES", "half_visit", "visit_chunks"]

HALVES = 8  # numbers of a 16-byte load


def half_visit(width, shuffle):
    """Return the device function that visits one rating and rounds both rows to float16.

    Parameters
    ----------
    width : int
    shuffle : bool

    Returns
    -------
    callable
        ``visit(P, Q, u, i, r, lr, keep, lane, p, q, sums)`` with ``keep`` = 1 - lr lam, called by
        all lanes of a row; ``p`` and ``q`` are local and have room for a lane's part of a row,
        ``sums`` is shared and has room for a number a lane.
    """
    held = held_by_lane(width, HALVES)
    (load, store), total = row_tools(width, HALVES), row_sum(width, shuffle, HALVES)

    def visit(P, Q, u, i, r, lr, keep, lane, p, q, sums):
        load(P, u, lane, p)
        load(Q, i, lane, q)
        s = np.float32(0.0)
        for k in range(held):
            s += p[k] * q[k]
        step = lr * (r - total(s, lane, sums))
        for k in range(held):
            a, b = p[k], q[k]
            p[k] = step * b + keep * a
            q[k] = step * a + keep * b
        store(P, u, lane, p)
        store(Q, i, lane, q)

    return inlined(visit)


def _signature():
    matrix = types.Array(types.float16, 2, "C")
    number, vector = types.Array(types.int32, 1, "C"), types.Array(types.float32, 1, "C")
    starts, whole = types.Array(types.int64, 1, "C"), types.int64
    return types.void(
        matrix, matrix, number, vector, starts, *[whole] * 6, types.float32, types.float32
    )


@kernel("visit_chunks", _signature)
def visit_chunks(width, shuffle):
    """Make the kernel that visits chunks of ratings and updates the rows of both sides.

    Parameters
    ----------
    width : int
        Columns of P and Q, a multiple of 8 up to 256.
    shuffle : bool

    Notes
    -----
    The kernel takes ``P, Q`` (rows, width) float16; the triples as int32 ``ids`` and as float32
    ``values``, one memory, and their number ``nnz``; ``starts`` (workers * per,) int64, ``per``
    chunks a worker of ``length`` ratings; the number of ``workers``; the visits ``low`` to
    ``high`` of each; and ``lr, lam`` float32. A chunk goes on at the first rating after the last.
    """
    lanes, most = np.int64(lanes_of(width, HALVES)), lanes_of(width, HALVES)
    held, real = held_by_lane(width, HALVES), types.float32
    visit_one = half_visit(width, shuffle)

    def visit(P, Q, ids, values, starts, nnz, per, length, workers, low, high, lr, lam):
        at = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        lane, worker = at % lanes, at // lanes
        if worker >= workers:
            return
        sums = cuda.shared.array(most, real)
        p, q = cuda.local.array(held, real), cuda.local.array(held, real)
        keep = np.float32(1.0) - lr * lam
        for v in range(low, high):
            t = (starts[worker * per + v // length] + v % length) % nnz
            u, i = np.int64(ids[3 * t]), np.int64(ids[3 * t + 1])
            visit_one(P, Q, u, i, values[3 * t + 2], lr, keep, lane, p, q, sums)

    return visit
