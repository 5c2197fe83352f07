"""Exact ALS below the solver: tiles, factorisation, digits of long rows, singular rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mfviz.data.ratings import compress
from mfviz.kernels.als import (
    BLOCK,
    _add_gram,
    _factor,
    _substitute,
    group_by_row,
    solve_rows,
    sum_system,
)
from mfviz.kernels.rows import take_share
from mfviz.telemetry.clock import SpanBuffer


def solved(index, r, Y, lam, *, weighted=True):
    """Features of one row, by the kernel."""
    f = Y.shape[1]
    X = np.zeros((1, f), np.float32)
    spans = SpanBuffer.make(1, 4)
    solve_rows(
        X, Y, np.array([0, len(r)]), index.astype(np.int32), r.astype(np.float32), 1, 1,
        np.zeros(1, np.int64), lam, weighted, np.empty(f * f), np.empty((2, f)),
        np.empty((1, BLOCK * f), np.float32), np.zeros((1, 8), np.int64), spans.rows, spans.fill,
        0, 0,
    )  # fmt: skip
    return X[0]


def reference(index, r, Y, ridge):
    Yk = Y[index].astype(np.float64)
    return np.linalg.solve(Yk.T @ Yk + ridge * np.eye(Y.shape[1]), Yk.T @ r)


@pytest.mark.parametrize("seed", [0, 1])
def test_grouping_is_a_stable_sort(seed: int) -> None:
    rng = np.random.default_rng(seed)
    row, col = rng.integers(0, 9, (2, 200)).astype(np.int32)
    r = rng.normal(size=200).astype(np.float32)
    wanted = compress(row, col, r, 12)  # rows 9 to 11 are empty
    indptr, index, value = np.empty(13, np.int64), np.empty(200, np.int32), np.empty(200, "f4")
    group_by_row(row, col, r, indptr, index, value)
    np.testing.assert_array_equal(indptr, wanted.indptr)
    np.testing.assert_array_equal(index, wanted.index)
    np.testing.assert_array_equal(value, wanted.r)


@pytest.mark.parametrize("weight", [0, 7])
def test_shares_have_all_rows_once_and_get_short(weight: int) -> None:
    rng = np.random.default_rng(weight)
    indptr = np.append(0, np.cumsum(np.sort(rng.zipf(1.3, 300) % 900)[::-1]))  # longest first
    counter, shares = np.array([4]), []
    while (share := take_share(counter, indptr, 290, 8, weight))[0] >= 0:
        shares.append(share)
    assert shares[0][0] == 4
    assert shares[-1] == (289, 290)
    assert all(a[1] == b[0] and a[0] < a[1] for a, b in pairwise([*shares, (290, 291)]))
    work = [indptr[b] - indptr[a] + (b - a) * weight for a, b in shares]
    assert work[0] <= sum(work) / 8 + max(np.diff(indptr)) + weight  # one row too many at most


@pytest.mark.parametrize("w", [16, 48, 128])
@pytest.mark.parametrize("count", [1, 63])
def test_gram_of_packed_rows(w: int, count: int) -> None:
    packed = np.random.default_rng(w).normal(size=(count, w)).astype(np.float32)
    A = np.zeros(w * w)
    _add_gram(A, w, packed.ravel(), count, True)
    wanted = packed.T.astype(np.float64) @ packed
    np.testing.assert_allclose(np.triu(A.reshape(w, w)), np.triu(wanted), atol=1e-4)


def test_systems_keep_the_digits_of_their_right_hand_side() -> None:
    """Two blocks of rows; b is summed in float64, A in float32 block by block."""
    rng = np.random.default_rng(3)
    Y, r = rng.normal(size=(50, 48)).astype("f4"), rng.normal(size=90).astype("f4")
    index = rng.integers(0, 50, 90).astype(np.int32)
    A, b = np.full(48 * 48, np.nan), np.full(48, np.nan)  # nothing is added to what was there
    sum_system(Y, index, r, 7, 83, A, b, np.empty((1, BLOCK * 48), np.float32))
    Yk = Y[index[7:]].astype(np.float64)
    np.testing.assert_allclose(b, Yk.T @ r[7:], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(np.triu(A.reshape(48, 48)), np.triu(Yk.T @ Yk), atol=1e-4)


@pytest.mark.parametrize("w", [16, 64, 112])
def test_factor_and_substitute_solve_a_system(w: int) -> None:
    rng = np.random.default_rng(w)
    X = rng.normal(size=(2 * w, w))
    A = X.T @ X + np.eye(w)
    U, b = A.ravel().copy(), rng.normal(size=w)
    x = b.copy()
    _factor(U, w, np.empty(w))
    _substitute(U, w, x)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-9, atol=1e-12)
    wanted = np.linalg.cholesky(A).T
    np.testing.assert_allclose(np.triu(U.reshape(w, w), 1), np.triu(wanted, 1), atol=1e-9)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 40, 64, 200])
def test_one_row_in_primal_and_dual_form(n: int) -> None:
    """64 features: rows of up to 48 ratings take the dual form; both are the one solution."""
    rng = np.random.default_rng(n)
    Y = rng.random((300, 64)).astype(np.float32) * 0.5
    index, r = rng.permutation(300)[:n], rng.normal(3.5, 1, n)
    for weighted, ridge in ((True, 0.05 * n), (False, 0.05)):
        got = solved(index, r, Y, 0.05, weighted=weighted)
        wanted = reference(index, r.astype("f4"), Y, ridge)
        np.testing.assert_allclose(got, wanted, atol=2e-4 * np.abs(wanted).max())


def test_a_row_of_many_ratings_keeps_its_digits() -> None:
    rng = np.random.default_rng(5)
    Y = (rng.random((1000, 16)) + 0.5).astype(np.float32)
    index, r = rng.integers(0, 1000, 200_000), rng.normal(3.5, 1, 200_000).astype("f4")
    ridge = 0.01 * len(r)
    wanted = reference(index, r, Y, ridge)
    error = np.abs(solved(index, r, Y, 0.01) - wanted).max()
    # Adding one rating after the other in float32 is what this must be better than.
    A, b = np.zeros((16, 16), np.float32), np.zeros(16, np.float32)
    for t, value in zip(index, r, strict=True):
        A += np.outer(Y[t], Y[t])
        b += value * Y[t]
    naive = np.abs(np.linalg.solve(A + ridge * np.eye(16, dtype="f4"), b) - wanted).max()
    assert error < 1e-6
    assert error < naive / 100


@pytest.mark.parametrize("f", [16, 32, 256])
@pytest.mark.parametrize("n", [1, 5, 40, 300, 600])
def test_singular_systems_are_solved(n: int, f: int) -> None:
    """No lambda, and items that span two directions only: finite, and nothing is left to gain."""
    rng = np.random.default_rng(n)
    Y = (rng.random((600, 2)) @ rng.random((2, f))).astype(np.float32)
    index, r = rng.permutation(600)[:n], rng.normal(3.5, 1, n)
    p = solved(index, r, Y, 0.0).astype(np.float64)
    Yk = Y[index].astype(np.float64)
    best = Yk @ np.linalg.lstsq(Yk, r, rcond=1e-6)[0]
    assert np.isfinite(p).all()
    assert ((r - Yk @ p) ** 2).sum() <= ((r - best) ** 2).sum() + 1e-3 * n


def test_nothing_seen_gives_zero() -> None:
    index, r = np.array([0, 1]), np.array([3.0, 4.0])
    assert (solved(index, r, np.zeros((2, 16), np.float32), 0.0) == 0).all()
    assert (solved(index[:0], r[:0], np.ones((2, 16), np.float32), 0.1) == 0).all()
