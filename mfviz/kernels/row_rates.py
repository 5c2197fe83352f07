"""LIBMF's learning-rate rule, one rate a row and part, on the ratings of a block.

A block's ratings are ordered by one side: those of one row x of that side are a run, in which the
row and its sums stay in registers while the rows y of the other side stream by. Every rating
is a step of its own, from the values that the one before left: only the arithmetic is arranged so
that the sums of squares come out of the same reduction as the dot product.

References
----------
Chin, Zhuang, Juan, Lin, PAKDD 2015 (RPCS: one learning rate a row, the first eight features apart
from the rest).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from mfviz.kernels import fours, registers, simd
from mfviz.kernels.compiling import PART, kernel, part

__all__ = ["SLOW", "RowRates", "measure_norms", "visit_block"]

SLOW = 8  # features that have a sum of their own, the only ones trained in the first iteration
_AHEAD = 8  # ratings whose rows are asked for before they are needed
_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)


class RowRates(NamedTuple):
    """Settings of the rule; all numbers float32.

    ``per_slow`` and ``per_fast`` are one over the number of features that a sum of squares covers;
    ``fast`` is False in the first iteration, in which only the slow features are trained.
    """

    lr: np.float32
    lam: np.float32
    per_slow: np.float32
    per_fast: np.float32
    fast: bool


@kernel
def measure_norms(A, G, worker, workers):
    """Write the squared norms of rows of A, slow and fast, to columns 2 and 3 of G.

    Parameters
    ----------
    A : (rows, f) float32
    G : (rows, 4) float32, updated in place
    worker, workers : int
        This worker takes every ``workers``-th row.

    Notes
    -----
    Done before each iteration: what rounding adds to norms that only follow steps is forgotten.
    """
    for row in range(worker, A.shape[0], workers):
        first = simd.load(A, row, 0)
        squares = simd.mul(first, first)
        slow, total = simd.low_sum(squares), simd.high_sum(squares)
        for k in range(simd.LANES, A.shape[1], simd.LANES):
            part = simd.load(A, row, k)
            total += simd.total(simd.mul(part, part))
        G[row, 2], G[row, 3] = slow, total


def visit_block(ratings, start, stop, X, Y, GX, GY, rates, parts):
    """Visit records ``start`` to ``stop`` in their order; updates X, Y, GX and GY in place.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE
        Its ``u`` is the row of X and its ``i`` that of Y, whichever of them are the users. Values
        are divided by their standard deviation, as LIBMF does.
    start, stop : int
    X, Y : (rows, f), (cols, f) float32, C-order, f a multiple of 16, updated in place
    GX, GY : (rows, 4), (cols, 4) float32, updated in place
        Sums of squared gradients of each row, slow and fast features, 1 at first; then the row's
        own squared norms, slow and fast, from :func:`measure_norms`.
    rates : RowRates
    parts : tuple
        ``registers.parts_of(f)`` to keep x in registers, or () for any f.

    Notes
    -----
    ``g_x = lam x - e y``; ``x -= lr / sqrt(G) g_x`` with G *before* ``G += |g_x|^2 / k`` of its
    part; the same for y, from the old x. In registers the step is written
    ``x = (1 - lr / sqrt(G) lam) x + lr / sqrt(G) e y`` and
    ``|g_x|^2 = lam^2 |x|^2 - 2 lam e x.y + e^2 |y|^2``, and the squared norms follow each step in
    the same way: only x.y is summed over the features. About 8f flops a rating; reads and writes
    Y[i] and, once a run, X[u]. No race: who holds a block is alone with its rows and columns.

    See Also
    --------
    tests.naive.fpsgd : the slow twin, which replays a recorded schedule.
    """
    raise NotImplementedError("for compiled code only")


@overload(visit_block, jit_options={**PART, "error_model": "numpy"}, inline="never")
def _visit_block(ratings, start, stop, X, Y, GX, GY, rates, parts):
    return _in_registers if len(parts) else _in_memory


def _in_registers(ratings, start, stop, X, Y, GX, GY, rates, parts):
    lam, lr_fast = rates.lam, rates.lr if rates.fast else _ZERO
    lr, ones = fours.four(rates.lr, lr_fast, rates.lr, lr_fast), fours.four(_ONE, _ONE, _ONE, _ONE)
    per = fours.four(rates.per_slow, rates.per_fast, rates.per_slow, rates.per_fast)
    twice, squared = np.float32(-2.0) * lam, lam * lam
    minus_lam = fours.four(-lam, -lam, -lam, -lam)
    per_twice = fours.mul_four(per, fours.four(twice, twice, twice, twice))
    per_squared = fours.mul_four(per, fours.four(squared, squared, squared, squared))
    twos = fours.four(_TWO, _TWO, _TWO, _TWO)
    t = start
    while t < stop:
        u = ratings[t].u
        x, sums_x = registers.load_row(X, u, parts), fours.load_four(GX, u)
        while t < stop and ratings[t].u == u:
            i, r = ratings[t].i, ratings[t].r
            if t + _AHEAD < stop:
                _ask_for(ratings, t + _AHEAD, u, X, Y, GY)
            y, sums_y = registers.load_row(Y, i, parts), fours.load_four(GY, i)
            G, N = fours.front(sums_x, sums_y), fours.back(sums_x, sums_y)
            M = fours.exchange(N)
            D, dot = fours.dots(x, y)
            rate = fours.over_root(lr, G)
            keep = fours.fma_four(rate, minus_lam, ones)
            e = fours.sub_four(fours.four(r, r, r, r), dot)
            step = fours.mul_four(rate, e)
            along = fours.fma_four(e, fours.mul_four(per, M), fours.mul_four(per_twice, D))
            G = fours.fma_four(e, along, fours.fma_four(per_squared, N, G))
            along = fours.fma_four(step, M, fours.mul_four(fours.mul_four(keep, D), twos))
            N = fours.fma_four(step, along, fours.mul_four(fours.mul_four(keep, keep), N))
            keep_x, keep_x_fast = fours.halves(keep, 0, 1), fours.halves(keep, 1, 1)
            keep_y, keep_y_fast = fours.halves(keep, 2, 3), fours.halves(keep, 3, 3)
            step_x, step_x_fast = fours.halves(step, 0, 1), fours.halves(step, 1, 1)
            step_y, step_y_fast = fours.halves(step, 2, 3), fours.halves(step, 3, 3)
            new_y = fours.moved(keep_y, keep_y_fast, y, step_y, step_y_fast, x)
            x = fours.moved(keep_x, keep_x_fast, x, step_x, step_x_fast, y)
            registers.store_row(Y, i, new_y)
            sums_x = fours.front(G, N)
            fours.store_four(GY, i, fours.back(G, N))
            t += 1
        registers.store_row(X, u, x)
        fours.store_four(GX, u, sums_x)


@part(inline="always")
def _ask_for(ratings, t, u, X, Y, GY):
    """Prefetch the rows of a rating; X[u] is in registers."""
    ahead = ratings[t]
    simd.prefetch(GY, ahead.i, 0)
    for k in range(0, Y.shape[1], simd.LANES):
        simd.prefetch(Y, ahead.i, k)
    if ahead.u != u:
        for k in range(0, X.shape[1], simd.LANES):
            simd.prefetch(X, ahead.u, k)


def _in_memory(ratings, start, stop, X, Y, GX, GY, rates, parts):
    for t in range(start, stop):
        u, i, r = ratings[t].u, ratings[t].i, ratings[t].r
        if t + _AHEAD < stop:
            _ask_for(ratings, t + _AHEAD, u, X, Y, GY)
        _visit(u, i, r, X, Y, GX, GY, rates)


@part(inline="always")
def _visit(u, i, r, X, Y, GX, GY, rates):
    """Update both sides for one rating, each row at its own two rates.

    Notes
    -----
    Lanes 0 to 7 of the first vector are the slow features; both steps use G before this rating.
    """
    acc = simd.splat(_ZERO)
    for k in range(0, X.shape[1], simd.LANES):
        acc = simd.fma(simd.load(X, u, k), simd.load(Y, i, k), acc)
    e = simd.splat(r - simd.total(acc))
    lam = simd.splat(rates.lam)
    x_fast = y_fast = _ZERO
    if rates.fast:
        x_fast = rates.lr / np.sqrt(GX[u, 1])
        y_fast = rates.lr / np.sqrt(GY[i, 1])

    x, y = simd.load(X, u, 0), simd.load(Y, i, 0)
    gx = simd.sub(simd.mul(lam, x), simd.mul(e, y))
    gy = simd.sub(simd.mul(lam, y), simd.mul(e, x))
    x_step = simd.splat_halves(rates.lr / np.sqrt(GX[u, 0]), x_fast)
    y_step = simd.splat_halves(rates.lr / np.sqrt(GY[i, 0]), y_fast)
    simd.store(X, u, 0, simd.sub(x, simd.mul(x_step, gx)))
    simd.store(Y, i, 0, simd.sub(y, simd.mul(y_step, gy)))
    x_squares, y_squares = simd.mul(gx, gx), simd.mul(gy, gy)
    GX[u, 0] += simd.low_sum(x_squares) * rates.per_slow
    GY[i, 0] += simd.low_sum(y_squares) * rates.per_slow
    if not rates.fast:
        return

    x_sum, y_sum = simd.high_sum(x_squares), simd.high_sum(y_squares)
    x_step, y_step = simd.splat(x_fast), simd.splat(y_fast)
    x_squares = y_squares = simd.splat(_ZERO)
    for k in range(simd.LANES, X.shape[1], simd.LANES):
        x, y = simd.load(X, u, k), simd.load(Y, i, k)
        gx = simd.sub(simd.mul(lam, x), simd.mul(e, y))
        gy = simd.sub(simd.mul(lam, y), simd.mul(e, x))
        simd.store(X, u, k, simd.sub(x, simd.mul(x_step, gx)))
        simd.store(Y, i, k, simd.sub(y, simd.mul(y_step, gy)))
        x_squares = simd.fma(gx, gx, x_squares)
        y_squares = simd.fma(gy, gy, y_squares)
    GX[u, 1] += (x_sum + simd.total(x_squares)) * rates.per_fast
    GY[i, 1] += (y_sum + simd.total(y_squares)) * rates.per_fast
