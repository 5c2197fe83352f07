"""Exact ALS by rows: Gram matrix, Cholesky factorisation and solve of one row at a time.

For each user u (items: the same with the sides swapped) the features are the solution of

    A p = b,   A = sum_i q_i q_i^T + ridge I,   b = sum_i r_ui q_i

over the items that the user has rated. Rows are independent of each other, and each is computed
by the same instructions in the same order whoever computes it, so the result does not depend on
workers or chunks to the last bit.

A row with fewer ratings than features is solved in its dual form,
``p = Y^T (Y Y^T + ridge I)^-1 r`` with Y the (ratings, f) matrix of its items, which is the same p
for less work (unless the ridge is next to nothing): the cost of a row is cubic in the smaller of
the two numbers.

Notes
-----
Digits: products are summed in float32 over blocks of at most ``BLOCK`` ratings and the blocks in
float64; right-hand side, factorisation and solve are float64 throughout. A row of 10^5 ratings
loses no more than one of 64.

Systems that are singular, or nearly (``lam = 0`` with fewer ratings than features, equal items):
where the ridge is below ``PROXIMAL`` of a diagonal entry A_kk, the difference d_k is made up for
by a proximal term, ``sum_k d_k (p_k - old p_k)^2``. What the data do not determine then stays as
it was; the objective cannot rise, its minima are the same, and other systems are not touched.
"""

from __future__ import annotations

import numba

from mfviz.kernels import simd
from mfviz.kernels.rows import take_share
from mfviz.kernels.simd import clock_ns
from mfviz.kernels.spans import KERNEL, NO_REASON, write_span
from mfviz.kernels.tiles import (
    COLS_F32,
    TILE,
    add_corner,
    add_outer,
    add_weighted,
    factor_tile,
    finish_tile,
    transpose,
)
from mfviz.kernels.triangles import substitute_down, substitute_up
from mfviz.kernels.uncounted import uncounted

__all__ = ["BLOCK", "PIVOT", "group_by_row", "solve_rows", "sum_system"]

BLOCK = 64  # ratings summed in float32: 16 KiB of packed features at rank 64, half of L1
PROXIMAL = 1e-5  # some 30 times the rounding noise of a block
DUAL_RIDGE = 1e-4
PIVOT, TINY = 1e-9, 1e-30  # pivots of features that are 0 in all items: what is no pivot gives 0


@numba.njit(nogil=True, cache=True)
def _clear(a, count):
    """Set the first ``count`` numbers to 0 (assigning to a slice takes seconds to compile)."""
    for k in range(count):
        a[k] = 0


@numba.njit(nogil=True, cache=True)
def group_by_row(row, col, r, indptr, index, value):
    """Group ratings by row with a counting sort that keeps their order.

    Parameters
    ----------
    row, col : (nnz,) int32
        The side to group by, and the other side.
    r : (nnz,) float32
    indptr : (rows + 1,) int64, written
    index : (nnz,) int32, written
    value : (nnz,) float32, written
    """
    _clear(indptr, len(indptr))
    for t in range(len(row)):
        indptr[row[t] + 1] += 1
    for k in range(1, len(indptr)):
        indptr[k] += indptr[k - 1]
    for t in range(len(row)):  # indptr[k] walks from the start of row k to its end ...
        at = indptr[row[t]]
        index[at] = col[t]
        value[at] = r[t]
        indptr[row[t]] = at + 1
    for k in range(len(indptr) - 1, 0, -1):  # ... which is the start of row k + 1
        indptr[k] = indptr[k - 1]
    indptr[0] = 0


@numba.njit(nogil=True, cache=True)
def _add_gram(A, w, packed, count, fresh):
    """Add to the upper triangle of A, or write there, the outer products of packed rows."""
    for a in range(0, w, TILE):
        first = a
        if a % COLS_F32 != 0:
            add_corner(A, a * w + a, w, packed, a, a, w, count, fresh)
            first = a + TILE
        for b in range(first, w, COLS_F32):
            add_outer(A, a * w + b, w, packed, a, b, w, count, fresh)


@numba.njit(nogil=True, cache=True)
def _factor(A, w, floors):
    """Overwrite the upper triangle of A (w, w) with U, where U^T U = A, in panels of eight rows.

    The diagonal holds the reciprocals of U's; what is below it is neither needed nor kept.
    """
    for k in range(w):
        floors[k] = PIVOT * A[k * w + k] + TINY
    for top in range(0, w, TILE):
        factor_tile(A, w, top, floors)
        for right in range(top + TILE, w, TILE):
            finish_tile(A, w, top, right)


@numba.njit(nogil=True, cache=True)
def _substitute(A, w, b):
    """Overwrite b with the solution of U^T U x = b."""
    for top in range(0, w, TILE):
        substitute_down(A, w, top, b)
    for top in range(w - TILE, -1, -TILE):
        substitute_up(A, w, top, b)


@numba.njit(nogil=True, cache=True)
def sum_system(Y, index, r, first, n, A, b, packed):
    """Write a row's system: the upper triangle of ``A = sum y y^T`` and ``b = sum r y``.

    Parameters
    ----------
    Y : (cols, f) float32, C-order, f a multiple of 16
    index : (nnz,) int32
    r : (nnz,) float32
    first, n : int
        The row's ratings are ``first`` to ``first + n``.
    A : (f f,) float64, written
        Its lower triangle is neither needed nor kept.
    b : (f,) float64, written
    packed : (1, BLOCK f) float32
        Workspace.
    """
    f = Y.shape[1]
    for start in range(first, first + n, BLOCK):
        count, fresh = min(BLOCK, first + n - start), start == first
        for t in range(count):
            item, at = index[start + t], t * f
            ahead = index[min(start + t + BLOCK, len(index) - 1)]
            for k in range(0, f, simd.LANES):
                simd.store(packed, 0, at + k, simd.load(Y, item, k))
                simd.prefetch_to_read(Y, ahead, k)
        for k in range(0, f, COLS_F32):
            add_weighted(b, k, packed, k, f, r, start, count, fresh)
        _add_gram(A, f, packed, count, fresh)


