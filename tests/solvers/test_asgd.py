"""ASGD against its naive twin, its mutants, and itself with other workers and chunks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.kernels.als import group_by_row
from mfviz.kernels.rows import begin_at, shuffle_row, take_rows
from mfviz.solvers.asgd import ASGD
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.stochastic import draw_seed
from tests.naive_descent import asgd as naive_asgd
from tests.naive_descent import model_of
from tests.solvers.recorded import Record, train

TOLERANCE = 1e-5
BRISK = {"lr": 0.08, "lam": 0.1, "init_scale": 0.3, "decay": 0.9}


def random_problem(seed: int = 0, m: int = 40, n: int = 30, nnz: int = 400) -> Problem:
    """Uneven rows: popular users and items are drawn by squared uniforms."""
    rng = np.random.default_rng(seed)
    u, i = (rng.random((2, nnz)) ** 2 * [[m], [n]]).astype(int)
    return split(Ratings.from_triples(u, i, rng.integers(1, 6, nnz)), holdout=0.0)


def asgd(problem: Problem, *, chunk: int | None = None, **params) -> Record:
    solver = ASGD.make(**{"rank": 5, "epochs": 3, "workers": 2, **BRISK, **params})
    return train(solver, problem, chunk=chunk)


def orders(problem: Problem, epochs: int, seed: int, shuffle: bool):
    """The order of visits of each phase, from the solver's own random numbers."""
    t, rng = problem.train, np.random.default_rng(seed).spawn(3)[2]
    sides, found = [], []
    for row, count in ((t.u, problem.n_users), (t.i, problem.n_items)):
        indptr = np.zeros(count + 1, np.int64)
        index, value = np.zeros(t.nnz, np.int32), np.zeros(t.nnz, np.float32)
        group_by_row(row, np.arange(t.nnz, dtype=np.int32), t.r, indptr, index, value)
        sides.append((indptr, index, value))
    for _ in range(epochs):
        for indptr, index, value in sides:
            if shuffle:
                drawn = draw_seed(rng)
                for x in range(len(indptr) - 1):
                    shuffle_row(index, value, indptr[x], indptr[x + 1], drawn, x)
            found.append(index.copy())
    return list(zip(found[::2], found[1::2], strict=True))


def twin(
    problem: Problem, record: Record, *, shuffle=True, biased=True, seed=0, mutant="", **more
):
    t = problem.train
    settings = {"lam": 0.1, "lr_bias": 0.01, "lam_bias": 0.02, **more}
    lrs = [(0.08 * 0.9**epoch, 0.9**epoch) for epoch in range(3)]
    visits = orders(problem, 3, seed, shuffle)
    start = model_of(record.initial)
    return naive_asgd(
        t.u, t.i, t.r, start, visits, lrs=lrs, biased=biased, mutant=mutant, **settings
    )


def distance(factors: Factors, model) -> float:
    found = model_of(factors)
    names = [name for name in ("P", "Q", "bu", "bi") if model[name].any()]
    pairs = [(found[name], model[name]) for name in names]
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rank", [1, 5, 20])
def test_equals_the_naive_twin(seed: int, rank: int) -> None:
    problem = random_problem(seed)
    record = asgd(problem, rank=rank, seed=seed)
    assert distance(record.final, twin(problem, record, seed=seed)) < TOLERANCE


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_options_equal_the_naive_twin(shuffle: bool, biased: bool) -> None:
    problem = random_problem()
    record = asgd(problem, shuffle=shuffle, biases=biased)
    wanted = twin(problem, record, shuffle=shuffle, biased=biased)
    assert distance(record.final, wanted) < TOLERANCE
    assert record.final.bu.any() == biased


@pytest.mark.parametrize("mutant", ["stale", "both", "decay once", "order", "lambda"])
def test_mutants_are_seen(mutant: str) -> None:
    problem = random_problem()
    record = asgd(problem)
    others: dict = {"order": {"shuffle": False}, "lambda": {"lam": 0.12}}
    wrong = others.get(mutant, {"mutant": mutant})
    assert distance(record.final, twin(problem, record, **wrong)) > 100 * TOLERANCE


@pytest.mark.parametrize("params", [{}, {"shuffle": False}, {"rank": 40}], ids=str)
def test_workers_and_chunks_change_no_bit(params: dict) -> None:
    problem = random_problem()
    reference = asgd(problem, workers=1, **params).final
    for workers, chunk in ((1, 1), (2, None), (3, 7), (5, 100)):
        record = asgd(problem, workers=workers, chunk=chunk, **params)
        for name in ("P", "Q", "bu", "bi"):
            np.testing.assert_array_equal(getattr(record.final, name), getattr(reference, name))
        assert record.kinds.count("half-sweep") == 3
        assert ("chunk" in record.kinds) == (chunk is not None)


def test_one_side_moves_at_a_time() -> None:
    problem = random_problem()
    seen: list[tuple[str, np.ndarray, np.ndarray]] = []

    def look(checkpoint: Checkpoint, context: Context) -> None:
        assert context.factors is not None
        seen.append((checkpoint.kind, context.factors.P.copy(), context.factors.Q.copy()))

    train(ASGD(rank=5, epochs=2, workers=2), problem, at=look)
    assert [kind for kind, _, _ in seen] == ["epoch", "half-sweep", "epoch", "half-sweep", "epoch"]
    for before, after in itertools.pairwise(seen):
        users = after[0] == "half-sweep"
        assert np.array_equal(before[1], after[1]) != users
        assert np.array_equal(before[2], after[2]) == users


def test_learning_rate_of_zero_leaves_the_factors() -> None:
    record = asgd(random_problem(), lr=0.0, lr_bias=0.0)
    np.testing.assert_array_equal(record.final.P, record.initial.P)
    np.testing.assert_array_equal(record.final.Q, record.initial.Q)


def test_spans_name_side_and_barriers() -> None:
    problem = random_problem()
    spans = asgd(problem, workers=3, epochs=2).spans
    for side in ("users", "items"):
        assert sum(s["ratings"] for s in spans if s["name"] == side) == 2 * problem.train.nnz
    assert {s["reason"] for s in spans if s["op"] == "wait"} <= {"barrier"}


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
@pytest.mark.parametrize(("low", "high"), [(0, 12), (1, 12), (4, 9), (5, 6), (0, 1)])
def test_slices_hold_each_row_once(size: int, low: int, high: int) -> None:
    indptr = np.cumsum([0, 0, 5, 0, 1, 0, 4, 2, 0]).astype(np.int64)
    counter = np.zeros(1, np.int64)
    rows: list[int] = []
    while True:
        first, stop = take_rows(counter, indptr, low, high, size)
        if first < 0:
            break
        rows += range(first, stop)
    inside = [x for x in range(8) if max(indptr[x], low) < min(indptr[x + 1], high)]
    assert [x for x in rows if indptr[x] < indptr[x + 1]] == inside  # empty ones may be there
    assert len(set(rows)) == len(rows)
    assert begin_at(indptr, 6) == 4
