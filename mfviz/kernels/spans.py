"""Writing spans from inside a kernel: the twin of :mod:`mfviz.telemetry.clock`.

The constants are positions in ``telemetry.events.OPS`` and ``REASONS``, the columns those of
``telemetry.clock.FIELDS``; kernels import neither, and a test holds the two sides together.
"""

from __future__ import annotations

from mfviz.kernels.compiling import part

__all__ = [
    "BARRIER",
    "HOST",
    "KERNEL",
    "NO_BLOCK",
    "NO_FREE_BLOCK",
    "NO_REASON",
    "WAIT",
    "write_span",
]

KERNEL, HOST, WAIT = 2, 3, 4  # op
NO_REASON, BARRIER, NO_FREE_BLOCK = 0, 1, 2  # reason
NO_BLOCK = -1  # row and col of a span that is no block of a grid


@part
def write_span(rows, fill, worker, start, end, op, ratings, row, col, reason, tag):
    """Append a span to the lane of ``worker``; where the lane is full, count it as dropped.

    Parameters
    ----------
    rows : (workers, capacity, 9) int64
        ``SpanBuffer.rows``.
    fill : (workers, 8) int64
        ``SpanBuffer.fill``.
    worker : int
        Lane; only this worker's thread may write to it.
    start, end : int
        Nanoseconds of :func:`mfviz.kernels.simd.clock_ns`.
    op, reason : int
        Codes of this module.
    ratings : int
        Rating updates made in the span.
    row, col : int
        Block of a grid, or ``NO_BLOCK``.
    tag : int
        Position of the span's name in ``Context.names``.
    """
    at = fill[worker, 0]
    if at == rows.shape[1]:
        fill[worker, 1] += 1
        return
    rows[worker, at, 0] = start
    rows[worker, at, 1] = end
    rows[worker, at, 2] = op
    rows[worker, at, 3] = ratings
    rows[worker, at, 4] = row
    rows[worker, at, 5] = col
    rows[worker, at, 6] = reason
    rows[worker, at, 7] = tag
    rows[worker, at, 8] = 0  # bytes: only copies have some
    fill[worker, 0] = at + 1
