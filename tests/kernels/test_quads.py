"""Four vectors at a time and whole rows, against NumPy and against the words of ``simd``."""

from __future__ import annotations

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest

from mfviz.kernels import quads, registers, simd

F32 = np.float32


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(4).normal(size=(6, 64)).astype(F32)


@numba.njit
def _totals(A, out):
    a, b, c, d = simd.load(A, 0, 0), simd.load(A, 1, 0), simd.load(A, 2, 0), simd.load(A, 3, 0)
    x = quads.totals(a, b, c, d)
    simd.store(out, 0, 0, x)
    simd.store(out, 1, 0, quads.spread(x, 0))
    simd.store(out, 2, 0, quads.spread(x, 3))
    return (quads.number(x, 0), quads.number(x, 1), quads.number(x, 2), quads.number(x, 3)), (
        simd.total(a), simd.total(b), simd.total(c), simd.total(d)
    )  # fmt: skip


def test_sums_of_four_have_the_bits_of_sums_of_one(matrix):
    out = np.zeros((3, 16), dtype=F32)
    together, one_by_one = _totals(matrix, out)
    assert together == one_by_one
    np.testing.assert_array_equal(out[0], np.repeat(together, 4).astype(F32))
    np.testing.assert_array_equal(out[1], np.full(16, together[0], dtype=F32))
    np.testing.assert_array_equal(out[2], np.full(16, together[3], dtype=F32))


@numba.njit
def _quads(a, out):
    simd.store(out, 0, 0, quads.quad(a[0], a[3], a[1], a[7]))
    simd.store(out, 1, 0, quads.quad_at(a, 5))


def test_quads_are_made_of_numbers_or_of_four_in_a_row():
    a, out = np.arange(9, dtype=F32), np.zeros((2, 16), dtype=F32)
    _quads(a, out)
    np.testing.assert_array_equal(out[0], np.repeat([0, 3, 1, 7], 4))
    np.testing.assert_array_equal(out[1], np.repeat([5, 6, 7, 8], 4))


@numba.njit
def _rows(A, out, parts):
    a, b = registers.load_row(A, 1, parts), registers.load_row(A, 2, parts)
    two, x = simd.splat(F32(2.0)), registers.products(a, b)
    registers.store_row(out, 0, registers.scaled(two, a))
    registers.store_row(out, 1, registers.add_scaled(two, a, b))
    acc = simd.splat(F32(0.0))
    for k in range(0, A.shape[1], simd.LANES):
        acc = simd.fma(simd.load(A, 1, k), simd.load(A, 2, k), acc)
    return simd.total(x), simd.total(acc)


@pytest.mark.parametrize("width", [16, 48, 64])
def test_rows_are_added_and_multiplied_whole(width: int, matrix):
    A, out = np.ascontiguousarray(matrix[:, :width]), np.zeros((3, width), dtype=F32)
    dot, looped = _rows(A, out, registers.parts_of(width))
    np.testing.assert_array_equal(out[0], 2 * A[1])
    np.testing.assert_allclose(out[1], 2 * A[1] + A[2], atol=1e-6)
    assert dot == looped
    assert dot == pytest.approx(float(A[1].astype(float) @ A[2]), rel=1e-4)


def test_a_row_is_multiplied_in_full_registers(matrix):
    features = llvm.get_host_cpu_features()
    if not features.get("avx512f"):
        pytest.skip("this CPU has no 512-bit registers")
    _rows(matrix, np.zeros((3, 64), dtype=F32), registers.parts_of(64))
    code = "".join(_rows.inspect_asm().values())
    fused = [line for line in code.splitlines() if "vfmadd" in line and "zmm" in line]
    assert len(fused) >= 8  # four for the dot product, four for the sum
