"""Ratings into a grid of blocks by counting sorts: who counts and places what.

Each worker has a contiguous part of the ratings. It counts its ratings of every block; from the
counts of all follows where each writes its own, so nobody waits for anybody and the order is that
of one worker: block by block, and within a block as in the source.

References
----------
Knuth, The Art of Computer Programming 3, section 5.2, distribution counting.
"""

from __future__ import annotations

from mfviz.kernels import simd
from mfviz.kernels.compiling import kernel

__all__ = ["count_blocks", "order_block", "place_blocks"]

_AHEAD = 16  # ratings whose place is asked for before it is needed


@kernel
def count_blocks(x, y, row_of_x, col_of_y, low, high, counts):
    """Count ratings ``low`` to ``high`` by block.

    Parameters
    ----------
    x, y : (nnz,) int32
    row_of_x, col_of_y : (rows,), (cols,) int32
        Row block of each x, already times the number of column blocks; column block of each y.
    low, high : int
    counts : (blocks,) int64, updated in place
    """
    for t in range(low, high):
        counts[row_of_x[x[t]] + col_of_y[y[t]]] += 1


@kernel(error_model="numpy")
def place_blocks(x, y, r, scale, row_of_x, col_of_y, low, high, starts, swap, records):
    """Copy ratings ``low`` to ``high`` to their blocks.

    Parameters
    ----------
    x, y, row_of_x, col_of_y, low, high
        As in :func:`count_blocks`.
    r : (nnz,) float32
    scale : float32
        Values are divided by it.
    starts : (blocks,) int64, updated in place
        Where the next rating of each block goes.
    swap : bool
        Whether the record's ``u`` is to be y and its ``i`` to be x.
    records : (nnz,) TRIPLE, written
    """
    for t in range(low, high):
        block = row_of_x[x[t]] + col_of_y[y[t]]
        at = starts[block]
        if swap:
            records[at].u, records[at].i = y[t], x[t]
        else:
            records[at].u, records[at].i = x[t], y[t]
        records[at].r = r[t] / scale
        starts[block] = at + 1


@kernel
def order_block(records, start, stop, places, scratch):
    """Order the records of a block by ``u``; equal ones keep their order.

    Parameters
    ----------
    records : (nnz,) TRIPLE, updated in place
    start, stop : int
    places : (rows + 1,) int64
        Workspace, for every ``u``.
    scratch : (at least stop - start,) TRIPLE
        Workspace.
    """
    ordered = True
    for t in range(start + 1, stop):
        ordered = ordered and records[t - 1].u <= records[t].u
    if ordered:
        return
    places[:] = 0
    for t in range(start, stop):
        scratch[t - start] = records[t]
        places[records[t].u + 1] += 1
    for u in range(1, places.shape[0]):
        places[u] += places[u - 1]
    count = stop - start
    for t in range(count):
        if t + _AHEAD < count:
            simd.prefetch_item(records, start + places[scratch[t + _AHEAD].u])
        u = scratch[t].u
        records[start + places[u]] = scratch[t]
        places[u] += 1
