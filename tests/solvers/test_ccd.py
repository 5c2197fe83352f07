"""CCD against its naive twin, its mutants, and what coordinate descent must always do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.ccd import CCD
from tests.naive_als import als, als_objective
from tests.naive_ccd import ccd as naive_ccd
from tests.solvers.recorded import Record, live, train

TOLERANCE = 1e-5


def random_problem(seed: int = 0, m: int = 40, n: int = 30, nnz: int = 800) -> Problem:
    """Uneven rows: popular users and items are drawn by squared uniforms."""
    rng = np.random.default_rng(seed)
    u, i = (rng.random((2, nnz)) ** 2 * [[m], [n]]).astype(int)
    return split(Ratings.from_triples(u, i, rng.integers(1, 6, nnz)), holdout=0.0)


def ccd(
    problem: Problem, *, start: Factors | None = None, chunk: int | None = None, **params
) -> Record:
    solver = CCD.make(**{"rank": 5, "epochs": 3, "workers": 2, **params})
    return train(solver, problem, start=start, chunk=chunk)


def twin(problem: Problem, initial: Factors, lam=0.05, epochs=3, **options):
    t, f = problem.train, initial.rank
    P, Q = initial.P[:, :f], initial.Q[:, :f]
    return naive_ccd(t.u, t.i, t.r, P, Q, lam, epochs=epochs, **options)


def distance(factors: Factors, reference) -> float:
    f = factors.rank
    return max(
        float(np.linalg.norm(X[:, :f] - Y) / np.linalg.norm(Y))
        for X, Y in zip((factors.P, factors.Q), reference, strict=True)
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rank", [1, 2, 5, 20])
def test_equals_the_naive_twin(seed: int, rank: int) -> None:
    problem = random_problem(seed)
    record = ccd(problem, rank=rank, seed=seed)
    assert distance(record.final, twin(problem, record.initial)) < 3 * TOLERANCE


def test_plain_lambda_equals_the_naive_twin() -> None:
    problem = random_problem()
    record = ccd(problem, weighted=False)
    assert distance(record.final, twin(problem, record.initial, weighted=False)) < 3 * TOLERANCE


@pytest.mark.parametrize(
    "mutant",
    [
        {"mutant": "at once"},
        {"mutant": "stale"},
        {"weighted": False},
        {"lam": 0.06},
        {"epochs": 2},
    ],
    ids=str,
)
def test_mutants_are_seen(mutant: dict) -> None:
    problem = random_problem()
    record = ccd(problem)
    assert distance(record.final, twin(problem, record.initial, **mutant)) > 100 * TOLERANCE


@given(
    seed=st.integers(0, 10_000),
    rank=st.integers(1, 8),
    lam=st.sampled_from([0.0, 1e-3, 0.1, 5.0]),
    weighted=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_objective_never_rises_over_a_row(
    seed: int, rank: int, lam: float, weighted: bool
) -> None:
    problem = random_problem(seed, m=12, n=9, nnz=60)
    solver = CCD(rank=rank, lam=lam, weighted=weighted, epochs=3, workers=1, seed=seed)
    t, values = problem.train, []

    def look(_: Checkpoint, context: Context) -> None:
        model = live(context)
        values.append(als_objective(t.u, t.i, t.r, model.P, model.Q, lam, weighted=weighted))
        error = t.r - model.predict(t.u, t.i)
        reported = solver.objective(problem, model, float(error @ error))
        assert reported == pytest.approx(values[-1], rel=1e-6, abs=1e-6)

    train(solver, problem, at=look, chunk=1)
    slack = 1e-5 * float((t.r.astype(float) ** 2).sum())  # float32 factors
    assert len(values) > 3 * (5 + 5)
    assert all(after <= before + slack for before, after in itertools.pairwise(values))


@pytest.mark.parametrize("params", [{}, {"rank": 1}, {"rank": 40}], ids=str)
def test_workers_and_chunks_change_no_bit(params: dict) -> None:
    problem = random_problem()
    reference = ccd(problem, workers=1, **params).final
    for workers, chunk in ((1, 1), (2, None), (3, 97), (5, 300)):
        record = ccd(problem, workers=workers, chunk=chunk, **params)
        np.testing.assert_array_equal(record.final.P, reference.P)
        np.testing.assert_array_equal(record.final.Q, reference.Q)
        assert record.kinds.count("half-sweep") == 3
        assert sum(s["ratings"] for s in record.spans) == record.checkpoints[-1].updates


def test_one_cycle_of_one_feature_is_als() -> None:
    problem = random_problem()
    record = ccd(problem, rank=1)
    t, P, Q = problem.train, record.initial.P[:, :1], record.initial.Q[:, :1]
    wanted = als(t.u, t.i, t.r, P, Q, 0.05, epochs=3)
    assert distance(record.final, wanted) < TOLERANCE


def test_starts_from_given_factors() -> None:
    problem = random_problem()
    first = ccd(problem, seed=7).final
    record = ccd(problem, seed=8, start=first)
    np.testing.assert_array_equal(record.initial.Q, first.Q)
    assert distance(record.final, twin(problem, first)) < 3 * TOLERANCE


def test_rows_without_ratings_become_zero() -> None:
    full = random_problem().train
    keep = (full.u != 3) & (full.i != 2)
    sparse = Ratings(full.u[keep], full.i[keep], full.r[keep], full.user_ids, full.item_ids)
    final = ccd(Problem(sparse, sparse)).final
    assert (final.P[3] == 0).all()
    assert (final.Q[2] == 0).all()
    assert final.finite()


def test_lambda_of_the_context_is_read_after_each_checkpoint() -> None:
    problem = random_problem()

    def change(_: Checkpoint, context: Context) -> None:
        context.lam = 0.5

    record = train(CCD(rank=5, epochs=2, workers=1, lam=0.05), problem, at=change)
    wanted = twin(problem, record.initial, lam=0.5, epochs=2)
    assert distance(record.final, wanted) < TOLERANCE
