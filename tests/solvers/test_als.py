"""ALS against its naive twin, its mutants, and what an exact alternation must always do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.solvers.als import ALS
from mfviz.solvers.base import Checkpoint, Context, Factors
from tests.naive_als import als as naive_als
from tests.naive_als import als_gradient, als_objective
from tests.solvers.recorded import Record, live, train

TOLERANCE = 1e-5  # relative Frobenius norm after three sweeps, float32 factors


def problem_of(u, i, r, holdout=0.0) -> Problem:
    return split(Ratings.from_triples(u, i, r), holdout=holdout)


def random_problem(seed: int = 0, m: int = 40, n: int = 30, nnz: int = 400) -> Problem:
    """Uneven rows: popular users and items are drawn by squared uniforms."""
    rng = np.random.default_rng(seed)
    u, i = (rng.random((2, nnz)) ** 2 * [[m], [n]]).astype(int)
    return problem_of(u, i, rng.integers(1, 6, nnz))


def als(
    problem: Problem, *, start: Factors | None = None, chunk: int | None = None, **params
) -> Record:
    """Train five features for three sweeps with two workers, if nothing else is said."""
    solver = ALS.make(**{"rank": 5, "epochs": 3, "workers": 2, **params})
    return train(solver, problem, start=start, chunk=chunk)


def twin(problem: Problem, initial: Factors, lam=0.05, epochs=3, **options):
    t, f = problem.train, initial.rank
    P, Q = initial.P[:, :f], initial.Q[:, :f]
    return naive_als(t.u, t.i, t.r, P, Q, lam, epochs=epochs, **options)


def distance(factors: Factors, reference) -> float:
    f = factors.rank
    return max(
        float(np.linalg.norm(X[:, :f] - Y) / np.linalg.norm(Y))
        for X, Y in zip((factors.P, factors.Q), reference, strict=True)
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rank", [1, 5, 20, 40])
def test_equals_the_naive_twin(seed: int, rank: int) -> None:
    problem = random_problem(seed)
    record = als(problem, rank=rank, seed=seed)
    assert distance(record.final, twin(problem, record.initial)) < TOLERANCE


@pytest.mark.parametrize(
    "options", [{"weighted": False}, {"simultaneous": True}], ids=["plain", "simultaneous"]
)
def test_options_equal_the_naive_twin(options: dict) -> None:
    problem = random_problem()
    record = als(problem, **options)
    assert distance(record.final, twin(problem, record.initial, **options)) < TOLERANCE
    assert distance(record.final, twin(problem, record.initial)) > 100 * TOLERANCE


@pytest.mark.parametrize(
    "mutant",
    [{"weighted": False}, {"simultaneous": True}, {"stale": True}, {"lam": 0.06}, {"epochs": 2}],
    ids=["unweighted lambda", "simultaneous", "stale side", "other lambda", "sweep missing"],
)
def test_mutants_are_seen(mutant: dict) -> None:
    problem = random_problem()
    record = als(problem)
    assert distance(record.final, twin(problem, record.initial, **mutant)) > 100 * TOLERANCE


@given(
    seed=st.integers(0, 10_000),
    rank=st.integers(1, 20),
    lam=st.sampled_from([0.0, 1e-3, 0.1, 5.0]),
    weighted=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_objective_never_rises(seed: int, rank: int, lam: float, weighted: bool) -> None:
    problem = random_problem(seed, m=12, n=9, nnz=60)
    solver = ALS(rank=rank, lam=lam, weighted=weighted, epochs=4, workers=1, seed=seed)
    t, values = problem.train, []

    def look(_: Checkpoint, context: Context) -> None:
        model = live(context)
        values.append(als_objective(t.u, t.i, t.r, model.P, model.Q, lam, weighted=weighted))
        error = t.r - model.predict(t.u, t.i)
        reported = solver.objective(problem, model, float(error @ error))
        assert reported == pytest.approx(values[-1], rel=1e-6, abs=1e-6)

    train(solver, problem, at=look)
    slack = 1e-5 * float((t.r.astype(float) ** 2).sum())  # float32 factors
    assert all(after <= before + slack for before, after in itertools.pairwise(values))


def test_nothing_is_left_to_gain_on_the_solved_side() -> None:
    problem = random_problem()
    t = problem.train
    final = als(problem, rank=12).final
    gradient = als_gradient(t.i, t.u, t.r, final.Q, final.P, 0.05)
    other = als_gradient(t.u, t.i, t.r, final.P, final.Q, 0.05)
    assert np.abs(gradient).max() < 1e-4
    assert np.abs(other).max() > 1e-2  # the users were solved for the items of before


@pytest.mark.parametrize("mean", [-3.0, 0.0, 3.0])
def test_ratings_of_any_sign_are_learnt(mean: float) -> None:
    rng = np.random.default_rng(0)
    P, Q = rng.normal(size=(50, 2)), rng.normal(size=(40, 2))
    u, i = np.divmod(rng.permutation(2000)[:1200], 40)
    problem = problem_of(u, i, mean + (P[u] * Q[i]).sum(axis=1), holdout=0.1)
    final, test = als(problem, rank=4, lam=0.01, epochs=30).final, problem.test
    error = test.r - final.predict(test.u, test.i)
    assert np.sqrt((error**2).mean()) < 0.05 * test.r.std()


@pytest.mark.parametrize("seed", range(3))
def test_recovers_a_planted_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    P, Q = rng.random((60, 4)) + 0.2, rng.random((50, 4)) + 0.2
    u, i = np.divmod(rng.permutation(3000)[:1800], 50)
    problem = problem_of(u, i, (P[u] * Q[i]).sum(axis=1), holdout=0.2)
    final = als(problem, rank=4, lam=1e-7, epochs=200, seed=seed).final
    test = problem.test
    error = test.r - final.predict(test.u, test.i)
    assert np.sqrt((error**2).mean()) < 0.01 * test.r.std()


@pytest.mark.parametrize("params", [{}, {"simultaneous": True}, {"rank": 40}], ids=str)
def test_workers_and_chunks_change_no_bit(params: dict) -> None:
    problem = random_problem()
    reference = als(problem, workers=1, **params).final
    for workers, chunk in ((1, 1), (2, None), (3, 7), (5, 100)):
        record = als(problem, workers=workers, chunk=chunk, **params)
        np.testing.assert_array_equal(record.final.P, reference.P)
        np.testing.assert_array_equal(record.final.Q, reference.Q)
        assert record.kinds.count("half-sweep") == 3
        assert ("chunk" in record.kinds) == (chunk is not None)


def test_starts_from_given_factors() -> None:
    problem = random_problem()
    first = als(problem, seed=7).initial
    record = als(problem, seed=8, start=first)
    np.testing.assert_array_equal(record.initial.Q, first.Q)
    assert record.final.Q is not first.Q
    assert distance(record.final, twin(problem, first)) < TOLERANCE


def test_starts_positive_near_the_mean() -> None:
    problem = random_problem(m=200, n=200, nnz=5000)
    initial = als(problem, rank=30, epochs=1).initial
    for X in (initial.P, initial.Q):
        assert (X[:, :30] >= 0).all()
        assert (X[:, 30:] == 0).all()
    t = problem.train
    assert initial.predict(t.u, t.i).mean() == pytest.approx(t.mean, rel=0.25)
    assert np.abs(initial.bu).max() == np.abs(initial.bi).max() == 0


def test_rows_without_ratings_become_zero() -> None:
    full = random_problem().train
    keep = (full.u != 3) & (full.i != 2)
    sparse = Ratings(full.u[keep], full.i[keep], full.r[keep], full.user_ids, full.item_ids)
    final = als(Problem(sparse, sparse)).final
    assert (final.P[3] == 0).all()
    assert (final.Q[2] == 0).all()
    assert (np.delete(final.P, 3, axis=0)[:, :5] != 0).any(axis=1).all()


def test_lambda_of_the_context_is_read_after_each_checkpoint() -> None:
    problem = random_problem()

    def change(checkpoint: Checkpoint, context: Context) -> None:
        context.lam = 0.5

    record = train(ALS(rank=5, epochs=2, workers=1, lam=0.05), problem, at=change)
    wanted = twin(problem, record.initial, lam=0.5, epochs=2)
    assert distance(record.final, wanted) < TOLERANCE


def test_spans_name_rows_and_barriers() -> None:
    problem = random_problem()
    spans = als(problem, workers=3, epochs=2).spans
    for name, rows in (("users", problem.n_users), ("items", problem.n_items)):
        ranges = [tuple(map(int, s["block"].split(","))) for s in spans if s["name"] == name]
        solved = sorted(row for first, stop in ranges for row in range(first, stop))
        assert solved == sorted(list(range(rows)) * 2)
    waits = [s for s in spans if s["op"] == "wait"]
    assert waits
    assert {s["reason"] for s in waits} == {"barrier"}
    assert sum(s["ratings"] for s in spans) == 2 * 2 * problem.train.nnz
