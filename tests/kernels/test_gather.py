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
def _gather_column(A, col, index, first, out):
    gather.store_run(out, first, gather.gather_column(A, col, index, first))


@numba.njit
def _copy(a, first, out):
    gather.store_run(out, 0, simd.add(gather.load_run(a, first), gather.load_run(a, first)))


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


def test_runs_are_loaded_and_stored_anywhere() -> None:
    a, out = np.arange(40, dtype=np.float32), np.zeros(16, dtype=np.float32)
    _copy(a, 5, out)
    np.testing.assert_array_equal(out, 2 * a[5:21])
