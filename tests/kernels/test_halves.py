"""Half precision against NumPy's: every float16, and float32 numbers around every boundary."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from mfviz.kernels import halves, simd


@numba.njit
def _widen(A, out):
    for row in range(A.shape[0]):
        simd.store(out, row, 0, halves.load_half(A, row, 0))


@numba.njit
def _narrow(A, out):
    for row in range(A.shape[0]):
        halves.store_half(out, row, 0, simd.load(A, row, 0))


def test_every_half_is_read_exactly():
    bits = np.arange(1 << 16, dtype=np.uint16).reshape(-1, 16)
    out = np.zeros(bits.shape, dtype=np.float32)
    _widen(bits, out)
    np.testing.assert_array_equal(out, bits.view(np.float16).astype(np.float32))


@pytest.mark.parametrize("sign", [1, -1])
def test_floats_are_rounded_as_numpy_rounds_them(sign: int):
    finite = np.arange(0x7C01, dtype=np.uint16).view(np.float16).astype(np.float64)
    finite[-1] = 65536.0  # what infinity would be, were it a number
    between = (finite[1:] + finite[:-1]) / 2
    exact = np.concatenate([finite, between]).astype(np.float32)
    near = [np.nextafter(exact, np.float32(side)) for side in (-np.inf, np.inf)]
    wide = np.concatenate([exact, *near, np.array([1e-30, 1e30, np.inf, np.nan], "f4")])
    wide = sign * np.resize(wide, (-(-len(wide) // 16), 16)).astype(np.float32)
    out = np.zeros(wide.shape, dtype=np.uint16)
    _narrow(wide, out)
    with np.errstate(over="ignore"):
        wanted = wide.astype(np.float16)
    np.testing.assert_array_equal(out.view(np.float16), wanted)
    np.testing.assert_array_equal(np.signbit(out.view(np.float16)), np.signbit(wanted))


def test_columns_are_found_and_neighbours_left_alone():
    bits = np.arange(96, dtype=np.uint16).reshape(2, 48)
    wide, out = np.zeros((1, 16), dtype=np.float32), bits.copy()
    _part(bits, wide, out)
    np.testing.assert_array_equal(wide[0], bits[1, 16:32].view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(out, bits)


@numba.njit
def _part(A, wide, out):
    a = halves.load_half(A, 1, 16)
    simd.store(wide, 0, 0, a)
    halves.store_half(out, 1, 16, a)
