"""Averaging the models of several workers, row by row."""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd
from mfviz.kernels.compiling import kernel

__all__ = ["average_rows", "count_touches"]


@kernel
def count_touches(ratings, start, stop, users, items):
    """Count the visits of each row among records ``start`` to ``stop``.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE
    start, stop : int
    users, items : (m,), (n,) int32, updated in place
    """
    for t in range(start, stop):
        users[ratings[t].u] += 1
        items[ratings[t].i] += 1


@kernel
def average_rows(X, b, copies, biases, touches, plain, first, stop):
    """Set rows ``first`` to ``stop`` of model and copies to their average; forget the touches.

    Parameters
    ----------
    X : (rows, f) float32, C-order, f a multiple of 16, updated in place
    b : (rows,) float32, updated in place
    copies : (K, rows, f) float32, updated in place
    biases : (K, rows) float32, updated in place
    touches : (K, rows) int32, updated in place
        Visits of each copy's row since the last average: its weight, unless ``plain``.
    plain : bool
        Whether all copies weigh the same, those that did not touch the row too.
    first, stop : int

    Notes
    -----
    A row that one copy alone has touched is taken over as it is, to the last bit, and one that
    none has touched stays; so with one copy nothing changes.
    """
    K = copies.shape[0]
    for x in range(first, stop):
        weight, only = 0, -1
        for k in range(K):
            if touches[k, x] > 0:
                only = k if weight == 0 else -2
                weight += touches[k, x]
        if K == 1:
            only = 0
        if plain and K > 1:
            weight, only = K, -2
        if weight == 0 and only < 0:
            continue
        mean = np.float32(0.0)
        for k in range(K):
            share = np.float32((1.0 if plain else np.float64(touches[k, x])) / max(weight, 1))
            mean += share * biases[k, x]
        b[x] = biases[only, x] if only >= 0 else mean
        for c in range(0, X.shape[1], simd.LANES):
            acc = simd.splat(np.float32(0.0))
            if only >= 0:
                acc = simd.load(copies[only], x, c)
            else:
                for k in range(K):
                    share = np.float32((1.0 if plain else np.float64(touches[k, x])) / weight)
                    acc = simd.fma(simd.splat(share), simd.load(copies[k], x, c), acc)
            simd.store(X, x, c, acc)
        for k in range(K):
            touches[k, x] = 0
            biases[k, x] = b[x]
            for c in range(0, X.shape[1], simd.LANES):
                simd.store(copies[k], x, c, simd.load(X, x, c))
