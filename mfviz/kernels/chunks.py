"""Chunks of consecutive ratings visited by racing workers, factors in half precision: cuMF_SGD."""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel
from mfviz.kernels.halves import load_half, store_half

__all__ = ["visit_chunks", "visit_halves"]

_SEGMENT = 512  # visits between two looks at the clock and the signal


@kernel
def visit_halves(u, i, r, P, Q, lr, lam):
    """Visit one rating and round both rows to float16.

    Parameters
    ----------
    u, i : int
    r : float32
    P, Q, lr, lam
        As in :func:`visit_chunks`.
    """
    acc = simd.splat(np.float32(0.0))
    for k in range(0, P.shape[1], simd.LANES):
        acc = simd.fma(load_half(P, u, k), load_half(Q, i, k), acc)
    keep = simd.splat(np.float32(1.0) - lr * lam)
    step = simd.splat(lr * (r - simd.total(acc)))
    for k in range(0, P.shape[1], simd.LANES):
        p, q = load_half(P, u, k), load_half(Q, i, k)
        store_half(P, u, k, simd.fma(step, q, simd.mul(keep, p)))
        store_half(Q, i, k, simd.fma(step, p, simd.mul(keep, q)))


@kernel
def visit_chunks(
    ratings, starts, length, at, stop, most_ns, signal, P, Q, lr, lam, rows, fill, worker
):
    """Visit a worker's ratings from number ``at`` on until ``stop``, the time or a signal.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE
    starts : (chunks,) int64
        First rating of each of the worker's chunks.
    length : int
        Ratings of a chunk; it goes on at the first rating after the last one.
    at, stop : int
        Visits, counted through all chunks.
    most_ns, signal
        As in :func:`mfviz.kernels.sgd.sgd_until`.
    P, Q : (m, f), (n, f) uint16, float16 by bits, f a multiple of 16, updated in place
    lr, lam : float32
    rows, fill, worker
        As in :func:`mfviz.kernels.spans.write_span`; the span has tag 0.

    Returns
    -------
    int
        The next visit.

    Notes
    -----
    ``p += lr (e q - lam p)``, ``q += lr (e p - lam q)``, both right-hand sides old, in float32; a
    visit rounds both rows to float16. 12 + 8 f bytes a rating.

    References
    ----------
    Xie, Tan, Fong, Liang, "CuMF_SGD: parallelized stochastic gradient descent for matrix
    factorization on GPUs", HPDC 2017.

    See Also
    --------
    tests.naive_gpu.chunks : the slow twin.
    """
    begin = now = simd.clock_ns()
    first = at
    while at < stop and now - begin < most_ns:
        ahead = min(at + _SEGMENT, stop)
        for v in range(at, ahead):
            t = (starts[v // length] + v % length) % len(ratings)
            visit_halves(ratings[t].u, ratings[t].i, ratings[t].r, P, Q, lr, lam)
        at, now = ahead, simd.clock_ns()
        if simd.atomic_load(signal, 0) != 0:
            break
    none = spans.NO_BLOCK
    spans.write_span(rows, fill, worker, begin, now, spans.KERNEL, at - first, none, none, 0, 0)
    return at
