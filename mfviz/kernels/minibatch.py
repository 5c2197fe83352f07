"""Mini-batches: all gradients of a batch at the same factors, then one step.

A batch has three phases with a barrier after each: errors (a worker has a share of the ratings),
sums (a worker has a share of the *rows*, so nothing is added to by two) and steps (the new rows
are put in place). The arithmetic of a row that is hit once is that of ``kernels.sgd``, so batches
of one rating give its bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.metrics import dot
from mfviz.kernels.strata import barrier
from mfviz.kernels.uncounted import uncounted
from mfviz.kernels.waits import wait_for

__all__ = ["MEAN", "ROW", "SUM", "Batch", "run_batches"]

SUM, MEAN, ROW = range(3)  # what a row's gradient is divided by: 1, the batch, the row's hits
ERRORS, SUMS, STEPS = range(3)  # phases
_TAGS = (4, 0, 5)  # of the phases
QUIET = 2048  # ratings of a batch below which its phases are too short to draw one by one


class Batch(NamedTuple):
    """Workspace that the workers share.

    Attributes
    ----------
    e : (b,) float32
        Errors of the batch's ratings.
    hits_u, hits_i : (m,), (n,) int32
        Ratings of each row in the batch; negative once its new row was begun.
    new_P, new_Q, new_bu, new_bi
        New rows of what is hit; like the model's own arrays.
    """

    e: np.ndarray
    hits_u: np.ndarray
    hits_i: np.ndarray
    new_P: np.ndarray
    new_Q: np.ndarray
    new_bu: np.ndarray
    new_bi: np.ndarray


@part
def _errors(ratings, start, low, high, P, Q, bu, bi, rates, e, worker, workers):
    """Compute the errors of this worker's share of ratings ``low`` to ``high``."""
    count = high - low
    for t in range(low + count * worker // workers, low + count * (worker + 1) // workers):
        u, i = ratings[t].u, ratings[t].i
        z = rates.mu + dot(P, Q, u, i)
        if rates.biased:
            z += bu[u] + bi[i]
        e[t - start] = ratings[t].r - z


@part
def _count(ratings, low, high, hits_u, hits_i, worker, workers):
    """Count the hits of this worker's rows among ratings ``low`` to ``high``."""
    for t in range(low, high):
        u, i = ratings[t].u, ratings[t].i
        if u % workers == worker:
            hits_u[u] += 1
        if i % workers == worker:
            hits_i[i] += 1


@part(inline="always")
def _add(X, x, Y, y, bx, e, hits, new, new_b, form, size, rates):
    """Add one rating's step to the new row ``x``, which is begun at its first hit."""
    count = abs(hits[x])
    share = np.float32(1.0)
    if form == MEAN:
        share = np.float32(1.0) / np.float32(size)
    elif form == ROW:
        share = np.float32(1.0) / np.float32(count)
    lr = rates.lr * share
    step = simd.splat(lr * e)
    if hits[x] > 0:
        hits[x] = -count
        keep = simd.splat(np.float32(1.0) - lr * rates.lam * np.float32(count))
        for k in range(0, X.shape[1], simd.LANES):
            row = simd.mul(keep, simd.load(X, x, k))
            simd.store(new, x, k, simd.fma(step, simd.load(Y, y, k), row))
        new_b[x] = bx[x]
    else:
        for k in range(0, X.shape[1], simd.LANES):
            row = simd.load(new, x, k)
            simd.store(new, x, k, simd.fma(step, simd.load(Y, y, k), row))
    if rates.biased:
        new_b[x] += rates.lr_bias * share * (e - rates.lam_bias * bx[x])


@part
def _sums(ratings, start, low, high, size, P, Q, bu, bi, rates, form, batch, worker, workers):
    """Add the steps of ratings ``low`` to ``high`` to this worker's rows; return its visits."""
    visits = 0
    for t in range(low, high):
        u, i, e = ratings[t].u, ratings[t].i, batch.e[t - start]
        if u % workers == worker:
            _add(P, u, Q, i, bu, e, batch.hits_u, batch.new_P, batch.new_bu, form, size, rates)
            visits += 1
        if i % workers == worker:
            _add(Q, i, P, u, bi, e, batch.hits_i, batch.new_Q, batch.new_bi, form, size, rates)
    return visits


@part(inline="always")
def _put(X, x, bx, hits, new, new_b):
    """Put a new row in place, once."""
    if hits[x] != 0:
        hits[x] = 0
        for k in range(0, X.shape[1], simd.LANES):
            simd.store(X, x, k, simd.load(new, x, k))
        bx[x] = new_b[x]


@part
def _steps(ratings, low, high, P, Q, bu, bi, batch, worker, workers):
    """Put this worker's new rows of ratings ``low`` to ``high`` in place."""
    for t in range(low, high):
        u, i = ratings[t].u, ratings[t].i
        if u % workers == worker:
            _put(P, u, bu, batch.hits_u, batch.new_P, batch.new_bu)
        if i % workers == worker:
            _put(Q, i, bi, batch.hits_i, batch.new_Q, batch.new_bi)


@part
def _phase(
    phase, ratings, start, low, high, size, P, Q, bu, bi, rates, form, batch, worker, workers
):
    """Do this worker's part of a phase; return its visits, which count in the sums."""
    if phase == ERRORS:
        _errors(ratings, start, low, high, P, Q, bu, bi, rates, batch.e, worker, workers)
        _count(ratings, low, high, batch.hits_u, batch.hits_i, worker, workers)
    elif phase == SUMS:
        return _sums(
            ratings, start, low, high, size, P, Q, bu, bi, rates, form, batch, worker, workers
        )
    else:
        _steps(ratings, low, high, P, Q, bu, bi, batch, worker, workers)
    return 0


@kernel
def run_batches(
    steps, first, last, ratings, P, Q, bu, bi, rates, form, batch, arrivals, waits, worker,
    workers, rows, fill,
):  # fmt: skip
    """Do this worker's part of steps ``first`` to ``last``; updates P, Q, bu and bi in place.

    Parameters
    ----------
    steps : (count, 6) int64
        Batch's first rating, its size, phase, low, high, whether the phase ends here.
    first, last : int
    ratings : (nnz,) TRIPLE
    P, Q, bu, bi, rates
        As in :func:`mfviz.kernels.sgd.sgd`.
    form : int
        ``SUM``, ``MEAN`` or ``ROW``.
    batch : Batch
    arrivals : (8,) int64
        Of :func:`mfviz.kernels.strata.barrier`.
    waits : int
        Barriers passed before.
    worker, workers : int
        Row ``x`` of either side belongs to worker ``x % workers``.
    rows, fill
        As in :func:`mfviz.kernels.spans.write_span`: a span a step, its tag 0, 4 or 5 by phase; or
        one for all steps (tag 6, waits included) where batches are small.

    Notes
    -----
    No race: in each phase what is written has one writer and is read by nobody else.

    See Also
    --------
    tests.naive_descent.minibatch : the slow twin.
    """
    ratings, P, Q, bu, bi, batch = uncounted((ratings, P, Q, bu, bi, batch))
    begin = start = simd.clock_ns()
    visits, none, drawn = 0, spans.NO_BLOCK, steps[first, 1] >= QUIET
    for s in range(first, last):
        phase = steps[s, 2]
        made = _phase(
            phase, ratings, steps[s, 0], steps[s, 3], steps[s, 4], steps[s, 1], P, Q, bu, bi,
            rates, form, batch, worker, workers,
        )  # fmt: skip
        visits += made
        if drawn:
            spans.write_span(
                rows, fill, worker, start, simd.clock_ns(), spans.KERNEL, made, none, none, 0,
                _TAGS[phase],
            )  # fmt: skip
        if workers > 1 and steps[s, 5] != 0:
            waits += 1
            if drawn:
                barrier(arrivals, waits * workers, rows, fill, worker)
            else:
                simd.atomic_add(arrivals, 0, 1)
                wait_for(arrivals, 0, waits * workers)
        start = simd.clock_ns()
    if not drawn:
        spans.write_span(rows, fill, worker, begin, start, spans.KERNEL, visits, none, none, 0, 6)
