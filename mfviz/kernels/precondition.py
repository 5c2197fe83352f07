"""Serial SGD with stretched steps: by the inverse covariance of the other side, or its norm."""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.metrics import dot

__all__ = ["KACZMARZ", "NONE", "WHITEN", "preconditioned_until"]

NONE, WHITEN, KACZMARZ = range(3)
_SEGMENT = 512  # ratings between two looks at the clock


@part
def _whiten(C, g, X, x, lr):
    """Add ``lr C g[0]`` to row ``x`` of X, for a symmetric C.

    A number of g is loaded once for four vectors of a row of C, where there are as many.
    """
    c = 0
    while c + 4 * simd.LANES <= X.shape[1]:
        _whiten_four(C, g, X, x, c, lr)
        c += 4 * simd.LANES
    while c < X.shape[1]:
        _whiten_one(C, g, X, x, c, lr)
        c += simd.LANES


@part
def _whiten_four(C, g, X, x, c, lr):
    """Do four vectors from column ``c``, by sums over even and over odd rows of C each."""
    w = simd.LANES
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = simd.splat(np.float32(0.0))
    for k in range(0, C.shape[0], 2):
        even, odd = simd.splat(g[0, k]), simd.splat(g[0, k + 1])
        a0 = simd.fma(even, simd.load(C, k, c), a0)
        a1 = simd.fma(even, simd.load(C, k, c + w), a1)
        a2 = simd.fma(even, simd.load(C, k, c + 2 * w), a2)
        a3 = simd.fma(even, simd.load(C, k, c + 3 * w), a3)
        b0 = simd.fma(odd, simd.load(C, k + 1, c), b0)
        b1 = simd.fma(odd, simd.load(C, k + 1, c + w), b1)
        b2 = simd.fma(odd, simd.load(C, k + 1, c + 2 * w), b2)
        b3 = simd.fma(odd, simd.load(C, k + 1, c + 3 * w), b3)
    _step(X, x, c, lr, simd.add(a0, b0))
    _step(X, x, c + w, lr, simd.add(a1, b1))
    _step(X, x, c + 2 * w, lr, simd.add(a2, b2))
    _step(X, x, c + 3 * w, lr, simd.add(a3, b3))


@part
def _whiten_one(C, g, X, x, c, lr):
    """Do the vector at column ``c``, by four sums that do not wait for each other."""
    a0 = a1 = a2 = a3 = simd.splat(np.float32(0.0))
    for k in range(0, C.shape[0], 4):
        a0 = simd.fma(simd.splat(g[0, k]), simd.load(C, k, c), a0)
        a1 = simd.fma(simd.splat(g[0, k + 1]), simd.load(C, k + 1, c), a1)
        a2 = simd.fma(simd.splat(g[0, k + 2]), simd.load(C, k + 2, c), a2)
        a3 = simd.fma(simd.splat(g[0, k + 3]), simd.load(C, k + 3, c), a3)
    _step(X, x, c, lr, simd.add(simd.add(a0, a1), simd.add(a2, a3)))


@part
def _step(X, x, c, lr, direction):
    """Add ``lr`` times the direction to the vector at column ``c`` of row ``x``."""
    simd.store(X, x, c, simd.fma(simd.splat(lr), direction, simd.load(X, x, c)))


@part
def _gradients(P, Q, u, i, e, lam, gp, gq):
    """Fill ``gp`` with ``e q - lam p`` and ``gq`` with ``e p - lam q``."""
    es, shrink = simd.splat(e), simd.splat(-lam)
    for k in range(0, P.shape[1], simd.LANES):
        p, q = simd.load(P, u, k), simd.load(Q, i, k)
        simd.store(gp, 0, k, simd.fma(es, q, simd.mul(shrink, p)))
        simd.store(gq, 0, k, simd.fma(es, p, simd.mul(shrink, q)))


@part
def _plain(P, Q, u, i, e, lr_p, lr_q, lam):
    """Take the step of ``kernels.sgd``, each side with a learning rate of its own."""
    keep_p = simd.splat(np.float32(1.0) - lr_p * lam)
    keep_q = simd.splat(np.float32(1.0) - lr_q * lam)
    step_p, step_q = simd.splat(lr_p * e), simd.splat(lr_q * e)
    for k in range(0, P.shape[1], simd.LANES):
        p, q = simd.load(P, u, k), simd.load(Q, i, k)
        simd.store(P, u, k, simd.fma(step_p, q, simd.mul(keep_p, p)))
        simd.store(Q, i, k, simd.fma(step_q, p, simd.mul(keep_q, q)))


@part
def _visit(rating, kind, P, Q, bu, bi, rates, CP, CQ, g):
    """Update both sides for one rating, each from the old value of the other."""
    u, i = rating.u, rating.i
    z = rates.mu + dot(P, Q, u, i)
    if rates.biased:
        z += bu[u] + bi[i]
    e = rating.r - z
    if kind == WHITEN:
        _gradients(P, Q, u, i, e, rates.lam, g[0], g[1])
        _whiten(CQ, g[0], P, u, rates.lr)
        _whiten(CP, g[1], Q, i, rates.lr)
    elif kind == KACZMARZ:
        below_p = max(dot(Q, Q, i, i) + rates.lam, np.float32(1e-12))
        below_q = max(dot(P, P, u, u) + rates.lam, np.float32(1e-12))
        _plain(P, Q, u, i, e, rates.lr / below_p, rates.lr / below_q, rates.lam)
    else:
        _plain(P, Q, u, i, e, rates.lr, rates.lr, rates.lam)
    if rates.biased:
        bu[u] += rates.lr_bias * (e - rates.lam_bias * bu[u])
        bi[i] += rates.lr_bias * (e - rates.lam_bias * bi[i])


@kernel
def preconditioned_until(
    ratings, start, stop, most_ns, kind, P, Q, bu, bi, rates, CP, CQ, g, rows, fill
):
    """Visit records ``start`` to ``stop``, or until the time is up; updates the model in place.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE
    start, stop : int
    most_ns : int
        Time after which no further segment is begun; at least one is done.
    kind : int
        ``NONE``, ``WHITEN`` or ``KACZMARZ``.
    P, Q, bu, bi, rates
        As in :func:`mfviz.kernels.sgd.sgd`.
    CP, CQ : (f, f) float32
        Inverses of the covariances of P and of Q, symmetric; read by ``WHITEN``.
    g : (2, 1, f) float32
        Workspace.
    rows, fill
        As in :func:`mfviz.kernels.spans.write_span`: one span of lane 0 with tag 0.

    Returns
    -------
    int
        Position of the next record to visit.

    Notes
    -----
    Whitening: ``p += lr CQ (e q - lam p)``, ``q += lr CP (e p - lam q)``, 4 f^2 flops more a
    rating. Kaczmarz: the step of p is divided by ``|q|^2 + lam``, that of q by ``|p|^2 + lam``.

    See Also
    --------
    tests.naive_descent.preconditioned : the slow twin.
    """
    begin = now = simd.clock_ns()
    at = start
    while at < stop and now - begin < most_ns:
        for t in range(at, min(at + _SEGMENT, stop)):
            _visit(ratings[t], kind, P, Q, bu, bi, rates, CP, CQ, g)
        at = min(at + _SEGMENT, stop)
        now = simd.clock_ns()
    none = spans.NO_BLOCK
    spans.write_span(rows, fill, 0, begin, now, spans.KERNEL, at - start, none, none, 0, 0)
    return at
