"""ALS by rows with conjugate gradients: a few steps from the row's old features.

``A p = b`` with the A and b of :mod:`mfviz.kernels.als` is not solved but approached: a step costs
one product with A. From the features of the sweep before, three steps go most of the way; f steps
give the solution. All numbers of a row are float64, its old and its new features float32.

A is made from the ratings' rows and never stored, or, as cuMF_ALS does it on GPUs, summed once and
kept in single or half precision: that is cheaper where a row has more ratings than features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from mfviz.kernels import doubles, simd
from mfviz.kernels.als import sum_system
from mfviz.kernels.compiling import PART, kernel, part
from mfviz.kernels.halves import load_half, store_half
from mfviz.kernels.rows import take_share
from mfviz.kernels.simd import clock_ns
from mfviz.kernels.spans import KERNEL, NO_REASON, write_span
from mfviz.kernels.uncounted import uncounted

__all__ = ["WIDEST", "Stored", "approach_row", "approach_rows"]

WIDEST = 128  # columns; wider rows are not kept in registers
TINY = 1e-60  # squared length of a residual that is 0 for all purposes


class Stored(NamedTuple):
    """Room of a worker for a row's system, and how its A is stored.

    Attributes
    ----------
    A : (f, f) float64
        Rounded to the precision that A is stored in.
    b : (f,) float64
    packed : (1, BLOCK f) float32
    halves : (1, f) uint16
    half : bool
        Whether A is rounded to half precision, else to single.
    """

    A: np.ndarray
    b: np.ndarray
    packed: np.ndarray
    halves: np.ndarray
    half: bool


@part(fastmath={"reassoc", "contract"})
def _dot(a, b):
    """Return the dot product of two vectors in float64 (the one sum that may be reordered)."""
    s = 0.0
    for j in range(len(b)):
        s += np.float64(a[j]) * b[j]
    return s


@part
def _add(out, factor, y):
    """Add ``factor y`` to ``out``."""
    for j in range(len(out)):
        out[j] += factor * y[j]


def _add_products(Y, index, r, first, n, x, data, model, out, parts):
    """Add ``sum_t (data r_t + model y_t.x) y_t`` over a row's ratings to ``out``."""
    raise NotImplementedError("for compiled code only")


@overload(_add_products, jit_options=PART, inline="never")
def _add_products_of(Y, index, r, first, n, x, data, model, out, parts):
    if isinstance(index, types.NoneType):
        return _of_stored
    return _in_registers if len(parts) else _in_memory


def _in_registers(Y, index, r, first, n, x, data, model, out, parts):
    known, total = doubles.load_doubles(x, parts), doubles.load_doubles(out, parts)
    for t in range(first, first + n):
        y = doubles.widen_row(Y, index[t], parts)
        weight = data * np.float64(r[t]) + model * doubles.dot(known, y)
        total = doubles.add_scaled(weight, y, total)
    doubles.store_doubles(out, total)


def _in_memory(Y, index, r, first, n, x, data, model, out, parts):
    for t in range(first, first + n):
        y = Y[index[t]]
        _add(out, data * np.float64(r[t]) + model * _dot(y, x), y)


def _of_stored(Y, index, r, first, n, x, data, model, out, parts):
    """The same from a sum that was made before: Y is A, r is b."""
    _add(out, data, r)
    for k in range(len(x)):
        _add(out, model * x[k], Y[k])


