"""Stochastic gradient descent on packed ratings: the one arithmetic of sgd, hogwild and dsgd.

The three solvers differ in who visits which rating when; what a visit does is compiled from the
same few lines, so that from equal factors and in an equal order they give equal bits. Their orders
are random, so that no row is visited twice in a row: each visit loads two rows and stores them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from mfviz.kernels import registers, simd, spans
from mfviz.kernels.compiling import PART, kernel
from mfviz.kernels.order import shuffle

__all__ = ["WIDEST", "Rates", "sgd", "sgd_until", "shuffle_until", "visit"]

WIDEST = 256  # columns; wider rows are not kept in registers
_AHEAD = 8  # ratings whose rows are asked for before they are needed
_SEGMENT = 4096  # ratings between two looks at the clock


class Rates(NamedTuple):
    """What a visit needs beside the model; all numbers float32 (``np.float32(...)``).

    ``parts`` is ``registers.parts_of(f)`` for kernels that keep whole rows in registers, or () for
    any f.
    """

    mu: np.float32
    lr: np.float32
    lam: np.float32
    lr_bias: np.float32
    lam_bias: np.float32
    biased: bool
    parts: tuple[int, ...] = ()


def visit(u, i, r, P, Q, bu, bi, rates):
    """Update both sides for one rating, each from the old value of the other.

    Notes
    -----
    8f flops; reads and writes ``P[u]`` and ``Q[i]``: 16f bytes, if nothing is in cache. Rows in
    registers and rows in memory are updated to the same bits.
    """
    raise NotImplementedError("for compiled code only")


@overload(visit, jit_options=PART, inline="always")
def _visit(u, i, r, P, Q, bu, bi, rates):
    return _in_registers if len(rates.types[rates.fields.index("parts")]) else _in_memory


def _in_registers(u, i, r, P, Q, bu, bi, rates):
    p, q = registers.load_row(P, u, rates.parts), registers.load_row(Q, i, rates.parts)
    z = rates.mu + simd.total(registers.products(p, q))
    if rates.biased:
        z += bu[u] + bi[i]
    e = r - z
    keep = simd.splat(np.float32(1.0) - rates.lr * rates.lam)
    step = simd.splat(rates.lr * e)
    registers.store_row(P, u, registers.add_scaled(step, q, registers.scaled(keep, p)))
    registers.store_row(Q, i, registers.add_scaled(step, p, registers.scaled(keep, q)))
    if rates.biased:
        bu[u] += rates.lr_bias * (e - rates.lam_bias * bu[u])
        bi[i] += rates.lr_bias * (e - rates.lam_bias * bi[i])


def _in_memory(u, i, r, P, Q, bu, bi, rates):
    acc = simd.splat(np.float32(0.0))
    for k in range(0, P.shape[1], simd.LANES):
        acc = simd.fma(simd.load(P, u, k), simd.load(Q, i, k), acc)
    z = rates.mu + simd.total(acc)
    if rates.biased:
        z += bu[u] + bi[i]
    e = r - z
    keep = simd.splat(np.float32(1.0) - rates.lr * rates.lam)
    step = simd.splat(rates.lr * e)
    for k in range(0, P.shape[1], simd.LANES):
        p, q = simd.load(P, u, k), simd.load(Q, i, k)
        simd.store(P, u, k, simd.fma(step, q, simd.mul(keep, p)))
        simd.store(Q, i, k, simd.fma(step, p, simd.mul(keep, q)))
    if rates.biased:
        bu[u] += rates.lr_bias * (e - rates.lam_bias * bu[u])
        bi[i] += rates.lr_bias * (e - rates.lam_bias * bi[i])


@kernel
def sgd(ratings, start, stop, P, Q, bu, bi, rates):
    """Visit records ``start`` to ``stop`` in their order; updates P, Q, bu and bi in place.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE
    start, stop : int
    P, Q : (m, f), (n, f) float32, C-order, f a multiple of 16, updated in place
    bu, bi : (m,), (n,) float32, updated in place where ``rates.biased``
    rates : Rates

    Notes
    -----
    With ``e = r - mu - bu - bi - p.q``: ``p += lr (e q - lam p)``, ``q += lr (e p - lam q)``, both
    right-hand sides old. 8f flops and 12 + 16f bytes a rating. Several threads may run it on one
    model at once: lanes of a row may then be lost or mixed, never torn within a float.

    References
    ----------
    Koren, Bell, Volinsky, Computer 42(8), 2009; the factor 2 of the gradient is part of ``lr``.

    See Also
    --------
    tests.naive.sgd : the slow twin.
    """
    for t in range(start, stop):
        if t + _AHEAD < stop:
            ahead = ratings[t + _AHEAD]
            for k in range(0, P.shape[1], simd.LANES):
                simd.prefetch(P, ahead.u, k)
                simd.prefetch(Q, ahead.i, k)
        visit(ratings[t].u, ratings[t].i, ratings[t].r, P, Q, bu, bi, rates)


@kernel
def sgd_until(ratings, start, stop, most_ns, signal, rows, fill, worker, P, Q, bu, bi, rates):
    """Visit records from ``start`` on until ``stop``, the time or a signal; write one span.

    Parameters
    ----------
    most_ns : int
        Time after which no further segment is begun; at least one is done.
    signal : (8,) int64
        The same for an element 0 that is not 0; see :class:`mfviz.backends.host.Gate`.
    ratings, start, stop, P, Q, bu, bi, rates
        As in :func:`sgd`.
    rows, fill, worker
        As in :func:`mfviz.kernels.spans.write_span`; the span has tag 0.

    Returns
    -------
    int
        Position of the next record to visit.
    """
    begin = now = simd.clock_ns()
    at = start
    while at < stop and now - begin < most_ns:
        ahead = min(at + _SEGMENT, stop)
        sgd(ratings, at, ahead, P, Q, bu, bi, rates)
        at, now = ahead, simd.clock_ns()
        if simd.atomic_load(signal, 0) != 0:
            break
    none = spans.NO_BLOCK
    spans.write_span(rows, fill, worker, begin, now, spans.KERNEL, at - start, none, none, 0, 0)
    return at


@kernel
def shuffle_until(ratings, start, stop, seed, high, most_ns, signal, rows, fill, worker):
    """Go on with a shuffle of records ``start`` to ``stop`` until its end, the time or a signal.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE, updated in place
    start, stop : int
    seed : uint64
    high : int
        Steps that are left; ``stop - start`` at first.
    most_ns, signal
        As in :func:`sgd_until`.
    rows, fill, worker
        As in :func:`mfviz.kernels.spans.write_span`; the span has tag 1.

    Returns
    -------
    int
        Steps that are left now; 0 when the shuffle is complete.
    """
    begin = now = simd.clock_ns()
    while high > 0 and now - begin < most_ns:
        low = max(high - _SEGMENT, 0)
        shuffle(ratings, start, seed, high, low)
        high, now = low, simd.clock_ns()
        if simd.atomic_load(signal, 0) != 0:
            break
    none = spans.NO_BLOCK
    spans.write_span(rows, fill, worker, begin, now, spans.HOST, 0, none, none, 0, 1)
    return high
