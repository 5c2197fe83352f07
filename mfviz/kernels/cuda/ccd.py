"""CCD++ on a GPU: passes over a residual, with as many threads a row as its length needs.

The functions of :mod:`mfviz.kernels.ccdpp` and :mod:`mfviz.kernels.bias` are the CPU twins. What
is to be taken off the residual of the feature before is taken off in the pass that adds the next
one back. A pass may come tile by tile of the other side, whose sums lie in memory in between. Sums
are float32.

Of these kernels the width is the number of threads of a row: 1 to 32 that shuffle, or 128, a
block.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels.cuda.target import BLOCK, cuda, inlined, kernel, types
from mfviz.kernels.cuda.vectors import block_sum, lane_sum

__all__ = ["THREADS", "fit_feature", "row_grid", "step_biases"]

THREADS = (1, 2, 4, 8, 16, 32, BLOCK)  # of a row, by its length


def row_grid(rows: int, threads: int, *, shuffle: bool) -> tuple[int, int]:
    """Return the numbers of blocks and of threads a block for so many rows.

    Parameters
    ----------
    rows : int
    threads : int
        Of a row.
    shuffle : bool
        The other form has one row a block.
    """
    block = BLOCK if shuffle else threads
    return -(-rows * threads // block), block


def _total(threads, shuffle):
    """Sum over the threads of a row."""
    return block_sum(threads, shuffle) if threads == BLOCK else lane_sum(threads, shuffle)


def _feature_signature():
    matrix, vector = types.Array(types.float32, 2, "C"), types.Array(types.float32, 1, "C")
    number, places, whole = types.Array(types.int32, 1, "C"), types.int64, types.int64
    return types.void(
        matrix, matrix, vector, matrix, vector, number, types.Array(places, 2, "C"), number,
        *[whole] * 6, types.boolean, types.boolean, types.float32, types.boolean,
    )  # fmt: skip


@inlined
def _residual(R, s, col, y, was, off, YT, old, pending, stale):
    """Add the feature back to the residual of a rating, and take off what is pending."""
    r, z = R[s], np.float32(0.0)
    if off != np.float32(0.0):
        z = old[col] if pending < 0 else YT[pending, col]
    r += was * (old[col] if stale else y) - off * z
    R[s] = r
    return r


@kernel("fit_feature", _feature_signature, widths=(1, 8, BLOCK), meets=BLOCK)
def fit_feature(width, shuffle):
    """Make the kernel that finds the best values of a feature of rows.

    Parameters
    ----------
    width : int
        Threads of a row, one of :data:`THREADS`.
    shuffle : bool

    Notes
    -----
    The kernel takes ``XT, YT`` (rank, rows), (rank, cols) float32; ``old`` (n,) float32, the
    items' values of the feature before its pass over them, which writes them; ``sums`` (2, rows)
    float32, of the tiles so far; ``R`` (nnz,) float32 and ``index`` (nnz,) int32, by row;
    ``places`` (tiles + 1, rows) int64, where each tile of a row begins; the ``rows`` of this bin,
    ``many`` from the ``first``; the ``tile``, the feature ``t`` and what is ``pending`` (-1:
    nothing, -2: the feature itself as it was, in ``old``); whether these are the ``users``, who
    find the items' values of before in ``old``; whether t was added back ``again``; ``lam`` and
    ``weighted``.
    """
    threads, total, most, real = np.int64(width), _total(width, shuffle), width, types.float32

    def fit(
        XT, YT, old, sums, R, index, places, rows, first, many, tile, t, pending, tiles,
        users, again, lam, weighted,
    ):  # fmt: skip
        at = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        lane, which = at % threads, at // threads
        if which >= many:
            return
        buffer = cuda.shared.array(most, real)
        x = np.int64(rows[first + which])
        start, stop = places[tile, x], places[tile + 1, x]
        was, off, top, bottom = XT[t, x], np.float32(0.0), np.float32(0.0), np.float32(0.0)
        if pending != -1:
            off = XT[pending if pending >= 0 else t, x]
        for s in range(start + lane, stop, threads):
            col = np.int64(index[s])
            y = YT[t, col]
            r = R[s] if again else _residual(R, s, col, y, was, off, YT, old, pending, users)
            top += r * y
            bottom += y * y
        top, bottom = total(top, lane, buffer), total(bottom, lane, buffer)
        if lane != 0:
            return
        if tile > 0:
            top += sums[0, x]
            bottom += sums[1, x]
        if tile + 1 < tiles:
            sums[0, x], sums[1, x] = top, bottom
            return
        n = np.float32(stop - places[0, x])
        bottom += lam * n if weighted else lam
        XT[t, x] = top / bottom if bottom > np.float32(0.0) else np.float32(0.0)
        if not users and not again:
            old[x] = was

    return fit


def _biases_signature():
    matrix, vector = types.Array(types.float32, 2, "C"), types.Array(types.float32, 1, "C")
    number, places, whole = types.Array(types.int32, 1, "C"), types.int64, types.int64
    return types.void(
        matrix, matrix, *[vector] * 4, number, types.Array(places, 2, "C"), number,
        *[whole] * 3, types.boolean, types.boolean, types.float32, types.boolean,
    )  # fmt: skip


@kernel("step_biases", _biases_signature, widths=(1, 8, BLOCK), meets=BLOCK)
def step_biases(width, shuffle):
    """Make the kernel that sets the best biases of rows, and brings the residual up to date.

    Parameters
    ----------
    width : int
        Threads of a row, one of :data:`THREADS`.
    shuffle : bool

    Notes
    -----
    The kernel takes ``XT, YT`` and what is ``pending`` (-1: nothing) of them; the rows' ``biases``
    and by how much they ``step``, written; by how much the other side's biases did, ``change``, if
    they ``changed``; ``R, index, places, rows``, the ``first`` and how ``many`` as of
    ``fit_feature``; whether biases are set (``on``) or R is only brought up to date; ``lam`` of
    biases and ``weighted``.
    """
    threads, total, most, real = np.int64(width), _total(width, shuffle), width, types.float32

    def step(
        XT, YT, biases, steps, change, R, index, places, rows, first, many, pending,
        changed, on, lam, weighted,
    ):  # fmt: skip
        at = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        lane, which = at % threads, at // threads
        if which >= many:
            return
        buffer = cuda.shared.array(most, real)
        x = np.int64(rows[first + which])
        start, stop = places[0, x], places[places.shape[0] - 1, x]
        left, was = np.float32(0.0), biases[x]
        for s in range(start + lane, stop, threads):
            col, r = np.int64(index[s]), R[s]
            if pending >= 0:
                r -= XT[pending, x] * YT[pending, col]
            if changed:
                r -= change[col]
            R[s] = r
            left += r + was
        if not on:
            return
        left = total(left, lane, buffer)
        n = np.float32(stop - start)
        new = left / (n + (lam * n if weighted else lam))
        for s in range(start + lane, stop, threads):
            R[s] -= new - was
        if lane == 0:
            biases[x] = new
            steps[x] = new - was

    return step
