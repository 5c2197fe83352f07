"""Cyclic coordinate descent feature by feature (CCD++): passes over a residual in both orders.

The residual ``R = r - P Q^T`` lies by item and by user. To update feature t it is added back,
``R + w h^T``, the best h for w is found, then the best w for that h, and ``w h^T`` is taken off
again. Each order has one pass for this and a side: what is to be taken off of the feature before
is done in the pass that adds the next one back.

A pass gathers two or three numbers of each row of the other side that it meets. They lie side by
side (``Order.seen``), written when that side was passed over, so one index and one cache line
serve them all.

A row is one worker's, and both vectors that it is multiplied with belong to the other side, so the
result does not depend on the workers. Sums are float32 over ``_BLOCK`` ratings, then float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.gather import (
    gather,
    gather_rest,
    gather_three,
    gather_three_rest,
    gather_two,
    gather_two_rest,
    load_run,
    load_run_rest,
    store_run,
    store_run_rest,
)
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
        The side's matrix, brought up to date at the end of a call.
    XT : (rank, rows) float32
        The same by feature, which passes read and write.
    indptr, cols : (rows + 1,) int64, (nnz,) int32
    R : (nnz,) float32
        The residual, without what is pending.
    gain : (rows,) or (0,) float32
        Receives by how much each row lowered the objective, if it has room.
    seen : (rows, 2) or (rows, 4) float32
        What the other side gathers when it adds a feature back. Of users: the next feature, the
        last one. Of items: the feature as before and as it is now, and the pending one.
    """

    X: np.ndarray
    XT: np.ndarray
    indptr: np.ndarray
    cols: np.ndarray
    R: np.ndarray
    gain: np.ndarray
    seen: np.ndarray


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


@part
def _best(top, bottom, count, lam, weighted):
    """Return the best value of a number, and the curvature of the objective in it."""
    bottom += lam * count if weighted else lam
    return np.float32(top / bottom) if bottom > 0.0 else np.float32(0.0), bottom


@part
def _gained(was, new, bottom):
    """Return by how much a best step lowers the objective."""
    step = np.float64(new) - np.float64(was)
    return bottom * step * step


# The three below go through rows themselves: a call for each row, with all of its arrays, and
# counting references to them would cost as much as a hundred ratings.


@part
def _fit_items(order, users, first, stop, t, pending, lam, weighted):
    """Add feature ``t`` back to rows, take ``pending`` off, and set t to its best values."""
    indptr, cols, R, XT, mine = order.indptr, order.cols, order.R, order.XT, order.seen
    gain, seen = order.gain, users.seen
    for x in range(first, stop):
        a, b = indptr[x], indptr[x + 1]
        was = XT[t, x]
        off = XT[pending, x] if pending >= 0 else np.float32(0.0)
        back, away = simd.splat(was), simd.splat(-off)
        top, bottom = 0.0, 0.0
        while a < b:
            num = den = simd.splat(np.float32(0.0))
            end = min(a + _BLOCK, b)
            while a + simd.LANES <= end:
                y, z = gather_two(seen, cols, a)
                e = simd.fma(away, z, simd.fma(back, y, load_run(R, a)))
                store_run(R, a, e)
                num, den = simd.fma(e, y, num), simd.fma(y, y, den)
                a += simd.LANES
            if a < end:
                y, z = gather_two_rest(seen, cols, a, end - a)
                e = simd.fma(away, z, simd.fma(back, y, load_run_rest(R, a, end - a)))
                store_run_rest(R, a, e, end - a)
                num, den = simd.fma(e, y, num), simd.fma(y, y, den)
                a = end
            top += np.float64(simd.total(num))
            bottom += np.float64(simd.total(den))
        new, bottom = _best(top, bottom, b - indptr[x], lam, weighted)
        XT[t, x] = new
        mine[x, 0], mine[x, 1], mine[x, 2] = was, new, off
        if gain.shape[0] > 0:
            gain[x] = _gained(was, new, bottom)


@part
def _fit_users(order, items, first, stop, t, pending, lam, weighted):
    """Add feature ``t`` back to rows, take ``pending`` off, and set t to its best values."""
    indptr, cols, R, XT, mine = order.indptr, order.cols, order.R, order.XT, order.seen
    gain, seen, following = order.gain, items.seen, min(t + 1, order.XT.shape[0] - 1)
    for x in range(first, stop):
        a, b = indptr[x], indptr[x + 1]
        was = XT[t, x]
        off = XT[pending, x] if pending >= 0 else np.float32(0.0)
        back, away = simd.splat(was), simd.splat(-off)
        top, bottom = 0.0, 0.0
        while a < b:
            num = den = simd.splat(np.float32(0.0))
            end = min(a + _BLOCK, b)
            while a + simd.LANES <= end:
                old, y, z = gather_three(seen, cols, a)
                e = simd.fma(away, z, simd.fma(back, old, load_run(R, a)))
                store_run(R, a, e)
                num, den = simd.fma(e, y, num), simd.fma(y, y, den)
                a += simd.LANES
            if a < end:
                old, y, z = gather_three_rest(seen, cols, a, end - a)
                e = simd.fma(away, z, simd.fma(back, old, load_run_rest(R, a, end - a)))
                store_run_rest(R, a, e, end - a)
                num, den = simd.fma(e, y, num), simd.fma(y, y, den)
                a = end
            top += np.float64(simd.total(num))
            bottom += np.float64(simd.total(den))
        new, bottom = _best(top, bottom, b - indptr[x], lam, weighted)
        XT[t, x] = new
        mine[x, 0], mine[x, 1] = XT[following, x], new
        if gain.shape[0] > 0:
            gain[x] = _gained(was, new, bottom)


