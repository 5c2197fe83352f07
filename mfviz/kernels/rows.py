"""Rows of one side dealt to workers in slices of equal rating mass.

Solvers that update one side for a fixed other one hold the ratings grouped by row
(``kernels.als.group_by_row``) and treat each row as a job of its own. Popular rows are long, so
workers take slices of *ratings* from a counter and do the rows that begin in theirs.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd
from mfviz.kernels.compiling import kernel
from mfviz.kernels.order import part_seed, random_bits

__all__ = [
    "begin_at",
    "cut_rows",
    "name_rows",
    "shuffle_row",
    "shuffle_rows",
    "take_rows",
    "take_share",
]


@kernel
def begin_at(indptr, position):
    """Return the first row whose ratings begin at ``position`` or later.

    Parameters
    ----------
    indptr : (rows + 1,) int64 or int32
    position : int
    """
    low, high = 0, indptr.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if indptr[middle] < position:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def take_rows(counter, indptr, low, high, size):
    """Take the next slice of ratings ``low`` to ``high`` and return its rows.

    Parameters
    ----------
    counter : (1,) int64
        Slices that were taken before; shared.
    indptr : (rows + 1,) int64
    low, high : int
        A row that begins before ``low`` belongs to the first slice, one that ends after ``high``
        to the last.
    size : int
        Ratings of a slice.

    Returns
    -------
    first, stop : int
        Rows of the slice; ``first`` is -1 where no slice is left. Some slices have no row.
    """
    taken = simd.atomic_add(counter, 0, 1)
    start = low + taken * size
    if start >= high:
        return -1, -1
    stop = begin_at(indptr, min(start + size, high))
    if taken > 0:
        return begin_at(indptr, start), stop
    first = begin_at(indptr, low)
    return (first if indptr[first] == low else first - 1), stop


@kernel
def take_share(counter, indptr, stop, share, weight):
    """Take some of the rows before ``stop`` that nobody has taken: a share of their work.

    Parameters
    ----------
    counter : (1,) int64
        Next row that nobody has taken; shared.
    indptr : (rows + 1,) int64
    stop : int
        First row that is not to be taken.
    share : int
        One part in so many is taken, at least one row: shares get short towards the end, so that
        nobody waits long for the last one.
    weight : int
        Work of a row beside its ratings, in ratings.

    Returns
    -------
    first, last : int
        Rows that are now the caller's; ``first`` is -1 where none is left.
    """
    while True:
        first = simd.atomic_load(counter, 0)
        if first >= stop:
            return np.int64(-1), np.int64(-1)
        work = indptr[stop] - indptr[first] + (stop - first) * weight
        wanted = indptr[first] + first * weight + work // share
        low, high = first + 1, np.int64(stop)
        while low < high:  # the first row that ends beyond what is wanted
            middle = (low + high) // 2
            if indptr[middle] + middle * weight < wanted:
                low = middle + 1
            else:
                high = middle
        if simd.compare_and_swap(counter, 0, first, low):
            return first, low


@kernel
def shuffle_row(index, value, first, stop, seed, row):
    """Shuffle the ratings ``first`` to ``stop`` of a row in place.

    Parameters
    ----------
    index : (nnz,) int32, updated in place
    value : (nnz,) float32, updated in place
    first, stop : int
    seed : uint64
    row : int
        The permutation is a function of seed, row and number of ratings.
    """
    own = part_seed(seed, row)
    for j in range(stop - first - 1, 0, -1):
        bits = random_bits(own, np.uint64(j)) >> np.uint64(32)
        a, b = first + j, first + np.int64((bits * np.uint64(j + 1)) >> np.uint64(32))
        index[a], index[b] = index[b], index[a]
        value[a], value[b] = value[b], value[a]


@kernel
def shuffle_rows(indptr, index, value, first, stop, seed):
    """Shuffle the ratings of each of the rows ``first`` to ``stop`` in place.

    Parameters
    ----------
    indptr : (rows + 1,) int64 or int32
    index, value, seed
        As in :func:`shuffle_row`.
    first, stop : int
    """
    for row in range(first, stop):
        shuffle_row(index, value, indptr[row], indptr[row + 1], seed, row)


@kernel
def name_rows(indptr, row_of):
    """Write each rating's row.

    Parameters
    ----------
    indptr : (rows + 1,) int64 or int32
    row_of : (nnz,) int32, written
    """
    for row in range(len(indptr) - 1):
        for t in range(indptr[row], indptr[row + 1]):
            row_of[t] = row


@kernel
def cut_rows(indptr, index, tile, places):
    """Find where each row comes to each tile of the other side.

    Parameters
    ----------
    indptr : (rows + 1,) int64
    index : (nnz,) int32
        Ascending within a row.
    tile : int
        Columns of a tile.
    places : (tiles + 1, rows) int64, written
        Row ``k`` has the place of the first rating of tile ``k`` or of a later one; the last one
        the ends of the rows.
    """
    tiles, rows = places.shape[0] - 1, places.shape[1]
    for x in range(rows):
        at = indptr[x]
        for k in range(tiles):
            while at < indptr[x + 1] and index[at] < k * tile:
                at += 1
            places[k, x] = at
        places[tiles, x] = indptr[x + 1]
