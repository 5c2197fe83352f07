"""Rows of one side walk through their ratings while the other side is read: MSGD's kernel.

The lanes of a row (:func:`~mfviz.kernels.cuda.vectors.lanes_of`) hold its features in registers,
four or eight a lane, read the other side's rows with 16-byte loads, one rating ahead, and write
their own row once. The blocks are as many as the rows need and the hardware deals them out, so a
long row holds up nothing but itself. The CPU twin is :func:`mfviz.kernels.asgd.visit_rows`.
"""

from __future__ import annotations

import math

import numpy as np

from mfviz.kernels.cuda.target import BLOCK, cuda, inlined, kernel, types
from mfviz.kernels.cuda.vectors import held_by_lane, lanes_of, row_sum, row_tools
from mfviz.kernels.fractional import NEAR_ZERO

__all__ = ["WIDEST", "grid", "visit_rows", "visit_rows_fractional", "width_of"]

WIDEST = 256  # features of a row that fit the registers of a warp with room for two loads
EIGHT = 8  # rows on the device are padded to 32 bytes, a sector of memory


def width_of(rank: int) -> int:
    """Columns that a row of this rank has on the device."""
    return -(-rank // EIGHT) * EIGHT


def grid(rows: int, width: int, *, shuffle: bool, each: int = 4) -> tuple[int, int]:
    """Return the numbers of blocks and of threads a block for so many rows.

    Parameters
    ----------
    rows, width : int
    shuffle : bool
        The other form has one row a block.
    each : int
        Numbers of a load, as for :func:`~mfviz.kernels.cuda.vectors.lanes_of`.
    """
    lanes = lanes_of(width, each)
    threads = BLOCK if shuffle else lanes
    return max(1, -(-rows * lanes // threads)), threads


def _signature(*more):
    matrix, vector = types.Array(types.float32, 2, "C"), types.Array(types.float32, 1, "C")
    number, whole = types.Array(types.int32, 1, "C"), types.int64
    return types.void(
        matrix, matrix, vector, vector, number, number, vector, *[whole] * 6,
        *[types.float32] * 5, types.boolean, *more,
    )  # fmt: skip


@inlined
def _never(t, error, lane, errors, offset, adaptive, total, buffer):
    """Nothing slows a rating's step down."""
    return np.float32(1.0)


@inlined
def _by_errors(t, error, lane, errors, offset, adaptive, total, buffer):
    """The root of a rating's squared errors so far does, which one lane keeps."""
    slow = np.float32(1.0)
    if adaptive:
        known = np.float32(0.0)
        if lane == 0:
            known = errors[t]
            errors[t] = known + error * error
        slow = np.float32(1.0) / np.float32(math.sqrt(offset + total(known, lane, buffer)))
    return slow


@inlined
def _alike(x, share, quarters):
    """All features take the same step."""
    return np.float32(1.0)


@inlined
def _by_size(x, share, quarters):
    """Larger ones take larger steps."""
    half, power = np.float32(math.sqrt(abs(x) + np.float32(NEAR_ZERO))), np.float32(1.0)
    if quarters == 2:
        power = half
    elif quarters != 0:
        power = np.float32(math.sqrt(half))
        if quarters == 3:
            power *= half
    return np.float32(1.0) + share * power


def _walk(width, shuffle, slow_of, times_of):
    """Make the device function that walks a row through its ratings.

    Parameters
    ----------
    width : int
    shuffle : bool
    slow_of, times_of : callable
        What a rating's rates are multiplied with, and the step of a feature.
    """
    lanes, held = np.int64(lanes_of(width)), held_by_lane(width)
    (load, store), total = row_tools(width), row_sum(width, shuffle)

    def walk(
        X, Y, bx, by, indptr, ids, values, first, rows, low, high, base, other,
        mu, lr, lam, lr_bias, lam_bias, biased, errors, offset, adaptive, share, quarters,
        at, buffer, x, y, ahead,
    ):  # fmt: skip
        lane, row = at % lanes, first + at // lanes
        start = stop = np.int64(0)
        if row < first + rows:
            start = max(np.int64(indptr[row]), low) - base
            stop = min(np.int64(indptr[row + 1]), high) - base
        if start < stop:
            i, r = np.int64(ids[3 * start + other]), values[3 * start + 2]
            load(X, row, lane, x)
            load(Y, i, lane, ahead)
            bias = bx[row] if biased else np.float32(0.0)
            for t in range(start, stop):
                z, rating = mu + by[i] if biased else mu, r
                for k in range(held):
                    y[k] = ahead[k]
                if t + 1 < stop:
                    i, r = np.int64(ids[3 * t + 3 + other]), values[3 * t + 5]
                    load(Y, i, lane, ahead)
                s = np.float32(0.0)
                for k in range(held):
                    s += x[k] * y[k]
                error = rating - (z + bias + total(s, lane, buffer))
                slow = slow_of(t, error, lane, errors, offset, adaptive, total, buffer)
                step, shrink = lr * slow * error, lr * slow * lam
                for k in range(held):
                    times = times_of(x[k], share, quarters)
                    x[k] = step * times * y[k] + (np.float32(1.0) - shrink * times) * x[k]
                if biased:
                    bias += lr_bias * (error - lam_bias * bias)
            store(X, row, lane, x)
            if biased and lane == 0:
                bx[row] = bias

    return inlined(walk)


@kernel("visit_rows", _signature)
def visit_rows(width, shuffle):
    """Make the kernel that updates rows of X by their ratings, one after the other.

    Parameters
    ----------
    width : int
        Columns of X and Y, a multiple of 8 up to ``WIDEST``.
    shuffle : bool

    Notes
    -----
    The kernel takes ``X, Y`` (rows, width) and biases ``bx, by`` float32; ``indptr`` (rows + 1,)
    int32; the triples (u, i, r) as int32 ``ids`` and as float32 ``values``, one memory; ``first``
    row and number of ``rows``; the ratings ``low`` to ``high`` that may be visited; ``base``,
    position of the first triple; ``other``, column of the other side's id; then the rates.
    """
    most, held, real = lanes_of(width), held_by_lane(width), types.float32
    walk, none = _walk(width, shuffle, _never, _alike), np.float32(0.0)

    def visit(
        X, Y, bx, by, indptr, ids, values, first, rows, low, high, base, other,
        mu, lr, lam, lr_bias, lam_bias, biased,
    ):  # fmt: skip
        buffer = cuda.shared.array(most, real)
        x, y = cuda.local.array(held, real), cuda.local.array(held, real)
        ahead = cuda.local.array(held, real)
        at = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        walk(
            X, Y, bx, by, indptr, ids, values, first, rows, low, high, base, other,
            mu, lr, lam, lr_bias, lam_bias, biased, values, none, False, none, 0,
            at, buffer, x, y, ahead,
        )  # fmt: skip

    return visit


@kernel(
    "visit_rows_fractional",
    lambda: _signature(
        types.Array(types.float32, 1, "C"), types.float32, types.boolean, types.float32,
        types.int64,
    ),
)  # fmt: skip
def visit_rows_fractional(width, shuffle):
    """Make the kernel of FAMPSGD: ``visit_rows`` with steps of fractional order.

    Parameters
    ----------
    width : int
    shuffle : bool

    Notes
    -----
    After the arguments of ``visit_rows`` come the squared ``errors`` (nnz,) float32 of each
    rating so far, updated; ``offset``, what they are added to, and whether steps are
    ``adaptive``; ``share`` and ``quarters`` of the growth, as of
    :class:`mfviz.kernels.fractional.Fractional`.
    """
    most, held, real = lanes_of(width), held_by_lane(width), types.float32
    walk = _walk(width, shuffle, _by_errors, _by_size)

    def visit(
        X, Y, bx, by, indptr, ids, values, first, rows, low, high, base, other,
        mu, lr, lam, lr_bias, lam_bias, biased, errors, offset, adaptive, share, quarters,
    ):  # fmt: skip
        buffer = cuda.shared.array(most, real)
        x, y = cuda.local.array(held, real), cuda.local.array(held, real)
        ahead = cuda.local.array(held, real)
        at = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        walk(
            X, Y, bx, by, indptr, ids, values, first, rows, low, high, base, other,
            mu, lr, lam, lr_bias, lam_bias, biased, errors, offset, adaptive, share, quarters,
            at, buffer, x, y, ahead,
        )  # fmt: skip

    return visit
