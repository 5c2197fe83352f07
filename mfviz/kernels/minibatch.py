"""Mini-batches: all gradients of a batch at the same factors, then one step.

A batch has three phases with a barrier after each: errors (a worker has a share of the ratings),
sums (a worker has a share of the *rows*, so nothing is added to by two) and steps (the new rows
are put in place). The arithmetic of a row that is hit once is that of ``kernels.sgd``, so batches
of one rating give its bits.

Who owns a rating's rows is told by lists: with the errors of its share a worker deals the ratings
to their owners, by user and by item, in a stable counting sort. An owner then goes through what
every share has for it, in order, and looks at no rating of others.
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
ERRORS, COUNTS, SUMS, STEPS = range(4)  # phases; none waits for the counts of another worker
_TAGS = (4, 4, 0, 5)  # of the phases
QUIET = 2048  # ratings of a batch below which its phases are too short to draw one by one


class Batch(NamedTuple):
    """Workspace that the workers share.

    Attributes
    ----------
    e : (b,) float32
        Errors of the batch's ratings.
    own_u, own_i : (b,) int32
        Ratings of each share of the batch, by owner of the user and of the item; empty if there
        is only one worker.
    ends : (workers, 2, at least workers) int64
        Where each owner's part of a share ends in the two.
    hits_u, hits_i : (m,), (n,) int32
        Ratings of each row in the batch; negative once its new row was begun.
    new_P, new_Q, new_bu, new_bi
        New rows of what is hit; like the model's own arrays.
    """

    e: np.ndarray
    own_u: np.ndarray
    own_i: np.ndarray
    ends: np.ndarray
    hits_u: np.ndarray
    hits_i: np.ndarray
    new_P: np.ndarray
    new_Q: np.ndarray
    new_bu: np.ndarray
    new_bi: np.ndarray


@part(inline="always")
def _owner(x, workers):
    """Return the worker that a row belongs to (the division of 32 bits is the fast one)."""
    return np.int64(np.uint32(x) % np.uint32(workers))


@part
def _errors(ratings, start, size, low, high, P, Q, bu, bi, rates, batch, worker, workers):
    """Compute errors of this worker's share of a batch: the part from ``low`` to ``high`` of it.

    ``low`` and ``high`` are meant for a share that is the whole batch.
    """
    first = size * worker // workers
    count = size * (worker + 1) // workers - first
    begin, end = first + count * (low - start) // size, first + count * (high - start) // size
    for t in range(start + begin, start + end):
        u, i = ratings[t].u, ratings[t].i
        z = rates.mu + dot(P, Q, u, i)
        if rates.biased:
            z += bu[u] + bi[i]
        batch.e[t - start] = ratings[t].r - z
    if workers > 1:
        if low == start:
            _begin_deal(ratings, start, first, first + count, batch.ends[worker], workers)
        _deal(ratings, start, begin, end, batch, batch.ends[worker], workers)


@part
def _deal(ratings, start, begin, end, batch, ends, workers):
    """Put ratings of a share, in order, to the ends of their owners' parts."""
    for k in range(begin, end):
        a, b = _owner(ratings[start + k].u, workers), _owner(ratings[start + k].i, workers)
        batch.own_u[ends[0, a]] = k
        ends[0, a] += 1
        batch.own_i[ends[1, b]] = k
        ends[1, b] += 1


@part
def _begin_deal(ratings, start, first, last, ends, workers):
    """Write where each owner's part of a share begins; dealing moves that to where it ends."""
    ends[:, :] = 0
    for k in range(first, last):
        ends[0, _owner(ratings[start + k].u, workers)] += 1
        ends[1, _owner(ratings[start + k].i, workers)] += 1
    for side in range(2):
        at = first
        for owner in range(workers):
            at, ends[side, owner] = at + ends[side, owner], at


@part
def _part(own, ends, side, share, worker, workers, size, low, high):
    """Return where ratings ``low`` to ``high`` of an owner's part of a share are in ``own``."""
    first = ends[share, side, worker - 1] if worker > 0 else size * share // workers
    last = ends[share, side, worker]
    if low > 0:
        first += np.searchsorted(own[first:last], low)
    if high < size:
        last = first + np.searchsorted(own[first:last], high)
    return first, last