@kernel
def approach_row(row, Y, index, r, first, n, ridge, steps, tolerance, vectors, parts):
    """Overwrite a row with ``steps`` steps of conjugate gradients from what it was.

    Parameters
    ----------
    row : (f,) float32, updated in place
    Y : (cols, f) float32
    index : (nnz,) int32
    r : (nnz,) float32
    first, n : int
        The row's ratings are ``first`` to ``first + n``.
    ridge : float
    steps : int
    tolerance : float
        Share of its first length at which the residual is short enough; 0: never.
    vectors : (4, f) float64
        Workspace.
    parts : tuple
        ``registers.parts_of(f)`` to keep rows in registers, or () for any f.

    Notes
    -----
    4 n f flops a step. Without a ridge, directions that the data do not determine stay as they
    were, as the first residual has nothing of them.

    References
    ----------
    Hestenes, Stiefel, 1952; Tan et al., "Matrix factorization on GPUs with memory optimization and
    approximate computing", ICPP 2018, for ALS.
    """
    p, residual, direction, image = vectors[0], vectors[1], vectors[2], vectors[3]
    p[:] = row
    residual[:] = 0.0
    _add_products(Y, index, r, first, n, p, 1.0, -1.0, residual, parts)
    _add(residual, -ridge, p)
    direction[:] = residual
    square = _dot(residual, residual)
    least = tolerance * tolerance * square
    for _ in range(steps):
        if square <= least or square <= TINY:
            break
        image[:] = 0.0
        _add_products(Y, index, r, first, n, direction, 0.0, 1.0, image, parts)
        _add(image, ridge, direction)
        curvature = _dot(direction, image)
        if curvature <= 0.0:
            break
        _add(p, square / curvature, direction)
        _add(residual, -square / curvature, image)
        before, square = square, _dot(residual, residual)
        for j in range(len(direction)):
            direction[j] = residual[j] + square / before * direction[j]
    for j in range(len(row)):
        row[j] = p[j]


@part
def _store_system(Y, index, r, first, n, system):
    """Sum a row's system, divide it by the number of ratings and round A as it is stored."""
    A, b, packed, f = system.A, system.b, system.packed, Y.shape[1]
    sum_system(Y, index, r, first, n, A.reshape(f * f), b, packed)
    for k in range(f):
        b[k] /= n
        for j in range(k, f):
            packed[0, j] = A[k, j] / n
        if system.half:
            for j in range(0, f, simd.LANES):
                store_half(system.halves, 0, j, simd.load(packed, 0, j))
                simd.store(packed, 0, j, load_half(system.halves, 0, j))
        for j in range(k, f):
            A[k, j] = A[j, k] = packed[0, j]


def _approach(row, Y, index, r, first, n, ridge, steps, tolerance, vectors, parts):
    """Approach the solution of a row that has ratings, in one of both ways."""
    raise NotImplementedError("for compiled code only")


@overload(_approach, jit_options=PART, inline="never")
def _approach_of(row, Y, index, r, first, n, ridge, steps, tolerance, vectors, parts):
    return _from_system if isinstance(parts, types.NamedTuple) else _from_ratings


def _from_ratings(row, Y, index, r, first, n, ridge, steps, tolerance, vectors, parts):
    approach_row(row, Y, index, r, first, n, ridge, steps, tolerance, vectors, parts)


def _from_system(row, Y, index, r, first, n, ridge, steps, tolerance, vectors, parts):
    _store_system(Y, index, r, first, n, parts)
    approach_row(row, parts.A, None, parts.b, 0, 0, ridge / n, steps, tolerance, vectors, ())


@kernel
def approach_rows(
    X, Y, indptr, index, r, stop, share, counter, lam, weighted, steps, tolerance,
    vectors, parts, ends, span_rows, span_fill, worker, tag,
):  # fmt: skip
    """Approach the solutions of rows of X for fixed Y, sharing the rows with other workers.

    Parameters
    ----------
    X, Y, indptr, index, r, stop, share, counter, lam, weighted, ends
        As in :func:`mfviz.kernels.als.solve_rows`.
    steps, tolerance, vectors
        As in :func:`approach_row`.
    parts : tuple or Stored
        Room for a row's system, if A is to be stored; else as in :func:`approach_row`.
    span_rows, span_fill, worker, tag
        As in :func:`mfviz.kernels.als.solve_rows`.
    """
    X, Y, indptr, index, r = uncounted((X, Y, indptr, index, r))
    vectors, parts = uncounted(vectors), uncounted(parts)
    start = clock_ns()
    while True:
        first, last = take_share(counter, indptr, stop, share, 0)
        if first < 0:
            break
        for x in range(first, last):
            n = indptr[x + 1] - indptr[x]
            if n == 0:
                X[x] = np.float32(0.0)
                continue
            ridge = lam * n if weighted else lam
            _approach(X[x], Y, index, r, indptr[x], n, ridge, steps, tolerance, vectors, parts)
        end = clock_ns()
        write_span(
            span_rows, span_fill, worker, start, end, KERNEL, indptr[last] - indptr[first],
            first, last, NO_REASON, tag,
        )  # fmt: skip
        start = end
    ends[worker, 0] = start
