"""Biases of ALS and coordinate descent: the closed-form step against its naive twins."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.solvers.base import Checkpoint, Context, Factors, registry
from tests import naive_als, naive_ccd
from tests.solvers.recorded import Record, live, train

TOLERANCE = 1e-4  # relative Frobenius norm after three epochs, float32 factors
TWINS = {"als": naive_als.als, "ccd": naive_ccd.ccd, "ccdpp": naive_ccd.ccdpp}
LAM, LAM_BIAS = 0.1, 0.07


def random_problem(seed: int = 0, m: int = 40, n: int = 30, nnz: int = 600) -> Problem:
    """Uneven rows with biases; the last user and the last item have no rating."""
    rng = np.random.default_rng(seed)
    u, i = (rng.random((2, nnz)) ** 2 * [[m], [n]]).astype(np.int32)
    r = 3 + rng.normal(size=m)[u] + rng.normal(size=n)[i] + rng.normal(size=nnz)
    names = np.arange(m + 1), np.arange(n + 1)
    part = Ratings(u, i, r.astype(np.float32), *names)
    return Problem(part, part)


def trained(key: str, problem: Problem, *, chunk: int | None = None, **params: Any) -> Record:
    chosen = {
        "rank": 5, "epochs": 3, "workers": 2, "lam": LAM, "lam_bias": LAM_BIAS, "biases": True,
        "init": "normal", "init_scale": 0.5, **params,
    }  # fmt: skip
    return train(registry()[key].make(**chosen), problem, chunk=chunk)


def twin(key: str, problem: Problem, initial: Factors, **options: Any) -> Any:
    t, f = problem.train, initial.rank
    chosen = {"lam": LAM, "lam_bias": LAM_BIAS, "epochs": 3, **options}
    return TWINS[key](t.u, t.i, t.r, initial.P[:, :f], initial.Q[:, :f], **chosen)


def distance(factors: Factors, reference: Any) -> float:
    f = factors.rank
    found = (factors.P[:, :f], factors.Q[:, :f], factors.bu, factors.bi)
    return max(
        float(np.linalg.norm(X - Y)) / max(float(np.linalg.norm(Y)), 1e-9)
        for X, Y in zip(found, reference, strict=True)
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"weighted": False}, {"rank": 1}, {"rank": 20}, {"init": "positive"}, {"workers": 3}],
    ids=str,
)
@pytest.mark.parametrize("key", TWINS)
def test_equals_the_naive_twin(key: str, options: dict[str, Any]) -> None:
    problem = random_problem()
    record = trained(key, problem, **options)
    known = {name: options[name] for name in ("weighted",) if name in options}
    assert distance(record.final, twin(key, problem, record.initial, **known)) < TOLERANCE
    assert record.final.mu == pytest.approx(problem.train.mean)
    assert record.final.bu[-1] == record.final.bi[-1] == 0  # nobody rated
    assert record.final.finite()


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("als", {"simultaneous": True}),
        ("als", {"solve": "cg", "cg_steps": 30}),
        ("ccdpp", {"inner": 3}),
        ("ccdpp", {"refresh": 1}),
        ("ccdpp", {"stop_below": 1e-9}),
    ],
    ids=str,
)
def test_options_equal_the_naive_twin(key: str, options: dict[str, Any]) -> None:
    problem = random_problem()
    record = trained(key, problem, **options)
    known = {name: options[name] for name in ("simultaneous", "inner") if name in options}
    assert distance(record.final, twin(key, problem, record.initial, **known)) < TOLERANCE


@pytest.mark.parametrize(
    ("key", "mutant"),
    [
        ("als", {"mutant": "biases last"}),
        ("als", {"mutant": "one side"}),
        *((key, {"lam_bias": 0.0}) for key in TWINS),
        *((key, {"weighted": False}) for key in TWINS),
        ("ccd", {"mutant": "stale"}),
        ("ccdpp", {"mutant": "users first"}),
    ],
    ids=str,
)
def test_mutants_are_seen(key: str, mutant: dict[str, Any]) -> None:
    problem = random_problem()
    record = trained(key, problem)
    assert distance(record.final, twin(key, problem, record.initial, **mutant)) > 100 * TOLERANCE


@pytest.mark.parametrize("key", TWINS)
@given(
    seed=st.integers(0, 10_000),
    rank=st.integers(1, 8),
    lam=st.sampled_from([0.0, 1e-3, 0.1, 5.0]),
    weighted=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_the_objective_never_rises(
    key: str, seed: int, rank: int, lam: float, weighted: bool
) -> None:
    problem = random_problem(seed, m=12, n=9, nnz=60)
    cls, values = registry()[key], []
    solver = cls.make(
        rank=rank, lam=lam, lam_bias=lam, weighted=weighted, epochs=3, workers=1, seed=seed,
        biases=True,
    )  # fmt: skip
    t = problem.train

    def look(_: Checkpoint, context: Context) -> None:
        model = live(context)
        error = t.r - model.predict(t.u, t.i)
        values.append(solver.objective(problem, model, float(error @ error)))

    train(solver, problem, at=look, chunk=60)
    slack = 1e-5 * float((t.r.astype(float) ** 2).sum())
    assert all(after <= before + slack for before, after in itertools.pairwise(values))


@pytest.mark.parametrize("key", TWINS)
def test_workers_and_chunks_change_no_bit(key: str) -> None:
    problem = random_problem()
    one = trained(key, problem, workers=1).final
    for workers, chunk in ((1, 1), (2, 97), (3, None)):
        record = trained(key, problem, workers=workers, chunk=chunk)
        for name in ("bu", "bi", "P", "Q"):
            np.testing.assert_array_equal(getattr(record.final, name), getattr(one, name))
        assert sum(s["ratings"] for s in record.spans) == record.checkpoints[-1].updates
        assert "biases" in {s["name"] for s in record.spans} or key == "ccd"


@pytest.mark.parametrize("key", TWINS)
@pytest.mark.parametrize("more", [{}, {"simultaneous": True}, {"stop_below": 0.1}], ids=str)
def test_memory_is_what_the_model_says(key: str, more: dict[str, Any]) -> None:
    if not set(more) <= set(registry()[key].hyper_parameters()):
        pytest.skip("has no such option")
    problem = random_problem()
    solver = registry()[key].make(rank=5, epochs=1, workers=2, biases=True, **more)
    model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz)
    record = train(solver, problem)
    assert model.by_part() == record.high_water
    assert model.total_bytes == record.ledger.high_water_bytes


@pytest.mark.parametrize("key", TWINS)
def test_biases_alone_are_found_where_there_is_nothing_else(key: str) -> None:
    rng = np.random.default_rng(3)
    bu, bi = rng.normal(size=30), rng.normal(size=20)
    u, i = np.divmod(rng.permutation(600)[:400], 20)
    problem = split(Ratings.from_triples(u, i, 3 + bu[u] + bi[i]), holdout=0.2)
    final = trained(key, problem, rank=2, epochs=40, lam=1.0, lam_bias=1e-6).final
    error = problem.test.r - final.predict(problem.test.u, problem.test.i)
    assert np.sqrt((error**2).mean()) < 0.02
