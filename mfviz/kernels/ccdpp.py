"""Cyclic coordinate descent feature by feature (CCD++): passes over a residual in both orders.

The residual ``R = r - P Q^T`` lies by item and by user. To update feature t it is added back,
``R + w h^T``, the best h for w is found, then the best w for that h, and ``w h^T`` is taken off
again. Each order has one pass for this and a side: what is to be taken off of the feature before
is done in the pass that adds the next one back.

A row is one worker's, and both vectors that it is multiplied with belong to the other side, so the
result does not depend on the workers. Sums are float32 over ``_BLOCK`` ratings, then float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.gather import gather, load_run, store_run
from mfviz.kernels.metrics import dot
from mfviz.kernels.rows import take_rows
from mfviz.kernels.strata import barrier

__all__ = ["Feature", "Order", "refresh", "rewind", "run_passes", "subtract_model"]

_BLOCK = 512


class Order(NamedTuple):
    """One order of the residual, with the factors of the side that it is grouped by.

    Attributes
    ----------
    X : (rows, f) float32
        The side's matrix, whose column is written too.
    XT : (rank, rows) float32
        The same by feature.
    indptr, cols : (rows + 1,) int64, (nnz,) int32
    R : (nnz,) float32
        The residual, without what is pending.
    gain : (rows,) or (0,) float32
        Receives by how much each row lowered the objective, if it has room.
    """

    X: np.ndarray
    XT: np.ndarray
    indptr: np.ndarray
    cols: np.ndarray
    R: np.ndarray
    gain: np.ndarray


class Feature(NamedTuple):
    """Columns of a step: what is passed over, and what then happens.

    ``side`` (0 users, 1 items), ``t``, ``pending`` (feature to be taken off, -1: none), ``again``
    (whether t was added back already), ``low`` and ``high`` (ratings, whole rows), ``part`` (of
    all passes of an epoch over this side, for counting) and ``waits`` (a barrier follows).
    """

    side: int
    t: int
    pending: int
    again: int
    low: int
    high: int
    part: int
    waits: int


@numba.njit(nogil=True, cache=True, inline="always")
def _sums(R, y, index, a, b):
    """Return ``sum R y`` and ``sum y^2`` over ratings ``a`` to ``b``."""
    top = bottom = 0.0
    t = a
    while t + simd.LANES <= b:
        num = den = simd.splat(np.float32(0.0))
        stop = min(t + _BLOCK, b - simd.LANES + 1)
        while t < stop:
            new = gather(y, index, t)
            num = simd.fma(load_run(R, t), new, num)
            den = simd.fma(new, new, den)
            t += simd.LANES
        top += np.float64(simd.total(num))
        bottom += np.float64(simd.total(den))
    for s in range(t, b):
        new1 = y[index[s]]
        top += np.float64(R[s] * new1)
        bottom += np.float64(new1 * new1)
    return top, bottom


@numba.njit(nogil=True, cache=True, inline="always")
def _sums_one(R, x, y, off, z, index, a, b):
    """Add ``x y - off z`` to R over ratings ``a`` to ``b``, then as :func:`_sums` with y."""
    top = bottom = 0.0
    xs, offs = simd.splat(x), simd.splat(-off)
    t = a
    while t + simd.LANES <= b:
        num = den = simd.splat(np.float32(0.0))
        stop = min(t + _BLOCK, b - simd.LANES + 1)
        while t < stop:
            new = gather(y, index, t)
            e = simd.fma(offs, gather(z, index, t), simd.fma(xs, new, load_run(R, t)))
            store_run(R, t, e)
            num = simd.fma(e, new, num)
            den = simd.fma(new, new, den)
            t += simd.LANES
        top += np.float64(simd.total(num))
        bottom += np.float64(simd.total(den))
    for s in range(t, b):
        new1 = y[index[s]]
        R[s] += x * new1 - off * z[index[s]]
        top += np.float64(R[s] * new1)
        bottom += np.float64(new1 * new1)
    return top, bottom


@numba.njit(nogil=True, cache=True, inline="always")
def _sums_two(R, x, old, y, off, z, index, a, b):
    """Add ``x old - off z`` to R over ratings ``a`` to ``b``, then as :func:`_sums` with y."""
    top = bottom = 0.0
    xs, offs = simd.splat(x), simd.splat(-off)
    t = a
    while t + simd.LANES <= b:
        num = den = simd.splat(np.float32(0.0))
        stop = min(t + _BLOCK, b - simd.LANES + 1)
        while t < stop:
            new = gather(y, index, t)
            e = simd.fma(xs, gather(old, index, t), load_run(R, t))
            e = simd.fma(offs, gather(z, index, t), e)
            store_run(R, t, e)
            num = simd.fma(e, new, num)
            den = simd.fma(new, new, den)
            t += simd.LANES
        top += np.float64(simd.total(num))
        bottom += np.float64(simd.total(den))
    for s in range(t, b):
        new1 = y[index[s]]
        R[s] += x * old[index[s]] - off * z[index[s]]
        top += np.float64(R[s] * new1)
        bottom += np.float64(new1 * new1)
    return top, bottom


@numba.njit(nogil=True, cache=True)
def _pass_row(order, x, YT, old, side, t, pending, again, lam, weighted):
    """Find the best value of feature ``t`` of row ``x``; an empty row has 0.

    ``old`` are the items' values of feature t before this feature's first pass over the items,
    which writes them: the users' residual still has those.
    """
    a, b = order.indptr[x], order.indptr[x + 1]
    mine = order.XT[t]
    was, y = mine[x], YT[t]
    if again != 0:
        top, bottom = _sums(order.R, y, order.cols, a, b)
    else:
        off, z = np.float32(0.0), y
        if pending >= 0:
            off, z = order.XT[pending, x], YT[pending]
        if side == 1:
            old[x] = was
            top, bottom = _sums_one(order.R, was, y, off, z, order.cols, a, b)
        else:
            if pending == t:  # rank 1: the items' values to be taken off are those of before
                z = old
            top, bottom = _sums_two(order.R, was, old, y, off, z, order.cols, a, b)
    bottom += lam * (b - a) if weighted else lam
    new = np.float32(top / bottom) if bottom > 0.0 else np.float32(0.0)
    mine[x] = new
    order.X[x, t] = new
    if order.gain.shape[0] > 0:
        step = np.float64(new) - np.float64(was)
        order.gain[x] = bottom * step * step


@numba.njit(nogil=True, cache=True)
def run_passes(
    steps, first, last, taken, slices, parts, users, items, old, lam, weighted,
    arrivals, waits, workers, counted, rows, fill, worker,
):  # fmt: skip
    """Do steps ``first`` to ``last`` together with the other workers.

    Parameters
    ----------
    steps : (count, 8) int64
        Columns as in :class:`Feature`.
    first, last : int
    taken : (count,) int64
        Slices taken of each step; shared, zeros at first.
    slices : int
        Slices that a step is cut into.
    parts : int
        Passes over a side in an epoch. One over c ratings counts for c / parts visits, rounded so
        that all of them together count for c.
    users, items : Order
    old : (n,) float32
        Workspace: the items' values of the feature before its first pass.
    lam : float
    weighted : bool
        Whether lambda counts once for each rating of a row.
    arrivals : (8,) int64
        Of :func:`mfviz.kernels.strata.barrier`.
    waits : int
        Barriers passed before.
    workers : int
    counted : (workers, 8) int64
        Column 0: visits counted by each worker.
    rows, fill, worker
        As in :func:`mfviz.kernels.spans.write_span`: one span a step, its block is the feature
        twice, its tag the side.
    """
    for s in range(first, last):
        side, t, pending, again = steps[s, 0], steps[s, 1], steps[s, 2], steps[s, 3]
        low, high, part = steps[s, 4], steps[s, 5], steps[s, 6]
        order, YT = (users, items.XT) if side == 0 else (items, users.XT)
        size = max(1, -(-(high - low) // slices))
        begin, visits = simd.clock_ns(), 0
        while True:
            x, stop = take_rows(taken[s : s + 1], order.indptr, low, high, size)
            if x < 0:
                break
            if x < stop:
                count = order.indptr[stop] - order.indptr[x]
                visits += count * (part + 1) // parts - count * part // parts
            while x < stop:
                _pass_row(order, x, YT, old, side, t, pending, again, lam, weighted)
                x += 1
        counted[worker, 0] += visits
        spans.write_span(
            rows, fill, worker, begin, simd.clock_ns(), spans.KERNEL, visits, t, t,
            spans.NO_REASON, side,
        )  # fmt: skip
        if workers > 1 and steps[s, 7] != 0:
            waits += 1
            barrier(arrivals, waits * workers, rows, fill, worker)


@numba.njit(nogil=True, cache=True)
def subtract_model(X, Y, bx, by, mu, indptr, index, R, first, stop):
    """Take ``mu + bx[x] + by[y] + X[x] . Y[y]`` off rows ``first`` to ``stop`` of a residual.

    Parameters
    ----------
    X, Y : (rows, f), (cols, f) float32, C-order, f a multiple of 16
    bx, by : (rows,), (cols,) float32
    mu : float32
    indptr : (rows + 1,) int64
    index : (nnz,) int32
    R : (nnz,) float32, updated in place
    first, stop : int
    """
    for x in range(first, stop):
        for t in range(indptr[x], indptr[x + 1]):
            R[t] -= mu + bx[x] + by[index[t]] + dot(X, Y, x, index[t])


@numba.njit(nogil=True, cache=True)
def refresh(row, col, r, start, stop, X, Y, bx, by, mu, pending, indptr, R, repair):
    """Compute the residual of ratings ``start`` to ``stop`` anew and return its largest drift.

    Parameters
    ----------
    row, col : (nnz,) int32
        Ratings in the order from which they were grouped.
    r : (nnz,) float32
    start, stop : int
    X, Y : (rows, f), (cols, f) float32, C-order, f a multiple of 16
    bx, by : (rows,), (cols,) float32
    mu : float32
    pending : int
        Feature that is still to be taken off the old residual; -1: none.
    indptr : (rows + 1,) int64, updated in place
        Walks on as in ``group_by_row``; :func:`rewind` it after the last rating.
    R : (nnz,) float32
    repair : bool
        Whether R is updated in place, or only compared.

    Returns
    -------
    float
    """
    drift = 0.0
    for t in range(start, stop):
        x, y = row[t], col[t]
        at = indptr[x]
        indptr[x] = at + 1
        before = R[at]
        if pending >= 0:
            before -= X[x, pending] * Y[y, pending]
        wanted = r[t] - (mu + bx[x] + by[y] + dot(X, Y, x, y))
        drift = max(drift, abs(np.float64(before) - np.float64(wanted)))
        if repair:
            R[at] = wanted
    return drift


@numba.njit(nogil=True, cache=True)
def rewind(indptr):
    """Set ``indptr`` back to the beginnings of the rows, after it has walked to their ends.

    Parameters
    ----------
    indptr : (rows + 1,) int64, updated in place
    """
    for k in range(len(indptr) - 1, 0, -1):
        indptr[k] = indptr[k - 1]
    indptr[0] = 0