@numba.njit(nogil=True, cache=True)
def _solve_primal(old, Y, index, r, first, n, ridge, A, b, floors, packed):
    """Leave in ``b`` the features of a row with ``n`` ratings, by an f x f system."""
    f = Y.shape[1]
    sum_system(Y, index, r, first, n, A, b, packed)
    for k in range(f):
        missing = max(0.0, PROXIMAL * A[k * f + k] - ridge)
        A[k * f + k] += ridge + missing
        b[k] += missing * old[k]
    _factor(A, f, floors)
    _substitute(A, f, b)


@numba.njit(nogil=True, cache=True)
def _solve_dual(Y, index, r, first, n, w, ridge, A, b, floors, packed):
    """Leave in ``b`` the features of a row with ``n`` ratings, by a system of ``w >= n`` rows.

    Returns False, with nothing solved, where the ridge is too small beside Y Y^T: the equations of
    the dual form contradict each other where those of the primal form are only undetermined.
    """
    f = Y.shape[1]
    for start in range(0, f, BLOCK):
        count = min(BLOCK, f - start)
        for j in range(0, count, COLS_F32):
            for t in range(0, w, COLS_F32):
                here = first + t
                transpose(packed, j * w + t, w, Y, index, here, first + n, start + j)
        _add_gram(A, w, packed, count, start == 0)
    for k in range(w):
        if ridge < DUAL_RIDGE * A[k * w + k]:
            return False
        A[k * w + k] += ridge
        b[k] = r[first + k] if k < n else 0.0
    _factor(A, w, floors)
    _substitute(A, w, b)
    alpha = floors
    for t in range(n):
        alpha[t] = b[t]
    _clear(b, f)
    for t in range(n):
        y = Y[index[first + t]]
        weight = alpha[t]
        for j in range(f):
            b[j] += weight * y[j]
    return True


@numba.njit(nogil=True, cache=True)
def _solve_row(X, u, Y, indptr, index, r, lam, weighted, A, b, floors, packed):
    """Overwrite row ``u`` of X; an empty row becomes 0."""
    first = indptr[u]
    n = indptr[u + 1] - first
    f = Y.shape[1]
    if n == 0:
        _clear(X[u], f)
        return
    ridge = lam * n if weighted else lam
    w = (n + COLS_F32 - 1) // COLS_F32 * COLS_F32
    if w >= f or not _solve_dual(Y, index, r, first, n, w, ridge, A, b, floors, packed):
        _solve_primal(X[u], Y, index, r, first, n, ridge, A, b, floors, packed)
    row = X[u]
    for j in range(f):
        row[j] = b[j]


@numba.njit(nogil=True, cache=True)
def solve_rows(
    X, Y, indptr, index, r, stop, share, counter, lam, weighted,
    A, vectors, packed, ends, span_rows, span_fill, worker, tag,
):  # fmt: skip
    """Overwrite rows of X with their exact solutions for fixed Y, sharing them with other workers.

    Parameters
    ----------
    X : (rows, f) float32, C-order, f a multiple of 16
        Updated in place, row by row.
    Y : (cols, f) float32, C-order
        The other side, read only.
    indptr, index, r
        Ratings by row of X, as of :func:`group_by_row`.
    stop : int
        First row that is not to be solved.
    share, counter
        As in :func:`mfviz.kernels.rows.take_share`.
    lam : float
    weighted : bool
        ``ridge = lam n_u`` (ALS-WR), else ``lam``.
    A, vectors, packed : (f f,) float64, (2, f) float64, (1, BLOCK f) float32
        Workspace of this worker.
    ends : (workers, 8) int64
        Column 0 receives when this worker came to its end.
    span_rows, span_fill, worker, tag
        One span a share is written, as of :func:`mfviz.kernels.spans.write_span`; its block is the
        first row and the last row + 1.

    Notes
    -----
    Flops a row of n ratings: ``n f^2 + 2 n f`` (Gram, symmetric, and right-hand side) and
    ``f^3 / 3 + 2 f^2``, or the same with n and f swapped where n < f. No race: a row has one
    writer and Y has none.

    References
    ----------
    Zhou, Wilkinson, Schreiber, Pan, "Large-scale parallel collaborative filtering for the Netflix
    Prize", AAIM 2008 (weighted lambda).
    """
    X, Y, indptr, index, r = uncounted((X, Y, indptr, index, r))
    A, vectors, packed = uncounted((A, vectors, packed))
    b, floors = vectors[0], vectors[1]
    start = clock_ns()
    while True:
        first, last = take_share(counter, indptr, stop, share, X.shape[1] // 3)
        if first < 0:
            break
        for u in range(first, last):
            _solve_row(X, u, Y, indptr, index, r, lam, weighted, A, b, floors, packed)
        end = clock_ns()
        write_span(
            span_rows, span_fill, worker, start, end, KERNEL, indptr[last] - indptr[first],
            first, last, NO_REASON, tag,
        )  # fmt: skip
        start = end
    ends[worker, 0] = start
