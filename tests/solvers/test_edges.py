"""Problems at the edge, for every solver: empty rows, constant ratings, no regularisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError
from mfviz.experiments.run import Run
from mfviz.solvers.base import Solver, registry
from mfviz.telemetry.events import BlockTaken
from tests.solvers.recorded import Record, train

SOLVERS = sorted(registry())


def made(key: str, **settings: Any) -> Solver:
    cls = registry()[key]
    low, high = cls.param["workers"].bounds
    wanted = {"rank": 4, "epochs": 2, "workers": 3, **settings}
    return cls.make(**{**wanted, "workers": min(max(wanted["workers"], low), high)})


def ratings(u: Any, i: Any, r: Any, m: int, n: int) -> Ratings:
    names = np.arange(m), np.arange(n)
    return Ratings(np.asarray(u, "i4"), np.asarray(i, "i4"), np.asarray(r, "f4"), *names)


def with_empty_rows() -> Problem:
    """Nine users and eight items; the first, a middle and the last of each have no rating."""
    rng = np.random.default_rng(2)
    u, i = rng.choice([1, 2, 3, 5, 6, 7], 60), rng.choice([1, 2, 4, 5, 6], 60)
    return Problem(
        ratings(u, i, rng.integers(1, 6, 60), 9, 8), ratings([0, 8, 4], [0, 7, 3], [3] * 3, 9, 8)
    )


def same(record: Record, side: str, rows: list[int]) -> bool:
    before, after = getattr(record.initial, side)[rows], getattr(record.final, side)[rows]
    return bool(np.array_equal(before, after)) or not after.any()


@pytest.mark.parametrize("rank", [1, 12])
@pytest.mark.parametrize("key", SOLVERS)
def test_rows_without_ratings_stay_as_they_were_or_are_zero(key: str, rank: int) -> None:
    problem = with_empty_rows()
    record = train(made(key, rank=rank), problem)
    assert record.final.finite()
    for side, rows in (("P", [0, 4, 8]), ("Q", [0, 3, 7]), ("bu", [0, 4, 8]), ("bi", [0, 3, 7])):
        assert same(record, side, rows), side
    assert np.isfinite(record.final.predict(problem.test.u, problem.test.i)).all()


@pytest.mark.parametrize("key", SOLVERS)
def test_nothing_need_be_regularised(key: str) -> None:
    free = {"lam": 0.0, "lam_bias": 0.0, "biases": True}
    known = registry()[key].hyper_parameters()
    chosen = {name: value for name, value in free.items() if name in known}
    assert train(made(key, rank=12, **chosen), with_empty_rows()).final.finite()


@pytest.mark.parametrize("key", SOLVERS)
def test_a_seed_gives_one_start_and_another_seed_another(key: str) -> None:
    """Also where luck decides what follows."""
    one, again, other = (
        train(made(key, seed=seed, epochs=1), with_empty_rows()).initial for seed in (1, 1, 2)
    )
    both = [np.concatenate([start.P.ravel(), start.Q.ravel()]) for start in (one, again, other)]
    np.testing.assert_array_equal(both[0], both[1])
    assert not np.array_equal(both[0], both[2])


@pytest.mark.parametrize("key", SOLVERS)
def test_constant_ratings_are_learnt(key: str) -> None:
    u, i = np.divmod(np.arange(120), 10)
    problem = Problem(ratings(u, i, [4.0] * 120, 12, 10), ratings([], [], [], 12, 10))
    brisk = {"epochs": 60, "lam": 0.001, "lr": 0.05, "init_scale": 0.5}
    known = registry()[key].hyper_parameters()
    chosen = {name: value for name, value in brisk.items() if name in known}
    final = train(made(key, **chosen), problem).final
    error = final.predict(problem.train.u, problem.train.i) - 4.0
    assert np.sqrt((error**2).mean()) < 0.3


@pytest.mark.parametrize("key", SOLVERS)
def test_set_up_performs_no_update(key: str) -> None:
    """After it the factors are the start, to the bit, and nothing was visited."""
    problem, seen = with_empty_rows(), []
    start = train(made(key, seed=5, epochs=1), problem).final
    record = train(made(key), problem, start=start, at=lambda c, _: seen.append(c))
    assert (seen[0].kind, seen[0].epoch, seen[0].updates) == ("epoch", 0, 0)
    for name in ("P", "Q", "bu", "bi"):
        np.testing.assert_array_equal(getattr(record.initial, name), getattr(start, name))


@pytest.mark.parametrize("key", SOLVERS)
def test_a_run_reports_one_update_a_rating_and_epoch(key: str) -> None:
    """Two for solvers that visit a rating once for each side."""
    problem = with_empty_rows()
    run = Run(problem, made(key, epochs=3))
    run.execute()
    assert run.status == "done", run.reason
    sides = 2 if registry()[key].two_sided else 1
    history = run.result().history
    wanted = sides * problem.train.nnz * history["epoch"]
    if key == "fpsgd":  # its iteration is a number of blocks: those that are free, not all once
        taken = [event.ratings for event in run.log.read()[0] if isinstance(event, BlockTaken)]
        assert history["updates"].iloc[-1] == sum(taken)
        assert len(taken) == 3 * run.solver.blocks_a_side**2
    elif key == "cumf_sgd":  # as many chunks of 128 for each worker as the ratings need
        size = 128 * run.solver.workers
        assert history["updates"].iloc[-1] == 3 * size * -(-problem.train.nnz // size)
    else:
        assert history["updates"].tolist() == wanted.tolist()


# --- the border: what is wrong never reaches a kernel -------------------------------------------

WRONG: dict[str, tuple[Any, Any, Any, str]] = {
    "user too large": ([0, 9], [0, 1], [1, 2], "number 9 among 9"),
    "item too large": ([0, 1], [0, 8], [1, 2], "number 8 among 8"),
    "negative user": ([0, -1], [0, 1], [1, 2], "number -1"),
    "negative item": ([0, 1], [-8, 1], [1, 2], "number -8"),
    "fewer items": ([0, 1, 2], [0], [1, 2, 3], "one length"),
    "fewer ratings": ([0, 1, 2], [0, 1, 2], [1], "one length"),
    "a table": ([[0, 1]], [[0, 1]], [[1, 2]], "vectors"),
}


@pytest.mark.parametrize("side", ["train", "test"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_index_is_refused_at_the_border(name: str, side: str) -> None:
    u, i, r, words = WRONG[name]
    good, bad = ratings([0, 1], [0, 1], [1, 2], 9, 8), ratings(u, i, r, 9, 8)
    with pytest.raises(DataError, match=words):
        Problem(bad, good) if side == "train" else Problem(good, bad)


@pytest.mark.parametrize("kinds", [("i8", "i4", "f4"), ("i4", "u4", "f4"), ("i4", "i4", "f8")])
def test_arrays_of_other_kinds_are_refused_at_the_border(kinds: tuple[str, str, str]) -> None:
    u, i, r = (np.arange(2).astype(kind) for kind in kinds)
    odd = Ratings(u, i, r, np.arange(9), np.arange(8))
    with pytest.raises(DataError, match="must be int32, int32 and float32"):
        Problem(odd, odd)


def test_what_was_checked_cannot_be_changed() -> None:
    problem = with_empty_rows()
    for array in (problem.train.u, problem.train.i, problem.train.r, problem.test.u):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 99
