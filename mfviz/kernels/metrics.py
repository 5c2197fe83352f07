"""Sums that describe a model: squared error over ratings, and squared norms of its rows."""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd
from mfviz.kernels.compiling import kernel, part

__all__ = [
    "dot",
    "squared_deviation_slices",
    "squared_error",
    "squared_error_slices",
    "squared_norms",
]


@part(inline="always")
def dot(P, Q, u, i):
    """Return ``P[u] . Q[i]`` as float32, in the one order of summation that all kernels use.

    Parameters
    ----------
    P, Q : (m, f), (n, f) float32, C-order, f a multiple of 16
    u, i : int
    """
    acc = simd.splat(np.float32(0.0))
    for k in range(0, P.shape[1], simd.LANES):
        acc = simd.fma(simd.load(P, u, k), simd.load(Q, i, k), acc)
    return simd.total(acc)


@kernel
def squared_error(u, i, r, start, stop, P, Q, bu, bi, mu, scale):
    """Return the sum of squared errors of ratings ``start`` to ``stop``, in the user's units.

    Parameters
    ----------
    u, i : (nnz,) int32
    r : (nnz,) float32
        Ratings in the user's units.
    start, stop : int
        Slice of the ratings.
    P, Q : (m, f), (n, f) float32, C-order, f a multiple of 16
    bu, bi : (m,), (n,) float32
    mu, scale : float
        Prediction is ``scale * (mu + bu[u] + bi[i] + P[u] . Q[i])``.

    Returns
    -------
    float
        Float64 sum in the order of the ratings.

    Notes
    -----
    2f flops and 12 + 8f bytes a rating.
    """
    result = 0.0
    for t in range(start, stop):
        a, b = u[t], i[t]
        z = mu + np.float64(bu[a]) + np.float64(bi[b]) + np.float64(dot(P, Q, a, b))
        e = np.float64(r[t]) - scale * z
        result += e * e
    return result


@kernel
def squared_error_slices(u, i, r, bounds, sums, worker, workers, P, Q, bu, bi, mu, scale):
    """Fill ``sums`` with the squared error of each slice; this worker takes every ``workers``-th.

    Summed in their order, the slices give a value that does not depend on the number of workers.

    Parameters
    ----------
    bounds : (slices + 1,) int64
        Slice ``s`` is ``bounds[s] : bounds[s + 1]``.
    sums : (slices,) float64, written
    worker, workers : int
    u, i, r, P, Q, bu, bi, mu, scale
        As in :func:`squared_error`.
    """
    for s in range(worker, sums.shape[0], workers):
        sums[s] = squared_error(u, i, r, bounds[s], bounds[s + 1], P, Q, bu, bi, mu, scale)


@kernel
def squared_norms(A, weight):
    """Return the sum over rows of ``weight[row] * |A[row]|^2``, accumulated in float64.

    Parameters
    ----------
    A : (rows, f) float32, C-order, f a multiple of 16
    weight : (rows,) int64 or float64
        Ratings of each row, for the weighted regulariser; ones for the plain one.
    """
    result = 0.0
    for row in range(A.shape[0]):
        result += weight[row] * np.float64(dot(A, A, row, row))
    return result


@kernel
def squared_deviation_slices(r, mean, bounds, sums, worker, workers):
    """Fill ``sums`` with the squared distances from the mean, slice by slice.

    Parameters
    ----------
    r : (nnz,) float32
    mean : float
    bounds, sums, worker, workers
        As in :func:`squared_error_slices`.
    """
    for s in range(worker, sums.shape[0], workers):
        total = 0.0
        for t in range(bounds[s], bounds[s + 1]):
            away = r[t] - mean
            total += away * away
        sums[s] = total
