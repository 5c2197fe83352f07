"""Cyclic coordinate descent row by row (CCD): all features of a row, then the next row.

For user u the residuals of its own ratings are enough. A pass over them finds the best value of
one feature and takes the change of the feature before off, so f passes fit a row. Its ratings stay
in cache meanwhile. Sums are float32 over ``_BLOCK`` ratings, then float64.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.bias import best_bias
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.gather import gather_column, load_run, store_run
from mfviz.kernels.metrics import dot
from mfviz.kernels.rows import take_rows
from mfviz.kernels.uncounted import uncounted

__all__ = ["fit_row", "fit_rows"]

_BLOCK = 512


@part
def _pass(e, step, Y, k, index, a, b):
    """Take ``step`` times feature ``k - 1`` off ``e``; return ``sum e y_k`` and ``sum y_k^2``."""
    top = bottom = 0.0
    back = simd.splat(-step)
    t = a
    while t + simd.LANES <= b:
        num = den = simd.splat(np.float32(0.0))
        stop = min(t + _BLOCK, b - simd.LANES + 1)
        while t < stop:
            left = load_run(e, t)
            if k > 0:
                left = simd.fma(back, gather_column(Y, k - 1, index, t), left)
                store_run(e, t, left)
            y = gather_column(Y, k, index, t)
            num = simd.fma(left, y, num)
            den = simd.fma(y, y, den)
            t += simd.LANES
        top += np.float64(simd.total(num))
        bottom += np.float64(simd.total(den))
    for s in range(t, b):
        if k > 0:
            e[s] -= step * Y[index[s], k - 1]
        y1 = Y[index[s], k]
        top += np.float64(e[s] * y1)
        bottom += np.float64(y1 * y1)
    return top, bottom


@part
def fit_row(X, x, Y, biases, index, r, e, a, b, rank, ridge):
    """Set the bias and the features of row ``x`` of X, one by one, to their best values.

    Parameters
    ----------
    X : (rows, f) float32, C-order, f a multiple of 16, updated in place
    x : int
    Y : (cols, f) float32, C-order
        The other side, read only.
    biases : kernels.bias.Biases
        ``own`` is updated in place where they are ``on``.
    index : (nnz,) int32
    r : (nnz,) float32
    e : (nnz,) float32
        Workspace; ratings ``a`` to ``b`` are written.
    a, b : int
        The row's ratings.
    rank : int
        Features that count.
    ridge : float

    Notes
    -----
    ``x_k = sum (e + x_k y_k) y_k / (ridge + sum y_k^2)``: 8f flops a rating and two gathers a
    feature of what is in cache after the first.

    References
    ----------
    Pilászy, Zibriczky, Tikk, "Fast ALS-based matrix factorization for explicit and implicit
    feedback datasets", RecSys 2010.

    See Also
    --------
    tests.naive_ccd.ccd : the slow twin.
    """
    if biases.on:
        total = 0.0
        for t in range(a, b):
            e[t] = r[t] - biases.mu - biases.other[index[t]] - dot(X, Y, x, index[t])
            total += np.float64(e[t])
        bias = best_bias(total, b - a, biases)
        biases.own[x] = bias
        for t in range(a, b):
            e[t] -= bias
    else:
        for t in range(a, b):
            e[t] = r[t] - dot(X, Y, x, index[t])
    step = np.float32(0.0)
    for k in range(rank):
        top, bottom = _pass(e, step, Y, k, index, a, b)
        was = X[x, k]
        below = ridge + bottom
        new = np.float32((top + np.float64(was) * bottom) / below) if below > 0.0 else was * 0
        X[x, k] = new
        step = new - was


@kernel
def fit_rows(
    X, Y, biases, indptr, index, r, e, low, high, size, counter, rank, lam, weighted,
    ends, rows, fill, worker, tag,
):  # fmt: skip
    """Take slices of ratings ``low`` to ``high`` (whole rows) and fit their rows.

    Parameters
    ----------
    X, Y, biases, index, r, e, rank
        As in :func:`fit_row`.
    indptr : (rows + 1,) int64
    low, high : int
        Where a row begins and where one ends.
    size : int
        Ratings of a slice.
    counter : (1,) int64
        Slices taken; shared.
    lam : float
    weighted : bool
        Whether lambda counts once for each rating of a row.
    ends : (workers, 8) int64
        Column 0 receives when this worker came to its end.
    rows, fill, worker, tag
        One span a slice is written, as of :func:`mfviz.kernels.spans.write_span`; its block is the
        first row and the last row + 1.
    """
    X, Y, biases, indptr, index, r, e = uncounted((X, Y, biases, indptr, index, r, e))
    start = simd.clock_ns()
    while True:
        first, stop = take_rows(counter, indptr, low, high, size)
        if first < 0:
            break
        for x in range(first, stop):
            a, b = indptr[x], indptr[x + 1]
            if a < b:
                ridge = lam * (b - a) if weighted else lam
                fit_row(X, x, Y, biases, index, r, e, a, b, rank, ridge)
        end = simd.clock_ns()
        if first < stop:
            visits = indptr[stop] - indptr[first]
            spans.write_span(
                rows, fill, worker, start, end, spans.KERNEL, visits, first, stop,
                spans.NO_REASON, tag,
            )  # fmt: skip
        start = end
    ends[worker, 0] = start
