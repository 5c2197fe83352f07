"""CCD++ against its naive twin, its mutants, and what coordinate descent must always do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.ccdpp import CCDPP
from mfviz.telemetry.events import Measured
from tests.naive_als import als_objective
from tests.naive_ccd import ccdpp as naive_ccdpp
from tests.solvers.recorded import Record, live, train

TOLERANCE = 1e-5


def random_problem(seed: int = 0, m: int = 40, n: int = 30, nnz: int = 800) -> Problem:
    """Uneven rows: popular users and items are drawn by squared uniforms."""
    rng = np.random.default_rng(seed)
    u, i = (rng.random((2, nnz)) ** 2 * [[m], [n]]).astype(int)
    return split(Ratings.from_triples(u, i, rng.integers(1, 6, nnz)), holdout=0.0)


def ccdpp(
    problem: Problem, *, start: Factors | None = None, chunk: int | None = None, **params
) -> Record:
    solver = CCDPP.make(**{"rank": 5, "epochs": 3, "workers": 2, **params})
    return train(solver, problem, start=start, chunk=chunk)


def twin(problem: Problem, initial: Factors, lam=0.05, epochs=3, **options):
    t, f = problem.train, initial.rank
    P, Q = initial.P[:, :f], initial.Q[:, :f]
    return naive_ccdpp(t.u, t.i, t.r, P, Q, lam, epochs=epochs, **options)


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
    record = ccdpp(problem, rank=rank, seed=seed)
    assert distance(record.final, twin(problem, record.initial)) < 3 * TOLERANCE


@pytest.mark.parametrize(
    "options",
    [{"weighted": False}, {"inner": 3}, {"inner": 3, "rank": 1}, {"zero_items": False}],
    ids=str,
)
def test_options_equal_the_naive_twin(options: dict) -> None:
    problem = random_problem()
    record = ccdpp(problem, **options)
    assert record.initial.Q.any() == (not options.get("zero_items", True))
    known = {name: options[name] for name in ("weighted", "inner") if name in options}
    assert distance(record.final, twin(problem, record.initial, **known)) < 3 * TOLERANCE


@pytest.mark.parametrize(
    "mutant",
    [
        {"mutant": "no add back"},
        {"mutant": "stale"},
        {"mutant": "users first"},
        {"weighted": False},
        {"lam": 0.06},
        {"inner": 2},
    ],
    ids=str,
)
def test_mutants_are_seen(mutant: dict) -> None:
    problem = random_problem()
    record = ccdpp(problem, zero_items=False)
    assert distance(record.final, twin(problem, record.initial, **mutant)) > 100 * TOLERANCE


@given(
    seed=st.integers(0, 10_000),
    rank=st.integers(1, 8),
    lam=st.sampled_from([0.0, 1e-3, 0.1, 5.0]),
    weighted=st.booleans(),
    inner=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_the_objective_never_rises_over_a_pass(
    seed: int, rank: int, lam: float, weighted: bool, inner: int
) -> None:
    problem = random_problem(seed, m=12, n=9, nnz=60)
    solver = CCDPP(
        rank=rank, lam=lam, weighted=weighted, inner=inner, epochs=3, workers=1, seed=seed
    )
    t, values = problem.train, []

    def look(_: Checkpoint, context: Context) -> None:
        model = live(context)
        values.append(als_objective(t.u, t.i, t.r, model.P, model.Q, lam, weighted=weighted))
        error = t.r - model.predict(t.u, t.i)
        reported = solver.objective(problem, model, float(error @ error))
        assert reported == pytest.approx(values[-1], rel=1e-6, abs=1e-6)

    train(solver, problem, at=look, chunk=60)
    slack = 1e-5 * float((t.r.astype(float) ** 2).sum())  # float32 factors
    assert len(values) >= 3 * rank
    assert all(after <= before + slack for before, after in itertools.pairwise(values))


@pytest.mark.parametrize("params", [{}, {"rank": 1}, {"inner": 2}, {"stop_below": 0.1}], ids=str)
def test_workers_and_chunks_change_no_bit(params: dict) -> None:
    problem = random_problem()
    reference = ccdpp(problem, workers=1, refresh=2, **params)
    for workers, chunk in ((1, 1), (2, None), (3, 97), (5, 300)):
        record = ccdpp(problem, workers=workers, chunk=chunk, refresh=2, **params)
        np.testing.assert_array_equal(record.final.P, reference.final.P)
        np.testing.assert_array_equal(record.final.Q, reference.final.Q)
        assert record.checkpoints[-1].updates == reference.checkpoints[-1].updates
        assert sum(s["ratings"] for s in record.spans) == record.checkpoints[-1].updates


def test_the_residual_hardly_drifts_and_tells_so() -> None:
    problem = random_problem()
    record = ccdpp(problem, epochs=25, refresh=10)
    told = [fields for kind, fields in record.events if kind is Measured]
    assert [(fields["epoch"], fields["name"]) for fields in told] == [
        (10, "residual drift"),
        (20, "residual drift"),
    ]
    assert all(0 < fields["value"] < 1e-3 for fields in told)
    assert {s["name"] for s in record.spans} == {"users", "items", "barrier", "residual"}
    assert not ccdpp(problem, epochs=12, refresh=0).events


def test_stop_rule_saves_visits_and_costs_little() -> None:
    problem = random_problem()
    options: dict = {"rank": 8, "inner": 5, "epochs": 6}
    whole, short = ccdpp(problem, **options), ccdpp(problem, stop_below=0.01, **options)
    assert short.checkpoints[-1].updates < 0.8 * whole.checkpoints[-1].updates

    def error(record: Record) -> float:
        t = problem.train
        return float(((t.r - record.final.predict(t.u, t.i)) ** 2).mean())

    assert error(short) < 1.3 * error(whole)


def test_starts_from_given_factors() -> None:
    problem = random_problem()
    first = ccdpp(problem, seed=7).final
    record = ccdpp(problem, seed=8, start=first)
    np.testing.assert_array_equal(record.initial.Q, first.Q)
    assert distance(record.final, twin(problem, first)) < 3 * TOLERANCE


def test_rows_without_ratings_become_zero() -> None:
    full = random_problem().train
    keep = (full.u != 3) & (full.i != 2)
    sparse = Ratings(full.u[keep], full.i[keep], full.r[keep], full.user_ids, full.item_ids)
    final = ccdpp(Problem(sparse, sparse), zero_items=False).final
    assert (final.P[3] == 0).all()
    assert (final.Q[2] == 0).all()
    assert final.finite()


def test_lambda_of_the_context_is_read_after_each_checkpoint() -> None:
    problem = random_problem()

    def change(_: Checkpoint, context: Context) -> None:
        context.lam = 0.5

    record = train(CCDPP(rank=5, epochs=2, workers=1, lam=0.05), problem, at=change)
    wanted = twin(problem, record.initial, lam=0.5, epochs=2)
    assert distance(record.final, wanted) < TOLERANCE
