"""Blocks of a grid visited by workers that lock columns, factors in half precision: cuMF_SGD.

Each worker has a row of blocks to itself and goes through it in an order of its own. Before a
block it takes the lock of that block's column, and of nothing else: no table of all blocks and no
barrier. Each taking and giving back of a lock draws a number from one counter, so that a run can
be checked, and repeated block by block.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfviz.kernels import simd, spans, waits
from mfviz.kernels.chunks import visit_halves
from mfviz.kernels.compiling import kernel, part

__all__ = ["APART", "HELD", "LOG", "Wave", "wavefront_until"]

_SEGMENT = 512  # ratings between two looks at the clock and the signal
APART = 8  # elements from one lock to the next: a cache line
HELD = 8  # columns of Wave.held
LOG = 3  # columns of Wave.log


class Wave(NamedTuple):
    """State that the workers share.

    Attributes
    ----------
    offsets : (workers * columns + 1,) int64
        Block ``worker * columns + column`` owns records ``offsets[block] : offsets[block + 1]``.
    order : (workers, columns) int64
        Columns in the order in which each worker visits them.
    locks : ((columns + 1) * 8,) int64
        Lock of each column, a cache line apart, and behind them the counter of the numbers that
        ``log`` keeps.
    log : (workers, columns, 3) int64, written
        For each of a worker's blocks in its order: the number drawn when the lock was taken, the
        one drawn when it was given back, and whether somebody else held it at first.
    held : (workers, 8) int64, updated
        Blocks that a worker has done, and the position of its next rating (-1: it has no lock).
    """

    offsets: np.ndarray
    order: np.ndarray
    locks: np.ndarray
    log: np.ndarray
    held: np.ndarray


@kernel
def wavefront_until(
    ratings, w, worker, most, most_ns, signal, P, Q, lr, lam, rows, fill
):  # fmt: skip
    """Visit the worker's blocks, each with its column's lock, until all are done or time is up.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE
        Ordered by block.
    w : Wave
    worker : int
    most, most_ns : int
        Ratings and time after which the call returns; a lock in hand is kept for the next call.
    signal
        As in :func:`mfviz.kernels.sgd.sgd_until`.
    P, Q : (m, f), (n, f) uint16, float16 by bits, f a multiple of 16, updated in place
    lr, lam : float32
    rows, fill
        As in :func:`mfviz.kernels.spans.write_span`; tags: 0 update, 2 wait, whose block is the
        one that is waited for.

    Returns
    -------
    int
        Ratings visited, or -1 if all of the worker's blocks had been done before.

    References
    ----------
    Xie, Tan, Fong, Liang, "CuMF_SGD", HPDC 2017 (wavefront-update; from what is told of it). The
    slow twin is ``tests.naive_gpu.halves``.
    """
    now = simd.clock_ns()
    until, visited, columns = now + most_ns, 0, w.order.shape[1]
    held = w.held[worker]
    if held[0] == columns:
        return -1
    while held[0] < columns and visited < most and now < until:
        col = w.order[worker, held[0]]
        block = worker * columns + col
        if held[1] < 0:
            if not _take(w, worker, col, until, signal, rows, fill):
                break
            held[1] = w.offsets[block]
            now = simd.clock_ns()
        at, end, came, start = held[1], w.offsets[block + 1], held[1], now
        while at < end and visited < most and now < until:
            stop = min(at + _SEGMENT, end, at + most - visited)
            visited += _visit(ratings, at, stop, P, Q, lr, lam)
            at, now = stop, simd.clock_ns()
            if simd.atomic_load(signal, 0) != 0:
                until = now
        if at > came:
            spans.write_span(
                rows, fill, worker, start, now, spans.KERNEL, at - came, worker, col, 0, 0
            )
        held[1] = at
        if at == end:
            _give_back(w, worker, col)
    return visited


@kernel
def _visit(ratings, start, stop, P, Q, lr, lam):
    """Visit ratings ``start`` to ``stop``; return how many they are."""
    for t in range(start, stop):
        visit_halves(ratings[t].u, ratings[t].i, ratings[t].r, P, Q, lr, lam)
    return stop - start


@kernel
def _take(w, worker, col, until, signal, rows, fill):
    """Wait for a column's lock and take it; False if a time or a signal came first."""
    place, since = w.held[worker, 0], simd.clock_ns()
    taken = simd.compare_and_swap(w.locks, col * APART, np.int64(0), np.int64(1))
    if not taken:
        w.log[worker, place, 2] = 1
        now, tries = since, 0
        while not taken and now < until and simd.atomic_load(signal, 0) == 0:
            tries += 1
            waits.relax(tries)
            if simd.atomic_load(w.locks, col * APART) == 0:
                taken = simd.compare_and_swap(w.locks, col * APART, np.int64(0), np.int64(1))
            now = simd.clock_ns()
        why = spans.NO_FREE_BLOCK
        spans.write_span(rows, fill, worker, since, now, spans.WAIT, 0, worker, col, why, 2)
    if taken:
        w.log[worker, place, 0] = _draw(w)
    return taken


@part
def _give_back(w, worker, col):
    """Release a column and go on to the next one."""
    held = w.held[worker]
    w.log[worker, held[0], 1] = _draw(w)
    waits.unlock(w.locks, col * APART)
    held[0] += 1
    held[1] = -1


@part
def _draw(w):
    """Draw the next number: call it only with a lock held."""
    return simd.atomic_add(w.locks, w.locks.shape[0] - APART, 1)