@part
def _count(ratings, start, low, high, size, batch, worker, workers):
    """Count the hits of this worker's rows among ratings ``low`` to ``high`` of the batch."""
    if workers == 1:
        for t in range(start + low, start + high):
            batch.hits_u[ratings[t].u] += 1
            batch.hits_i[ratings[t].i] += 1
        return
    for share in range(workers):
        a, b = _part(batch.own_u, batch.ends, 0, share, worker, workers, size, low, high)
        for at in range(a, b):
            batch.hits_u[ratings[start + batch.own_u[at]].u] += 1
        a, b = _part(batch.own_i, batch.ends, 1, share, worker, workers, size, low, high)
        for at in range(a, b):
            batch.hits_i[ratings[start + batch.own_i[at]].i] += 1


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
def _sums_alone(ratings, start, low, high, size, P, Q, bu, bi, rates, form, batch):
    """Add the steps of ratings ``low`` to ``high``, whoever's rows they are."""
    for t in range(start + low, start + high):
        u, i, e = ratings[t].u, ratings[t].i, batch.e[t - start]
        _add(P, u, Q, i, bu, e, batch.hits_u, batch.new_P, batch.new_bu, form, size, rates)
        _add(Q, i, P, u, bi, e, batch.hits_i, batch.new_Q, batch.new_bi, form, size, rates)
    return high - low


@part
def _sums(ratings, start, low, high, size, P, Q, bu, bi, rates, form, batch, worker, workers):
    """Add the steps of ratings ``low`` to ``high`` to this worker's rows; return its visits."""
    e, hits_u, hits_i = batch.e, batch.hits_u, batch.hits_i
    visits = 0
    for share in range(workers):
        a, b = _part(batch.own_u, batch.ends, 0, share, worker, workers, size, low, high)
        visits += b - a
        for at in range(a, b):
            k = batch.own_u[at]
            u, i = ratings[start + k].u, ratings[start + k].i
            _add(P, u, Q, i, bu, e[k], hits_u, batch.new_P, batch.new_bu, form, size, rates)
        a, b = _part(batch.own_i, batch.ends, 1, share, worker, workers, size, low, high)
        for at in range(a, b):
            k = batch.own_i[at]
            u, i = ratings[start + k].u, ratings[start + k].i
            _add(Q, i, P, u, bi, e[k], hits_i, batch.new_Q, batch.new_bi, form, size, rates)
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
def _steps_alone(ratings, start, low, high, P, Q, bu, bi, batch):
    """Put the new rows of ratings ``low`` to ``high`` of the batch in place."""
    for t in range(start + low, start + high):
        u, i = ratings[t].u, ratings[t].i
        _put(P, u, bu, batch.hits_u, batch.new_P, batch.new_bu)
        _put(Q, i, bi, batch.hits_i, batch.new_Q, batch.new_bi)


@part
def _steps(ratings, start, low, high, size, P, Q, bu, bi, batch, worker, workers):
    """Put this worker's new rows of ratings ``low`` to ``high`` of the batch in place."""
    for share in range(workers):
        a, b = _part(batch.own_u, batch.ends, 0, share, worker, workers, size, low, high)
        for at in range(a, b):
            u = ratings[start + batch.own_u[at]].u
            _put(P, u, bu, batch.hits_u, batch.new_P, batch.new_bu)
        a, b = _part(batch.own_i, batch.ends, 1, share, worker, workers, size, low, high)
        for at in range(a, b):
            i = ratings[start + batch.own_i[at]].i
            _put(Q, i, bi, batch.hits_i, batch.new_Q, batch.new_bi)


@part
def _phase(
    phase, ratings, start, low, high, size, P, Q, bu, bi, rates, form, batch, worker, workers
):
    """Do this worker's part of a phase; return its visits, which count in the sums."""
    a, b = low - start, high - start
    if phase == ERRORS:
        _errors(ratings, start, size, low, high, P, Q, bu, bi, rates, batch, worker, workers)
    elif phase == COUNTS:
        _count(ratings, start, a, b, size, batch, worker, workers)
    elif phase == SUMS and workers == 1:
        return _sums_alone(ratings, start, a, b, size, P, Q, bu, bi, rates, form, batch)
    elif phase == SUMS:
        return _sums(ratings, start, a, b, size, P, Q, bu, bi, rates, form, batch, worker, workers)
    elif workers == 1:
        _steps_alone(ratings, start, a, b, P, Q, bu, bi, batch)
    else:
        _steps(ratings, start, a, b, size, P, Q, bu, bi, batch, worker, workers)
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
        Batch's first rating, its size, phase, low, high, whether a barrier ends the phase here.
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
