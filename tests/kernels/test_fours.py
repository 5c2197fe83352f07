"""Fours and rows of float64 numbers against NumPy, and the sums that follow fpsgd's steps."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from mfviz.kernels import doubles, fours, registers, simd
from mfviz.kernels.order import TRIPLE
from mfviz.kernels.row_rates import RowRates, measure_norms, visit_block

F32 = np.float32


@numba.njit
def _arithmetic(A, out):
    a, b = fours.load_four(A, 0), fours.load_four(A, 1)
    fours.store_four(out, 0, fours.mul_four(a, b))
    fours.store_four(out, 1, fours.sub_four(a, b))
    fours.store_four(out, 2, fours.fma_four(a, b, a))
    fours.store_four(out, 3, fours.over_root(a, b))
    fours.store_four(out, 4, fours.front(a, b))
    fours.store_four(out, 5, fours.back(a, b))
    fours.store_four(out, 6, fours.exchange(a))
    fours.store_four(out, 7, fours.four(A[1, 3], A[0, 0], A[0, 1], A[1, 2]))


def test_arithmetic_of_fours():
    A, out = np.array([[1, 2, 3, 4], [4, 9, 16, 25]], F32), np.zeros((8, 4), F32)
    _arithmetic(A, out)
    a, b = A
    wanted = [a * b, a - b, a * b + a, a / np.sqrt(b), [1, 2, 4, 9], [3, 4, 16, 25], [3, 4, 1, 2]]
    np.testing.assert_allclose(out, [*wanted, [25, 1, 2, 16]], rtol=1e-6)


@numba.njit
def _rows(A, parts, sums, out):
    x, y = registers.load_row(A, 0, parts), registers.load_row(A, 1, parts)
    D, whole = fours.dots(x, y)
    fours.store_four(sums, 0, D)
    fours.store_four(sums, 1, whole)
    two, three = simd.splat(F32(2.0)), simd.splat(F32(3.0))
    half = fours.halves(D, 0, 1)
    registers.store_row(out, 0, fours.moved(half, two, x, three, two, y))


@pytest.mark.parametrize("width", [16, 32, 64, 144])
def test_dot_products_by_parts_and_steps_of_rows_with_two_parts(width: int):
    A = np.random.default_rng(width).normal(size=(2, width)).astype(F32)
    sums, out = np.zeros((2, 4), F32), np.zeros((1, width), F32)
    _rows(A, registers.parts_of(width), sums, out)
    slow, fast = (A[0, :8] * A[1, :8]).sum(), (A[0, 8:] * A[1, 8:]).sum()
    np.testing.assert_allclose(sums[0], [slow, fast, slow, fast], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sums[1], [slow + fast] * 4, rtol=1e-4, atol=1e-5)
    keep, step = np.full(width, 2.0), np.full(width, 2.0)
    keep[:8], keep[8:16], step[:16] = slow, fast, 3.0
    np.testing.assert_allclose(out[0], keep * A[0] + step * A[1], rtol=1e-4, atol=1e-5)


def test_norms_that_follow_the_steps_are_those_of_the_rows():
    rng = np.random.default_rng(0)
    records = np.zeros(3000, dtype=TRIPLE)
    records["u"], records["i"] = np.sort(rng.integers(0, 20, 3000)), rng.integers(0, 9, 3000)
    records["r"] = rng.normal(size=3000)
    X, Y = (rng.normal(size=(rows, 32)).astype(F32) for rows in (20, 9))
    GX, GY = np.ones((20, 4), F32), np.ones((9, 4), F32)
    for A, G in ((X, GX), (Y, GY)):
        measure_norms(A, G, 0, 1)
        np.testing.assert_allclose(G[:, 2:], _norms(A), rtol=1e-5)
    rates = RowRates(F32(0.1), F32(0.05), F32(1 / 8), F32(1 / 24), True)
    _visit(records, X, Y, GX, GY, rates, registers.parts_of(32))
    for A, G in ((X, GX), (Y, GY)):
        np.testing.assert_allclose(G[:, 2:], _norms(A), rtol=1e-4)


@numba.njit
def _visit(records, X, Y, GX, GY, rates, parts):
    visit_block(records, 0, len(records), X, Y, GX, GY, rates, parts)


def _norms(A: np.ndarray) -> np.ndarray:
    squares = A.astype(float) ** 2
    return np.stack([squares[:, :8].sum(axis=1), squares[:, 8:].sum(axis=1)], axis=1)


@numba.njit
def _doubles(A, x, parts):
    known, y = doubles.load_doubles(x, parts), doubles.widen_row(A, 1, parts)
    doubles.store_doubles(x, doubles.add_scaled(0.5, y, known))
    return doubles.dot(known, y)


@pytest.mark.parametrize("width", [16, 48, 128])
def test_rows_of_doubles(width: int):
    rng = np.random.default_rng(width)
    A, x = rng.normal(size=(2, width)).astype(F32), rng.normal(size=width)
    before, wide = x.copy(), A[1].astype(float)
    assert _doubles(A, x, registers.parts_of(width)) == pytest.approx(before @ wide, rel=1e-12)
    np.testing.assert_allclose(x, before + 0.5 * wide, rtol=1e-14)
