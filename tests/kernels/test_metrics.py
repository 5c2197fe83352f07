"""Error sums against NumPy, and the same value for any number of workers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mfviz.kernels import metrics


@pytest.fixture
def model():
    rng = np.random.default_rng(1)
    m, n, nnz = 30, 20, 500
    P, Q = (rng.normal(size=(s, 32)).astype(np.float32) for s in (m, n))
    bu, bi = (rng.normal(size=s).astype(np.float32) for s in (m, n))
    u, i = rng.integers(0, m, nnz).astype(np.int32), rng.integers(0, n, nnz).astype(np.int32)
    return u, i, rng.normal(size=nnz).astype(np.float32), P, Q, bu, bi


def expected(model, mu, scale):
    u, i, r, P, Q, bu, bi = model
    dots = (P[u].astype(float) * Q[i]).sum(axis=1)
    return ((r - scale * (mu + bu[u] + bi[i] + dots)) ** 2).sum()


def test_squared_error_is_in_the_users_units(model):
    u, i, r, P, Q, bu, bi = model
    found = metrics.squared_error(u, i, r, 0, len(r), P, Q, bu, bi, 0.5, 1.5)
    assert found == pytest.approx(expected(model, 0.5, 1.5), rel=1e-6)
    assert metrics.squared_error(u, i, r, 7, 7, P, Q, bu, bi, 0.5, 1.5) == 0.0


def test_many_small_errors_keep_their_digits():
    nnz = 200_000
    u = np.zeros(nnz, dtype=np.int32)
    r = np.full(nnz, 0.1, dtype=np.float32)
    P, b = np.zeros((1, 16), dtype=np.float32), np.zeros(1, dtype=np.float32)
    found = metrics.squared_error(u, u, r, 0, nnz, P, P, b, b, 0.0, 1.0)
    assert found == pytest.approx(nnz * float(np.float32(0.1)) ** 2, rel=1e-10)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_slices_do_not_depend_on_the_workers(model, workers):
    u, i, r, *rest = model
    bounds = np.array([0, 100, 101, 300, 500])
    sums = np.zeros(4)
    for worker in range(workers):
        metrics.squared_error_slices(u, i, r, bounds, sums, worker, workers, *rest, 0.5, 1.0)
    parts = [
        metrics.squared_error(u, i, r, a, b, *rest, 0.5, 1.0)
        for a, b in itertools.pairwise(bounds)
    ]
    assert sums.tolist() == parts


def test_squared_norms_weigh_rows(model):
    P, weight = model[3], np.arange(30)
    found = metrics.squared_norms(P, weight)
    assert found == pytest.approx((weight * (P.astype(float) ** 2).sum(axis=1)).sum(), rel=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_squared_deviations_are_those_of_numpy(model, workers: int):
    r, bounds, sums = model[2], np.array([0, 100, 101, 500]), np.zeros(3)
    for worker in range(workers):
        metrics.squared_deviation_slices(r, 0.25, bounds, sums, worker, workers)
    wanted = [((r[a:b].astype(float) - 0.25) ** 2).sum() for a, b in itertools.pairwise(bounds)]
    np.testing.assert_allclose(sums, wanted, rtol=1e-12)
