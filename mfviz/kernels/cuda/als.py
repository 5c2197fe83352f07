"""ALS on a GPU: Gram matrices from tiles in registers, then Cholesky or conjugate gradients.

A block has a row. To sum its Gram matrix it stages the other side's rows in shared memory, some at
a time, and each thread adds the products of an 8 x 8 tile of the lower triangle in its registers.
The systems of many rows lie in global memory, divided by the rows' numbers of ratings so that they
fit half precision, and are then solved row by row: exactly, or by a few steps from the row's old
features. The arithmetic is float32; what is singular is treated as in :mod:`mfviz.kernels.als`,
whose functions are the CPU twins, with :mod:`mfviz.kernels.cg`.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from mfviz.kernels.cuda.target import SIMULATED, WARP, cuda, inlined, kernel, types
from mfviz.kernels.cuda.vectors import RUN, block_sum, load_run, meet, store_run

__all__ = ["gram_shape", "solver_threads"]

WIDTHS = (8, 64, 256)  # that are compiled in tests
TILE = 8
CELLS = TILE * TILE
STAGED = 32  # rows of the other side in shared memory, at most as many as a block has threads
AHEAD = 8  # numbers of a column that a thread has under way
MOST = 256  # threads of a block
ROOM = 104  # widest matrix that shared memory holds (48 KiB)
PROXIMAL, PIVOT, TINY = 1e-5, 1e-6, 1e-30  # the first as on the CPU; pivots as float32 has them


def gram_shape(width: int, *, shuffle: bool) -> tuple[int, int]:
    """Return the blocks that a row's Gram matrix takes, and the threads of each.

    Parameters
    ----------
    width : int
    shuffle : bool
        The other form has no more threads than work.
    """
    tiles = (width // TILE) * (width // TILE + 1) // 2
    threads = max(min(tiles, MOST), width)
    if shuffle:
        threads = -(-threads // WARP) * WARP
    return -(-tiles // threads), threads


def solver_threads(width: int, *, shuffle: bool) -> int:
    """Return the threads of a block that solves a row: one a feature, whole warps if it shuffles.

    Parameters
    ----------
    width : int
    shuffle : bool
    """
    return -(-width // WARP) * WARP if shuffle else width


def _gram_signature(stored=types.float32):
    """Types of ``gram``'s arguments.

    ``X, Y`` (rows, width) float32; biases ``bx, by`` of both sides; ``indptr`` (rows + 1,) int64,
    ``index`` (nnz,) int32 and ``r`` (nnz,) float32, grouped by row of X; ``A`` (count width,
    width), written: the full symmetric sum of ``y y^T`` over a row's n ratings, divided by n;
    ``b`` (count, width) float32, written: the sum of ``r y``, divided by n; the ``first`` row of
    this batch; ``mu, lam_bias`` float32, ``weighted`` and whether it is ``biased``. Then a row's
    bias is set first, ``sum (r - mu - by - x.y) / (n + lam_bias c)``, and all biases are taken
    off its ratings. A row without ratings is left alone.
    """
    matrix, vector = types.Array(types.float32, 2, "C"), types.Array(types.float32, 1, "C")
    places, number = types.Array(types.int64, 1, "C"), types.Array(types.int32, 1, "C")
    return types.void(
        matrix, matrix, vector, vector, places, number, vector, types.Array(stored, 2, "C"),
        matrix, types.int64, types.float32, types.float32, types.boolean, types.boolean,
    )  # fmt: skip


@inlined
def _place(own, width):
    """Row and column of a tile of the lower triangle, in tiles, and whether there is one."""
    top = np.int64(0)
    while (top + 1) * (top + 2) // 2 <= own and TILE * (top + 1) < width:
        top += 1
    left = own - top * (top + 1) // 2
    mine = left <= top
    return top, left if mine else np.int64(0), mine


@inlined
def _stage(Y, index, low, count, thread, threads, columns, staged, run):
    """Copy the rows of ``count`` ratings to shared memory, 16 bytes at a time.

    A thread keeps to its columns: where they are takes no registers for each row.
    """
    quads = columns // 4
    at_once, col = threads // quads, 4 * (thread % quads)
    if thread < at_once * quads:
        for t in range(thread // quads, count, at_once):
            load_run(Y, np.int64(index[low + t]), col, run, 0)
            store_run(staged, t, col, run, 0)


@inlined
def _stage_values(r, by, index, mu, biased, low, count, thread, values):
    """Copy ratings to shared memory, one a thread, without what does not depend on their row."""
    if thread < count:
        value = r[low + thread]
        if biased:
            value -= mu + by[index[low + thread]]
        values[thread] = value


@inlined
def _add_products(staged, count, top, left, x, y, tile):
    """Add the products of a tile over ``count`` staged rows."""
    for t in range(count):
        for k in range(0, TILE, 4):
            load_run(staged, t, TILE * top + k, x, k)
            load_run(staged, t, TILE * left + k, y, k)
        for k in range(TILE):
            for j in range(TILE):
                tile[k * TILE + j] += x[k] * y[j]


@inlined
def _write_tile(A, base, top, left, scale, x, tile, each):
    """Write a tile times ``scale``, and its mirror image."""
    for k in range(CELLS):
        tile[k] *= scale
    for k in range(TILE):
        for j in range(0, TILE, each):
            store_run(A, base + TILE * top + k, TILE * left + j, tile, TILE * k + j)
    for k in range(TILE):
        for j in range(TILE):
            x[j] = tile[TILE * j + k]
        for j in range(0, TILE, each):
            store_run(A, base + TILE * left + k, TILE * top + j, x, j)


def _gram(width, shuffle, half):
    """Make the kernel that sums the systems of rows, and sets their biases before.

    Parameters
    ----------
    width : int
        Columns of X and Y, a multiple of 8 up to 256.
    shuffle : bool
    half : bool
        Whether A is stored in half precision.
    """
    parts, threads = (np.int64(number) for number in gram_shape(width, shuffle=shuffle))
    many, deep, real = int(threads), min(STAGED, int(threads)), types.float32
    total, columns, each = block_sum(many, shuffle), np.int64(width), np.int64(8 if half else 4)

    def gram(X, Y, bx, by, indptr, index, r, A, b, first, mu, lam_bias, weighted, biased):
        at, thread = np.int64(cuda.blockIdx.x), np.int64(cuda.threadIdx.x)
        slot, part, row = at // parts, at % parts, first + at // parts
        start, n = indptr[row], indptr[row + 1] - indptr[row]
        if n == 0:
            return
        if SIMULATED:  # it does not know of alignment
            staged = cuda.shared.array((deep, width), real)
        else:
            staged = cuda.shared.array((deep, width), real, RUN)
        values = cuda.shared.array(deep, real)
        sums = cuda.shared.array(many, real)
        tile, run = cuda.local.array(CELLS, real), cuda.local.array(4, real)
        x, y = cuda.local.array(TILE, real), cuda.local.array(TILE, real)
        for k in range(CELLS):
            tile[k] = np.float32(0.0)
        top, left, mine = _place(part * threads + thread, columns)
        sides = part == 0 and thread < columns  # whether the thread has a number of b
        right = seen = rest = np.float32(0.0)
        for low in range(start, start + n, deep):
            count = min(np.int64(deep), start + n - low)
            cuda.syncthreads()
            _stage(Y, index, low, count, thread, threads, columns, staged, run)
            _stage_values(r, by, index, mu, biased, low, count, thread, values)
            cuda.syncthreads()
            _add_products(staged, count, top, left, x, y, tile)
            if sides:
                for t in range(count):
                    right += values[t] * staged[t, thread]
                    seen += staged[t, thread]
                    rest += values[t]
        if biased and part == 0:
            explained = total(X[row, min(thread, columns - 1)] * seen, thread, sums)
            times = np.float32(n) if weighted else np.float32(1.0)
            bias = (rest - explained) / (np.float32(n) + lam_bias * times)
            right -= bias * seen
            if thread == 0:
                bx[row] = bias
        scale = np.float32(1.0) / np.float32(n)
        if sides:
            b[slot, thread] = right * scale
        if mine:
            _write_tile(A, slot * columns, top, left, scale, x, tile, each)

    return gram


kernel("gram", _gram_signature, widths=WIDTHS, meets=1)(partial(_gram, half=False))
kernel("gram_half", partial(_gram_signature, types.float16), widths=(64,), meets=1)(
    partial(_gram, half=True)
)


def _solve_signature():
    """Types of ``solve_systems``'s arguments.

    ``X`` (rows, width) float32, whose rows are overwritten (an empty one by 0); ``indptr``; ``A``
    and ``b`` as of ``gram``, A overwritten; the ``first`` row of the batch; ``lam``, ``weighted``.
    """
    matrix, places = types.Array(types.float32, 2, "C"), types.Array(types.int64, 1, "C")
    return types.void(matrix, places, matrix, matrix, types.int64, types.float32, types.boolean)


@inlined
def _eliminate(M, base, columns, j, y, line, heads, floors):
    """Overwrite the upper triangle of A by U, where U^T U = A, and y by U^-T y; a column a thread.

    Returns the thread's number of y and the reciprocal of its pivot; what is no pivot gives 0.
    """
    inverse = np.float32(0.0)
    for k in range(columns):
        meet()
        pivot, head = M[base + k, k], np.float32(0.0)
        if pivot > floors[k]:
            head = np.float32(1.0) / np.float32(math.sqrt(pivot))
        if j == k:
            inverse = head
            y *= head
            heads[k] = y
        elif k < j < columns:
            line[j] = M[base + k, j] * head
            M[base + k, j] = line[j]
        meet()
        if k < j < columns:
            y -= line[j] * heads[k]
            for i in range(k + 1, j + 1):
                M[base + i, j] -= line[i] * line[j]
    return y, inverse


@inlined
def _substitute(M, base, columns, j, y, inverse, heads):
    """Return the thread's number of U^-1 y."""
    for k in range(columns - 1, -1, -1):
        if j == k:
            y *= inverse
            heads[k] = y
        meet()
        if j < k:
            y -= M[base + j, k] * heads[k]
    return y


