"""ALS with conjugate gradients: f steps are the exact solution, few steps never do harm."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mfviz.kernels.cg import approach_row
from mfviz.kernels.registers import parts_of
from mfviz.solvers.als import ALS
from mfviz.solvers.base import Checkpoint, Context, Factors
from tests.naive_als import als as naive_als
from tests.naive_als import als_objective
from tests.solvers.recorded import live, train
from tests.solvers.replay import problem_of


def bits(factors: Factors) -> bytes:
    return factors.P.tobytes() + factors.Q.tobytes()


@pytest.mark.parametrize("ridge", [0.5, 10.0])
@pytest.mark.parametrize("n", [1, 5, 200])
def test_f_steps_solve_a_row_as_cholesky_does(n: int, ridge: float) -> None:
    rng = np.random.default_rng(n)
    Y, r = rng.normal(size=(n, 16)).astype(np.float32), rng.normal(size=n).astype(np.float32)
    row = rng.normal(size=16).astype(np.float32)
    vectors = np.zeros((4, 16))
    approach_row(
        row, Y, np.arange(n, dtype=np.int32), r, 0, n, ridge, 16, 0.0, vectors, parts_of(16)
    )
    exact = Y.astype(float)
    lower = np.linalg.cholesky(exact.T @ exact + ridge * np.eye(16))
    wanted = np.linalg.solve(lower.T, np.linalg.solve(lower, exact.T @ r))
    assert np.linalg.norm(vectors[0] - wanted) < 1e-6 * np.linalg.norm(wanted)  # in float64
    np.testing.assert_array_equal(row, vectors[0].astype(np.float32))


@pytest.mark.parametrize("weighted", [True, False])
def test_f_steps_equal_the_naive_twin_and_one_step_does_not(weighted: bool) -> None:
    problem = problem_of()
    settings = {"rank": 5, "epochs": 3, "workers": 2, "solve": "cg", "weighted": weighted}
    record = train(ALS.make(**settings, cg_steps=12), problem)
    t, first = problem.train, record.initial
    wanted = naive_als(
        t.u, t.i, t.r, first.P[:, :5], first.Q[:, :5], 0.05, epochs=3, weighted=weighted
    )

    def distance(found: Factors) -> float:
        pairs = zip((found.P[:, :5], found.Q[:, :5]), wanted, strict=True)
        return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)

    assert distance(record.final) < 1e-5
    assert distance(train(ALS.make(**settings, cg_steps=1), problem).final) > 1e-3


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("lam", [0.0, 0.1])
def test_the_objective_never_rises(steps: int, lam: float) -> None:
    problem, values = problem_of(), []
    t = problem.train

    def look(_: Checkpoint, context: Context) -> None:
        model = live(context)
        values.append(als_objective(t.u, t.i, t.r, model.P, model.Q, lam))

    solver = ALS(rank=8, lam=lam, epochs=6, workers=1, solve="cg", cg_steps=steps)
    train(solver, problem, at=look)
    slack = 1e-5 * float((t.r.astype(float) ** 2).sum())
    assert all(after <= before + slack for before, after in itertools.pairwise(values))


def test_workers_and_chunks_change_no_bit_and_a_tolerance_stops_early() -> None:
    problem = problem_of()
    wanted = bits(train(ALS(rank=8, epochs=3, workers=1, solve="cg"), problem).final)
    for workers, chunk in ((2, None), (3, 50)):
        solver = ALS(rank=8, epochs=3, workers=workers, solve="cg")
        record = train(solver, problem, chunk=chunk)
        assert bits(record.final) == wanted
        model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz)
        assert model.by_part() == record.high_water
    loose = ALS(rank=8, epochs=3, workers=1, solve="cg", cg_tolerance=0.5)
    assert bits(train(loose, problem).final) != wanted


@pytest.mark.parametrize("width", [16, 64, 128])
def test_rows_in_registers_approach_what_rows_in_memory_do(width: int) -> None:
    rng = np.random.default_rng(width)
    Y = rng.normal(size=(40, width)).astype(np.float32)
    index, r = rng.integers(0, 40, 300).astype(np.int32), rng.normal(size=300).astype(np.float32)
    found = []
    for parts in (parts_of(width), ()):
        row, vectors = np.ones(width, np.float32), np.zeros((4, width))
        approach_row(row, Y, index, r, 7, 200, 1.0, 3, 0.0, vectors, parts)
        found.append(vectors[0].copy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


def test_a_row_of_many_ratings_keeps_its_digits() -> None:
    """2 * 10^5 ratings of a mean of 1000: a float32 sum would be off by more than the bound."""
    rng, n, width = np.random.default_rng(3), 200_000, 16
    Y = (1.0 + 0.1 * rng.random((n, width))).astype(np.float32)
    r = (1000.0 + rng.random(n)).astype(np.float32)
    row, vectors = np.zeros(width, np.float32), np.zeros((4, width))
    index = np.arange(n, dtype=np.int32)
    approach_row(row, Y, index, r, 0, n, 1.0, 2 * width, 0.0, vectors, parts_of(width))
    exact = Y.astype(float)
    gradient = exact.T @ (r - exact @ vectors[0]) - vectors[0]
    assert np.linalg.norm(gradient) < 1e-10 * np.linalg.norm(exact.T @ r)
