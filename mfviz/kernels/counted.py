"""Hogwild's loop with marks, to count what its workers do to each other.

Each row of the model carries two numbers. One says how many visits are at the row right now: who
comes to a row where somebody is has met a *conflict*. The other is read when the visit begins and
written, one larger, when it ends, just as the row itself is: what it lacks at the end of an epoch
was overwritten, and a *lost write* of the counter stands for one of the row.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.sgd import visit

__all__ = ["counted_until"]

_SEGMENT = 1024  # ratings between two looks at the clock


@part
def _visit(rating, P, Q, bu, bi, rates, busy, written):
    """Visit a rating between its marks; return whether a row of it was another's, too."""
    u, i = np.int64(rating.u), P.shape[0] + np.int64(rating.i)
    met = simd.atomic_add(busy, u, 1) != 0
    met = (simd.atomic_add(busy, i, 1) != 0) or met
    of_u, of_i = simd.atomic_load(written, u), simd.atomic_load(written, i)
    visit(rating.u, rating.i, rating.r, P, Q, bu, bi, rates)
    simd.atomic_store(written, u, of_u + 1)
    simd.atomic_store(written, i, of_i + 1)
    simd.atomic_add(busy, u, -1)
    simd.atomic_add(busy, i, -1)
    return met


@kernel
def counted_until(
    ratings, start, stop, most_ns, signal, rows, fill, worker, P, Q, bu, bi, rates,
    busy, written, conflicts,
):  # fmt: skip
    """Visit records as :func:`mfviz.kernels.sgd.sgd_until` does, counting conflicts.

    Parameters
    ----------
    ratings, start, stop, most_ns, signal, rows, fill, worker, P, Q, bu, bi, rates
        As in :func:`mfviz.kernels.sgd.sgd_until`.
    busy : (m + n,) int64
        Visits at each row now, users first; all zero where nobody works.
    written : (m + n,) int64
        Writes of each row that were not lost; shared, and not protected either.
    conflicts : (workers, 8) int64
        Column 0: visits of each worker that met another.

    Returns
    -------
    int
        Position of the next record to visit.
    """
    begin = now = simd.clock_ns()
    at = start
    while at < stop and now - begin < most_ns:
        ahead = min(at + _SEGMENT, stop)
        for t in range(at, ahead):
            if _visit(ratings[t], P, Q, bu, bi, rates, busy, written):
                conflicts[worker, 0] += 1
        at, now = ahead, simd.clock_ns()
        if simd.atomic_load(signal, 0) != 0:
            break
    none = spans.NO_BLOCK
    spans.write_span(rows, fill, worker, begin, now, spans.KERNEL, at - start, none, none, 0, 0)
    return at
