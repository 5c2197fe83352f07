"""Best biases for fixed factors, a row at a time: the closed form of coordinate descent's step.

With the factors and the other side's biases held still, the best bias of a user is

    b_u = sum_i (r_ui - mu - b_i - p_u . q_i) / (n_u + ridge)

(items: the same with the sides swapped). It is exact, so the objective cannot rise, and rows do
not depend on each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.gather import gather, load_run, store_run
from mfviz.kernels.metrics import dot
from mfviz.kernels.rows import take_rows, take_share

__all__ = ["Biases", "best_bias", "centre_rows", "step_rows"]


class Biases(NamedTuple):
    """What a kernel needs to know of the biases of a side.

    Attributes
    ----------
    own, other : (rows,), (cols,) float32
        Of the side that is updated, and of the other one; all zero where there are none.
    mu : float32
        Constant part of all predictions.
    lam : float
        Regularisation of biases.
    weighted : bool
        Whether lambda counts once for each rating of a row.
    on : bool
        Whether biases are trained.
    """

    own: np.ndarray
    other: np.ndarray
    mu: np.float32
    lam: float
    weighted: bool
    on: bool


@part
def best_bias(total, count, biases):
    """Return the best bias of a row.

    Parameters
    ----------
    total : float
        Sum of what its ``count`` ratings are without it.
    count : int
    biases : Biases
    """
    if count == 0:
        return np.float32(0.0)
    return np.float32(total / (count + biases.lam * (count if biases.weighted else 1)))


@kernel
def centre_rows(
    X, Y, biases, indptr, index, r, target, stop, share, counter, rows, fill, worker, tag
):
    """Set the biases of rows, shared with other workers, and leave what the factors explain.

    Parameters
    ----------
    X, Y : (rows, f), (cols, f) float32, C-order, f a multiple of 16
    biases : Biases
        ``own`` is updated in place; a row without ratings gets 0.
    indptr, index, r
        Ratings by row of X.
    target : (nnz,) float32, written
        ``r - mu - own - other`` of the rows' ratings.
    stop, share, counter
        As in :func:`mfviz.kernels.als.solve_rows`.
    rows, fill, worker, tag
        As in :func:`mfviz.kernels.spans.write_span`; one span, of no visits.
    """
    begin = simd.clock_ns()
    own, other, mu = biases.own, biases.other, biases.mu
    while True:
        first, last = take_share(counter, indptr, stop, share, 0)
        if first < 0:
            break
        for x in range(first, last):
            a, b = indptr[x], indptr[x + 1]
            total = 0.0
            for t in range(a, b):
                left = r[t] - mu - other[index[t]]
                target[t] = left
                total += np.float64(left - dot(X, Y, x, index[t]))
            bias = best_bias(total, b - a, biases)
            own[x] = bias
            for t in range(a, b):
                target[t] -= bias
    none = spans.NO_BLOCK
    spans.write_span(
        rows, fill, worker, begin, simd.clock_ns(), spans.KERNEL, 0, none, none,
        spans.NO_REASON, tag,
    )  # fmt: skip


@part
def _shift_row(order, x, t, YT, change):
    """Take feature ``t``, if any, and ``change`` of the other side off the residual of a row."""
    a, b = order.indptr[x], order.indptr[x + 1]
    w = order.XT[t, x] if t >= 0 else np.float32(0.0)
    y = YT[t] if t >= 0 else change
    ws, minus = simd.splat(-w), simd.splat(np.float32(-1.0))
    k = a
    while k + simd.LANES <= b:
        left = simd.fma(ws, gather(y, order.cols, k), load_run(order.R, k))
        store_run(order.R, k, simd.fma(minus, gather(change, order.cols, k), left))
        k += simd.LANES
    for s in range(k, b):
        col = order.cols[s]
        order.R[s] -= w * y[col] + change[col]


@kernel
def step_rows(
    order, YT, t, biases, change, step, low, high, size, counter, rows, fill, worker, tag
):
    """Bring slices of a residual up to date, set the rows' biases and take the change off.

    Parameters
    ----------
    order : kernels.ccdpp.Order
        Its R is updated in place.
    YT : (rank, cols) float32
        Features of the other side.
    t : int
        Feature that is still to be taken off the residual; -1: none.
    biases : Biases
        ``own`` is updated in place, unless not ``on``: then the residual is only brought up to
        date.
    change : (cols,) float32
        By how much the other side's biases grew since the residual was right.
    step : (rows,) float32, written
        By how much these did.
    low, high, size, counter
        As in :func:`mfviz.kernels.rows.take_rows`.
    rows, fill, worker, tag
        As in :func:`mfviz.kernels.spans.write_span`; one span, of no visits.
    """
    start = simd.clock_ns()
    while True:
        first, stop = take_rows(counter, order.indptr, low, high, size)
        if first < 0:
            break
        for x in range(first, stop):
            a, b = order.indptr[x], order.indptr[x + 1]
            if a == b:
                continue
            _shift_row(order, x, t, YT, change)
            if not biases.on:
                continue
            was, total = biases.own[x], 0.0
            for s in range(a, b):
                total += np.float64(order.R[s])
            new = best_bias(total + (b - a) * np.float64(was), b - a, biases)
            biases.own[x] = new
            step[x] = new - was
            for s in range(a, b):
                order.R[s] -= new - was
    none = spans.NO_BLOCK
    spans.write_span(
        rows, fill, worker, start, simd.clock_ns(), spans.KERNEL, 0, none, none,
        spans.NO_REASON, tag,
    )  # fmt: skip
