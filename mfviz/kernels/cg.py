"""ALS by rows with conjugate gradients: a few steps from the row's old features.

``A p = b`` with the A and b of :mod:`mfviz.kernels.als` is not solved but approached: a step costs
one product with A, which is made from the ratings' rows and never stored. From the features of the
sweep before, three steps go most of the way; f steps give the solution. All numbers of a row are
float64, its old and its new features float32.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload

from mfviz.kernels import doubles
from mfviz.kernels.simd import atomic_add, clock_ns
from mfviz.kernels.spans import KERNEL, NO_REASON, write_span

__all__ = ["WIDEST", "approach_row", "approach_rows"]

WIDEST = 128  # columns; wider rows are not kept in registers
TINY = 1e-60  # squared length of a residual that is 0 for all purposes


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _dot(a, b):
    """Return the dot product of two vectors in float64 (the one sum that may be reordered)."""
    s = 0.0
    for j in range(len(b)):
        s += np.float64(a[j]) * b[j]
    return s


@numba.njit(nogil=True, cache=True)
def _add(out, factor, y):
    """Add ``factor y`` to ``out``."""
    for j in range(len(out)):
        out[j] += factor * y[j]


def _add_products(Y, index, r, first, n, x, data, model, out, parts):
    """Add ``sum_t (data r_t + model y_t.x) y_t`` over a row's ratings to ``out``."""
    raise NotImplementedError("for compiled code only")


@overload(_add_products, jit_options={"nogil": True}, inline="never")
def _add_products_of(Y, index, r, first, n, x, data, model, out, parts):
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


@numba.njit(nogil=True, cache=True)
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


@numba.njit(nogil=True, cache=True)
def approach_rows(
    X, Y, indptr, index, r, stop, grab, counter, lam, weighted, steps, tolerance,
    vectors, parts, ends, span_rows, span_fill, worker, tag,
):  # fmt: skip
    """Approach the solutions of rows of X for fixed Y, sharing the rows with other workers.

    Parameters
    ----------
    X, Y, indptr, index, r, stop, grab, counter, lam, weighted, ends
        As in :func:`mfviz.kernels.als.solve_rows`.
    steps, tolerance, vectors, parts
        As in :func:`approach_row`.
    span_rows, span_fill, worker, tag
        As in :func:`mfviz.kernels.als.solve_rows`.
    """
    start = clock_ns()
    while True:
        first = atomic_add(counter, 0, grab)
        if first >= stop:
            break
        last = min(first + grab, stop)
        for x in range(first, last):
            n = indptr[x + 1] - indptr[x]
            if n == 0:
                X[x] = np.float32(0.0)
                continue
            ridge = lam * n if weighted else lam
            approach_row(X[x], Y, index, r, indptr[x], n, ridge, steps, tolerance, vectors, parts)
        end = clock_ns()
        write_span(
            span_rows, span_fill, worker, start, end, KERNEL, indptr[last] - indptr[first],
            first, last, NO_REASON, tag,
        )  # fmt: skip
        start = end
    ends[worker, 0] = start
