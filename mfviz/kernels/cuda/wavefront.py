"""Blocks of a grid visited by workers that lock columns, factors in half precision: cuMF_SGD.

A worker is a warp or a part of one, as in :mod:`mfviz.kernels.cuda.chunks`. One of its lanes takes
the lock of the next block's column, and waits for it alone; a worker that holds a lock runs until
it has given it back, so that somebody always moves, however many workers the device has room for.
The CPU twin is :func:`mfviz.kernels.wavefront.wavefront_until`.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels.cuda.chunks import HALVES, half_visit
from mfviz.kernels.cuda.target import cuda, inlined, kernel, types
from mfviz.kernels.cuda.vectors import held_by_lane, lanes_of, meet

__all__ = ["visit_wavefront"]

NAP_NS = 200  # between two looks at a lock that somebody holds


def _signature():
    matrix = types.Array(types.float16, 2, "C")
    number, vector = types.Array(types.int32, 1, "C"), types.Array(types.float32, 1, "C")
    places, whole = types.Array(types.int64, 1, "C"), types.int64
    return types.void(
        matrix, matrix, number, vector, places, places, number, number, *[whole] * 4,
        types.float32, types.float32,
    )  # fmt: skip


def _lanes_meet(count, shuffle):
    """Return the device function that lets the lanes of a worker wait for each other."""
    lanes = np.int64(count)

    def by_warp(lane):
        group = cuda.laneid - np.int32(lane)
        cuda.syncwarp(np.uint32(((np.int64(1) << lanes) - np.int64(1)) << np.int64(group)))

    def by_block(lane):
        meet()

    return inlined(by_warp if shuffle else by_block)


def _lock_tools(count, shuffle):
    """Return the device functions that take a column's lock and give it back.

    A fence of all lanes before and after makes them see the rows that others have written, and
    others the rows that they have.
    """
    together = _lanes_meet(count, shuffle)

    def nap():
        if shuffle:
            cuda.nanosleep(np.uint32(NAP_NS))

    nap = inlined(nap)

    def take(locks, column, counter, log, at, lane):
        if lane == 0:
            waited = np.int32(0)
            while cuda.atomic.cas(locks, column, np.int32(0), np.int32(1)) != 0:
                waited = np.int32(1)
                nap()
            log[at] = cuda.atomic.add(locks, counter, np.int32(1))
            log[at + 2] = waited
        together(lane)
        cuda.threadfence()

    def give_back(locks, column, counter, log, at, lane):
        cuda.threadfence()
        together(lane)
        if lane == 0:
            log[at + 1] = cuda.atomic.add(locks, counter, np.int32(1))
            cuda.atomic.exch(locks, column, np.int32(0))

    return inlined(take), inlined(give_back)


@kernel("visit_wavefront", _signature)
def visit_wavefront(width, shuffle):
    """Make the kernel that visits a row of blocks a worker, a column at a time.

    Parameters
    ----------
    width : int
        Columns of P and Q, a multiple of 8 up to 256.
    shuffle : bool

    Notes
    -----
    The kernel takes ``P, Q`` (rows, width) float16; the triples block by block as int32 ``ids``
    and as float32 ``values``, one memory; ``offsets`` (workers * columns + 1,) int64, places of
    the blocks; ``order`` (workers * columns,) int64, each worker's order of columns; ``locks``
    (columns + 1,) int32, all 0 but the last one, which counts; ``log`` (workers * columns * 3,)
    int32, written as :class:`mfviz.kernels.wavefront.Wave` says; the numbers of ``workers`` and
    ``columns``; the places ``low`` to ``high`` of each worker's order; and ``lr, lam`` float32.
    """
    lanes, most = np.int64(lanes_of(width, HALVES)), lanes_of(width, HALVES)
    held, real = held_by_lane(width, HALVES), types.float32
    visit_one = half_visit(width, shuffle)
    take, give_back = _lock_tools(most, shuffle)

    def visit(
        P, Q, ids, values, offsets, order, locks, log, workers, columns, low, high, lr, lam
    ):  # fmt: skip
        at = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        lane, worker = at % lanes, at // lanes
        if worker >= workers:
            return
        sums = cuda.shared.array(most, real)
        p, q = cuda.local.array(held, real), cuda.local.array(held, real)
        keep = np.float32(1.0) - lr * lam
        for v in range(low, high):
            place = worker * columns + v
            column = order[place]
            block = worker * columns + column
            take(locks, column, columns, log, 3 * place, lane)
            for t in range(offsets[block], offsets[block + 1]):
                u, i = np.int64(ids[3 * t]), np.int64(ids[3 * t + 1])
                visit_one(P, Q, u, i, values[3 * t + 2], lr, keep, lane, p, q, sums)
            give_back(locks, column, columns, log, 3 * place, lane)

    return visit