@kernel("solve_systems", _solve_signature, widths=WIDTHS, meets=1)
def _solve(width, shuffle):
    """Make the kernel that solves systems exactly, by Cholesky's factorisation.

    Parameters
    ----------
    width : int
    shuffle : bool
    """
    fits, room = width <= ROOM, width if width <= ROOM else 1
    columns, real = np.int64(width), types.float32

    def solve(X, indptr, A, b, first, lam, weighted):
        slot, j = np.int64(cuda.blockIdx.x), np.int64(cuda.threadIdx.x)
        row = first + slot
        n = indptr[row + 1] - indptr[row]
        if n == 0:
            if j < columns:
                X[row, j] = np.float32(0.0)
            return
        near = cuda.shared.array((room, room), real)
        line = cuda.shared.array(width, real)
        heads = cuda.shared.array(width, real)
        floors = cuda.shared.array(width, real)
        M, base = (near, np.int64(0)) if fits else (A, slot * columns)
        ridge = lam if weighted else lam / np.float32(n)
        y = np.float32(0.0)
        if j < columns:
            if fits:
                for k in range(columns):
                    near[k, j] = A[slot * columns + k, j]
            diagonal = M[base + j, j]
            missing = max(np.float32(0.0), np.float32(PROXIMAL) * diagonal - ridge)
            y = b[slot, j] + missing * X[row, j]
            M[base + j, j] = diagonal + ridge + missing
            floors[j] = np.float32(PIVOT) * (diagonal + ridge) + np.float32(TINY)
        y, inverse = _eliminate(M, base, columns, j, y, line, heads, floors)
        y = _substitute(M, base, columns, j, y, inverse, heads)
        if j < columns:
            X[row, j] = y

    return solve


