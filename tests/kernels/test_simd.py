"""Every word of the vector vocabulary against NumPy, and the atomics between real threads."""

from __future__ import annotations

import threading
import time

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest

from mfviz.kernels import simd, waits

F32 = np.float32


def ulp(x) -> float:
    return float(np.spacing(np.abs(np.asarray(x, dtype=F32)).max()))


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(4, 48)).astype(F32)


@numba.njit
def _arithmetic(A, out):
    a, b, c = simd.load(A, 0, 16), simd.load(A, 1, 16), simd.load(A, 2, 16)
    simd.store(out, 0, 0, simd.add(a, b))
    simd.store(out, 1, 0, simd.sub(a, b))
    simd.store(out, 2, 0, simd.mul(a, b))
    simd.store(out, 3, 0, simd.fma(a, b, c))
    simd.store(out, 4, 0, simd.splat(F32(2.5)))
    simd.store(out, 5, 0, simd.splat_halves(F32(1.0), F32(-1.0)))


def test_arithmetic_is_that_of_numpy(rows):
    out = np.zeros((6, 16), dtype=F32)
    _arithmetic(rows, out)
    a, b, c = rows[0, 16:32], rows[1, 16:32], rows[2, 16:32]
    np.testing.assert_array_equal(out[0], a + b)
    np.testing.assert_array_equal(out[1], a - b)
    np.testing.assert_array_equal(out[2], a * b)
    np.testing.assert_allclose(out[3], a.astype(float) * b + c, atol=2 * ulp(out[3]))
    np.testing.assert_array_equal(out[4], np.full(16, 2.5))
    np.testing.assert_array_equal(out[5], np.repeat([1.0, -1.0], 8))


@numba.njit
def _sums(A, row, col):
    a = simd.load(A, row, col)
    return simd.total(a), simd.low_sum(a), simd.high_sum(a)


def tree(values: np.ndarray) -> np.float32:
    while len(values) > 1:
        values = values[: len(values) // 2] + values[len(values) // 2 :]
    return values[0]


def test_sums_are_added_in_the_documented_order(rows):
    a = rows[2, 32:48]
    whole, low, high = _sums(rows, 2, 32)
    assert (whole, low, high) == (tree(a), tree(a[:8]), tree(a[8:]))


def test_rows_need_not_be_aligned():
    flat = np.arange(100, dtype=F32)
    A = flat[3:99].reshape(2, 48)  # 12 bytes off any vector boundary
    assert _sums(A, 1, 16)[0] == A[1, 16:32].sum()


@numba.njit
def _touch(A, a):
    simd.prefetch(A, 1, 16)
    simd.prefetch_item(a, 1)
    simd.pause()
    simd.yield_cpu()
    return simd.clock_ns()


def test_hints_change_nothing_and_the_clock_is_pythons(rows):
    before = rows.copy()
    _touch(rows, rows[0])
    first, stamp, last = time.monotonic_ns(), _touch(rows, rows[0]), time.monotonic_ns()
    assert first <= stamp <= last
    np.testing.assert_array_equal(rows, before)


@numba.njit(nogil=True)
def _count(a, times):
    for _ in range(times):
        simd.atomic_add(a, 1, 1)
        waits.lock(a, 8)
        a[16] += 1  # not atomic: the lock protects it
        waits.unlock(a, 8)


def in_threads(task, count: int) -> None:
    threads = [threading.Thread(target=task, args=(w,)) for w in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_atomics_and_lock_lose_nothing_between_threads():
    a = np.zeros(24, dtype=np.int64)
    in_threads(lambda w: _count(a, 20_000), 3)
    assert a[1] == a[16] == 60_000
    assert a[8] == 0


@numba.njit
def _swap(a):
    simd.atomic_store(a, 0, 7)
    return simd.compare_and_swap(a, 0, 7, 9), simd.compare_and_swap(a, 0, 7, 8), a[0]


def test_compare_and_swap_says_whether_it_swapped():
    assert _swap(np.zeros(1, dtype=np.int64)) == (True, False, 9)


def test_wait_for_sees_what_another_thread_stored():
    a, seen = np.zeros(8, dtype=np.int64), []

    def task(worker: int) -> None:
        if worker:
            waits.wait_for(a, 0, 5)
            seen.append(int(a[1]))
        else:
            time.sleep(0.02)
            a[1] = 42
            _add_five(a)

    in_threads(task, 2)
    assert seen == [42]


@numba.njit(nogil=True)
def _add_five(a):
    simd.atomic_add(a, 0, 5)


def test_multiply_add_is_one_packed_instruction_where_the_cpu_has_it(rows):
    if not llvm.get_host_cpu_features().get("fma"):
        pytest.skip("this CPU has no fused multiply-add")
    _arithmetic(rows, np.zeros((6, 16), dtype=F32))
    code = "".join(_arithmetic.inspect_asm().values())
    assert any(name in code for name in ("vfmadd132ps", "vfmadd213ps", "vfmadd231ps"))


@numba.njit
def _whole():
    return simd.whole_vectors()


def test_vectors_are_whole_where_the_code_has_wide_registers(rows):
    _arithmetic(rows, np.zeros((6, 16), dtype=F32))
    assert _whole() == ("%zmm" in "".join(_arithmetic.inspect_asm().values()))
