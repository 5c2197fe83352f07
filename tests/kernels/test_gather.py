"""Gathers against NumPy's fancy indexing."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from mfviz.kernels import gather, simd


@numba.njit
def _gather(a, index, first, out):
    gather.store_run(out, first, gather.gather(a, index, first))


@numba.njit
def _gather_rest(a, index, first, count, out):
    gather.store_run(out, 0, gather.gather_rest(a, index, first, count))


@numba.njit
def _gather_two(A, index, first, out):
    for k, lanes in enumerate(gather.gather_two(A, index, first)):
        simd.store(out, k, 0, lanes)


@numba.njit
def _gather_two_rest(A, index, first, count, out):
    for k, lanes in enumerate(gather.gather_two_rest(A, index, first, count)):
        simd.store(out, k, 0, lanes)


@numba.njit
def _gather_three(A, index, first, out):
    for k, lanes in enumerate(gather.gather_three(A, index, first)):
        simd.store(out, k, 0, lanes)


@numba.njit
def _gather_three_rest(A, index, first, count, out):
    for k, lanes in enumerate(gather.gather_three_rest(A, index, first, count)):
        simd.store(out, k, 0, lanes)


@numba.njit
def _gather_column(A, col, index, first, out):
    gather.store_run(out, first, gather.gather_column(A, col, index, first))


@numba.njit
def _copy(a, first, out):
    gather.store_run(out, 0, simd.add(gather.load_run(a, first), gather.load_run(a, first)))


@numba.njit
def _copy_rest(a, first, count, out):
    gather.store_run_rest(out, 2, gather.load_run_rest(a, first, count), count)


@numba.njit
def _spread_rest(a, first, count, out):
    gather.store_run(out, 0, gather.load_run_rest(a, first, count))


@pytest.mark.parametrize("first", [0, 3])
def test_gather_takes_what_indexing_takes(first: int) -> None:
    rng = np.random.default_rng(first)
    a, A = rng.random(50, dtype="f4"), rng.random((50, 32), dtype="f4")
    index = rng.integers(0, 50, 20).astype(np.int32)
    there = slice(first, first + 16)
    for col in (-1, 0, 17, 31):
        out = np.zeros(20, dtype=np.float32)
        if col < 0:
            _gather(a, index, first, out)
        else:
            _gather_column(A, col, index, first, out)
        wanted = a[index] if col < 0 else A[index, col]
        np.testing.assert_array_equal(out[there], wanted[there])
        assert not np.delete(out, there).any()


@pytest.mark.parametrize(
    ("width", "whole", "rest"),
    [(2, _gather_two, _gather_two_rest), (4, _gather_three, _gather_three_rest)],
)
def test_neighbours_are_gathered_together(width: int, whole, rest) -> None:
    rng = np.random.default_rng(width)
    A, index = rng.random((50, width), dtype="f4"), rng.integers(0, 50, 20).astype(np.int32)
    columns = 2 if width == 2 else 3
    out = np.zeros((columns, 16), dtype=np.float32)
    whole(A, index, 3, out)
    np.testing.assert_array_equal(out, A[index[3:19], :columns].T)
    for count in (1, 5, 15):
        rest(A, index[: 3 + count], 3, count, out)
        np.testing.assert_array_equal(out[:, :count], A[index[3 : 3 + count], :columns].T)
        assert not out[:, count:].any()


def test_a_rest_is_gathered_alone() -> None:
    a, index = np.arange(1, 51, dtype=np.float32), np.arange(40, 7, -2, dtype=np.int32)
    for count in (1, 8, 15):
        out = np.full(16, np.nan, dtype=np.float32)
        _gather_rest(a, index[: 2 + count], 2, count, out)
        np.testing.assert_array_equal(out, [*a[index[2 : 2 + count]], *[0] * (16 - count)])


def test_runs_are_loaded_and_stored_anywhere() -> None:
    a, out = np.arange(40, dtype=np.float32), np.zeros(16, dtype=np.float32)
    _copy(a, 5, out)
    np.testing.assert_array_equal(out, 2 * a[5:21])


def test_a_rest_is_loaded_and_stored_alone() -> None:
    a = np.arange(1, 41, dtype=np.float32)
    for count in (1, 6, 15):
        out = np.full(20, -1, dtype=np.float32)
        _copy_rest(a[: 5 + count], 5, count, out)
        np.testing.assert_array_equal(out, [-1, -1, *a[5 : 5 + count], *[-1] * (18 - count)])
        _spread_rest(a[: 5 + count], 5, count, out)
        np.testing.assert_array_equal(out[:16], [*a[5 : 5 + count], *[0] * (16 - count)])