def _approach_signature(stored=types.float32):
    """Types of ``approach_systems``'s arguments.

    Those of ``solve_systems``, A of either precision and left as it is, then the number of
    ``steps`` and the ``tolerance``: the share of its first length at which the residual is short
    enough.
    """
    matrix, places = types.Array(types.float32, 2, "C"), types.Array(types.int64, 1, "C")
    return types.void(
        matrix, places, types.Array(stored, 2, "C"), matrix, types.int64, types.float32,
        types.boolean, types.int64, types.float32,
    )  # fmt: skip


@inlined
def _add_image(A, base, j, told, value):
    """Return a thread's ``value`` and its number of A times ``told``.

    How far to go is read from A: up to a constant, compilers have the whole column under way at
    once, each number in a register of its own.
    """
    for low in range(0, A.shape[1], AHEAD):
        for k in range(low, low + AHEAD):
            value += np.float32(A[base + k, j]) * told[k]
    return value


def _approach(width, shuffle):
    """Make the kernel that approaches the solutions of systems by conjugate gradients.

    Parameters
    ----------
    width : int
    shuffle : bool

    Notes
    -----
    A thread has a feature, and reads A's columns, which are its rows.
    """
    threads = solver_threads(width, shuffle=shuffle)
    total, columns, real = block_sum(threads, shuffle), np.int64(width), types.float32

    def approach(X, indptr, A, b, first, lam, weighted, steps, tolerance):
        slot, j = np.int64(cuda.blockIdx.x), np.int64(cuda.threadIdx.x)
        row, base = first + slot, slot * columns
        n = indptr[row + 1] - indptr[row]
        if n == 0:
            if j < columns:
                X[row, j] = np.float32(0.0)
            return
        told = cuda.shared.array(threads, real)
        sums = cuda.shared.array(threads, real)
        ridge = lam if weighted else lam / np.float32(n)
        x = residual = np.float32(0.0)
        if j < columns:
            x = X[row, j]
            residual = b[slot, j] - ridge * x
        told[j] = x
        cuda.syncthreads()
        if j < columns:
            residual = -_add_image(A, base, j, told, -residual)
        direction, square = residual, total(residual * residual, j, sums)
        least = max(tolerance * tolerance * square, np.float32(TINY))
        for _ in range(steps):
            if square <= least:
                break
            told[j] = direction
            cuda.syncthreads()
            image = ridge * direction
            if j < columns:
                image = _add_image(A, base, j, told, image)
            curvature = total(direction * image, j, sums)
            if curvature <= np.float32(0.0):
                break
            x += square / curvature * direction
            residual -= square / curvature * image
            before, square = square, total(residual * residual, j, sums)
            direction = residual + square / before * direction
        if j < columns:
            X[row, j] = x

    return approach


kernel("approach_systems", _approach_signature, widths=WIDTHS, meets=1)(_approach)
kernel(
    "approach_systems_half", partial(_approach_signature, types.float16), widths=(64,), meets=1
)(_approach)
