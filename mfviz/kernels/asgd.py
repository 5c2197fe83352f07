"""Alternating SGD: rows of one side walk through their ratings while the other side is frozen.

A row is written by one worker and the other side by nobody, so the result does not depend on who
does which row. The two-sided solvers differ in when the other side moves: asgd after a barrier,
apsgd at any time.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.fractional import take_step
from mfviz.kernels.rows import shuffle_row, take_rows

__all__ = ["visit_row", "visit_rows"]

_AHEAD = 6  # ratings whose rows of the other side are asked for before they are needed


@part
def visit_row(X, x, Y, bx, by, index, r, first, stop, rates):
    """Update row ``x`` of X and its bias by its ratings ``first`` to ``stop``, one by one.

    Parameters
    ----------
    X : (rows, f) float32, C-order, f a multiple of 16, updated in place
    x : int
    Y : (cols, f) float32, C-order
        The other side, read only.
    bx, by : (rows,), (cols,) float32
        Biases of both sides; ``bx[x]`` is updated where ``rates.biased``.
    index : (nnz,) int32
    r : (nnz,) float32
    first, stop : int
    rates : mfviz.kernels.sgd.Rates or mfviz.kernels.fractional.Fractional

    Notes
    -----
    ``e = r - mu - bx - by - x.y``, ``x += lr (e y - lam x)``: 5f flops and 8 + 4f bytes a rating.

    References
    ----------
    Luo, Liu, Gou, Xia, Zhu, "A parallel matrix factorization based recommender by alternating
    stochastic gradient decent", 2012.

    See Also
    --------
    tests.naive_descent.asgd : the slow twin.
    """
    for t in range(first, stop):
        if t + _AHEAD < stop:
            for k in range(0, Y.shape[1], simd.LANES):
                simd.prefetch(Y, index[t + _AHEAD], k)
        y = index[t]
        acc = simd.splat(np.float32(0.0))
        for k in range(0, X.shape[1], simd.LANES):
            acc = simd.fma(simd.load(X, x, k), simd.load(Y, y, k), acc)
        z = rates.mu + simd.total(acc)
        if rates.biased:
            z += bx[x] + by[y]
        e = r[t] - z
        take_step(X, x, Y, y, t, e, rates)
        if rates.biased:
            bx[x] += rates.lr_bias * (e - rates.lam_bias * bx[x])


@kernel
def visit_rows(
    X, Y, bx, by, indptr, index, r, base, low, high, size, most_ns, counter, seed, rates,
    ends, rows, fill, worker, tag,
):  # fmt: skip
    """Take slices of ratings ``low`` to ``high`` and visit their rows until none is left.

    Parameters
    ----------
    X, Y, bx, by, index, r, rates
        As in :func:`visit_row`.
    indptr : (rows + 1,) int64 or int32
    base : int
        Position of the first element of ``index`` and ``r``: not 0 where they hold one batch.
    low, high : int
        Rows that begin before ``low`` or end after ``high`` are visited in part.
    size : int
        Ratings of a slice.
    most_ns : int
        Time after which no further slice is taken.
    counter : (1,) int64
        Slices taken; shared.
    seed : uint64
        A row's ratings are shuffled before its first; 0: they are visited in the order they have.
    ends : (workers, 8) int64
        Column 0 receives when this worker came to its end, column 1 the ratings it has visited in
        all, column 2 whether it found no slice left.
    rows, fill, worker, tag
        One span a slice is written, as of :func:`mfviz.kernels.spans.write_span`; its block is the
        first row and the last row + 1.
    """
    begin = start = simd.clock_ns()
    while start - begin < most_ns:
        first, stop = take_rows(counter, indptr, low, high, size)
        if first < 0:
            ends[worker, 2] = 1
            break
        visits = 0
        for x in range(first, stop):
            a, b = max(indptr[x], low), min(indptr[x + 1], high)
            if seed != 0 and a == indptr[x]:
                shuffle_row(index, r, a - base, indptr[x + 1] - base, seed, x)
            visit_row(X, x, Y, bx, by, index, r, a - base, b - base, rates)
            visits += b - a
        end = simd.clock_ns()
        if visits > 0:
            spans.write_span(
                rows, fill, worker, start, end, spans.KERNEL, visits, first, stop,
                spans.NO_REASON, tag,
            )  # fmt: skip
        ends[worker, 1] += visits
        start = end
    ends[worker, 0] = start
