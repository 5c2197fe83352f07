"""What must hold for any ratings: the SGD family under hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.data.problem import Problem
from mfviz.data.ratings import Ratings
from mfviz.solvers.base import Factors, registry
from tests.solvers.recorded import Record, train

KEYS = ("sgd", "hogwild", "dsgd", "fpsgd", "strip_sgd")


def of(u, i, r, m: int, n: int) -> Problem:
    """A problem whose numbers are the given ones, so that rows may be empty."""
    names = np.arange(m), np.arange(n)
    train_part = Ratings(
        np.asarray(u, np.int32), np.asarray(i, np.int32), np.asarray(r, np.float32), *names
    )
    empty = np.zeros(0, np.int32)
    return Problem(train_part, Ratings(empty, empty, empty.astype(np.float32), *names))


@st.composite
def problems(draw: Any) -> Problem:
    """Up to 12 x 12 with empty rows, repeated pairs and odd values."""
    m, n, nnz = (draw(st.integers(1, top)) for top in (12, 12, 60))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    r = rng.integers(1, 6, nnz) if draw(st.booleans()) else np.full(nnz, 3.5)
    return of(rng.integers(0, m, nnz), rng.integers(0, n, nnz), r, m, n)


def run(key: str, problem: Problem, start: Factors | None = None, **params: Any) -> Record:
    """One worker, so that all are exact."""
    wanted = {"rank": 3, "epochs": 2, "workers": 1, **params}
    return train(registry()[key].make(**wanted), problem, start=start)


@pytest.mark.parametrize("key", KEYS)
@settings(max_examples=25, deadline=None)
@given(problem=problems(), rank=st.integers(1, 20))
def test_learning_rate_zero_leaves_the_model_alone(key: str, problem: Problem, rank: int):
    still: dict[str, Any] = {} if key == "fpsgd" else {"lr_bias": 0.0}
    record = run(key, problem, rank=rank, lr=0.0, **still)
    np.testing.assert_array_equal(record.final.P, record.initial.P)
    np.testing.assert_array_equal(record.final.Q, record.initial.Q)
    assert not record.final.bu.any()


@pytest.mark.parametrize("key", KEYS)
@settings(max_examples=25, deadline=None)
@given(problem=problems(), rank=st.integers(1, 20), workers=st.integers(1, 3))
def test_any_problem_is_trained_and_accounted_for(
    key: str, problem: Problem, rank: int, workers: int
):
    record = run(key, problem, rank=rank, workers=1 if key == "sgd" else workers)
    assert record.final.finite()
    assert sum(s["ratings"] for s in record.spans) == record.checkpoints[-1].updates
    for counts, now, before in (
        (problem.train.user_counts, record.final.P, record.initial.P),
        (problem.train.item_counts, record.final.Q, record.initial.Q),
    ):
        np.testing.assert_array_equal(now[counts == 0], before[counts == 0])  # empty rows rest


@pytest.mark.parametrize("key", ["sgd", "hogwild"])
@settings(max_examples=25, deadline=None)
@given(problem=problems(), seed=st.integers(0, 1000))
def test_renumbering_users_renumbers_P(key: str, problem: Problem, seed: int):
    part, m, n = problem.train, problem.n_users, problem.n_items
    start = run(key, problem).initial
    new = np.random.default_rng(seed).permutation(m)
    other = start.copy()
    other.P[new] = start.P
    renumbered = of(new[part.u], part.i, part.r, m, n)
    a, b = run(key, problem, start), run(key, renumbered, other)
    np.testing.assert_array_equal(b.final.P[new], a.final.P)
    np.testing.assert_array_equal(b.final.Q, a.final.Q)
    np.testing.assert_array_equal(b.final.bu[new], a.final.bu)


@pytest.mark.parametrize("key", ["sgd", "hogwild", "dsgd"])
@settings(max_examples=15, deadline=None)
@given(problem=problems(), shift=st.integers(-50, 50))
def test_a_centred_model_does_not_mind_a_shift(key: str, problem: Problem, shift: int):
    part = problem.train
    moved = of(part.u, part.i, part.r + np.float32(shift), problem.n_users, problem.n_items)
    a, b = (run(key, p, schedule="constant").final for p in (problem, moved))
    assert b.mu - a.mu == pytest.approx(shift)
    for one, other in ((a.P, b.P), (a.Q, b.Q), (a.bu, b.bu), (a.bi, b.bi)):
        np.testing.assert_allclose(one, other, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(problem=problems(), factor=st.sampled_from([0.125, 0.5, 4.0, 64.0]))
def test_a_scaled_model_does_not_mind_a_unit(problem: Problem, factor: float):
    """Ratings and lambda times a power of two: the same bits, in units of the deviation."""
    part = problem.train
    if np.ptp(part.r) == 0:
        return  # ratings that are all alike are not scaled
    scaled = of(part.u, part.i, part.r * factor, problem.n_users, problem.n_items)
    a = run("fpsgd", problem, lam=0.25).final
    b = run("fpsgd", scaled, lam=0.25 * factor).final
    assert b.scale == pytest.approx(a.scale * factor)
    np.testing.assert_allclose(a.P, b.P, atol=1e-5)