@part
def _fit_again(order, YT, side, first, stop, t, lam, weighted):
    """Set feature ``t``, which was added back already, to its best values."""
    indptr, cols, R, XT, mine = order.indptr, order.cols, order.R, order.XT, order.seen
    gain, other = order.gain, YT[t]
    for x in range(first, stop):
        a, b = indptr[x], indptr[x + 1]
        top, bottom = 0.0, 0.0
        while a < b:
            num = den = simd.splat(np.float32(0.0))
            end = min(a + _BLOCK, b)
            while a + simd.LANES <= end:
                y = gather(other, cols, a)
                num, den = simd.fma(load_run(R, a), y, num), simd.fma(y, y, den)
                a += simd.LANES
            if a < end:
                y, e = gather_rest(other, cols, a, end - a), load_run_rest(R, a, end - a)
                num, den = simd.fma(e, y, num), simd.fma(y, y, den)
                a = end
            top += np.float64(simd.total(num))
            bottom += np.float64(simd.total(den))
        new, bottom = _best(top, bottom, b - indptr[x], lam, weighted)
        if gain.shape[0] > 0:
            gain[x] = _gained(XT[t, x], new, bottom)
        XT[t, x] = new
        if side == 0:
            mine[x, 1] = new


@part
def _fit_rows(order, other, step, first, stop, lam, weighted):
    """Do a step (columns as in :class:`Feature`) for rows ``first`` to ``stop``."""
    side, t, pending, again = step[0], step[1], step[2], step[3]
    if again != 0:
        _fit_again(order, other.XT, side, first, stop, t, lam, weighted)
    elif side == 0:
        _fit_users(order, other, first, stop, t, pending, lam, weighted)
    else:
        _fit_items(order, other, first, stop, t, pending, lam, weighted)


@part
def _write_back(order, low, high, worker, workers):
    """Copy this worker's share of features ``low`` to ``high`` (included) from XT to X.

    Features of a row share cache lines: writing them when they change would fetch each line anew.
    """
    count = order.X.shape[0]
    for x in range(count * worker // workers, count * (worker + 1) // workers):
        for t in range(low, high + 1):
            order.X[x, t] = order.XT[t, x]


@kernel
def run_passes(
    steps, first, last, taken, slices, parts, users, items, lam, weighted,
    arrivals, waits, workers, counted, rows, fill, worker,
):  # fmt: skip
    """Do steps ``first`` to ``last`` together with the other workers, then update their X.

    Parameters
    ----------
    steps : (count, 8) int64
        Columns as in :class:`Feature`; features do not descend. A barrier follows the last one.
    first, last : int
    taken : (count,) int64
        Slices taken of each step; shared, zeros at first.
    slices : int
        Slices that a step is cut into.
    parts : int
        Passes over a side in an epoch. One over c ratings counts for c / parts visits, rounded so
        that all of them together count for c.
    users, items : Order
        ``users.seen`` must hold features 0 and ``pending`` where feature 0 begins.
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
        side, t = steps[s, 0], steps[s, 1]
        low, high, part = steps[s, 4], steps[s, 5], steps[s, 6]
        order, other = (users, items) if side == 0 else (items, users)
        size = max(1, -(-(high - low) // slices))
        begin, visits = simd.clock_ns(), 0
        while True:
            x, stop = take_rows(taken[s : s + 1], order.indptr, low, high, size)
            if x < 0:
                break
            if x < stop:
                count = order.indptr[stop] - order.indptr[x]
                visits += count * (part + 1) // parts - count * part // parts
                _fit_rows(order, other, steps[s], x, stop, lam, weighted)
        counted[worker, 0] += visits
        spans.write_span(
            rows, fill, worker, begin, simd.clock_ns(), spans.KERNEL, visits, t, t,
            spans.NO_REASON, side,
        )  # fmt: skip
        if workers > 1 and (steps[s, 7] != 0 or s == last - 1):
            waits += 1
            barrier(arrivals, waits * workers, rows, fill, worker)
    for order in (users, items):
        _write_back(order, steps[first, 1], steps[last - 1, 1], worker, workers)


@kernel
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


@kernel
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


@kernel
def rewind(indptr):
    """Set ``indptr`` back to the beginnings of the rows, after it has walked to their ends.

    Parameters
    ----------
    indptr : (rows + 1,) int64, updated in place
    """
    for k in range(len(indptr) - 1, 0, -1):
        indptr[k] = indptr[k - 1]
    indptr[0] = 0
