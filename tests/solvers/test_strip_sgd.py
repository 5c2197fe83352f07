"""Strip SGD: its layout, its Latin square, and what it promises about cuts and workers."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any, cast

import numpy as np
import pytest

from mfviz.backends.host import Crew
from mfviz.data.problem import Problem
from mfviz.data.ratings import Ratings
from mfviz.experiments.context import make_context
from mfviz.solvers.base import Checkpoint
from mfviz.solvers.strip_sgd import StripSGD, strips_of_group
from tests.solvers.recorded import Record, train
from tests.solvers.replay import distance, problem_of, strip_plan, strip_twin
from tests.solvers.test_sgd import bits

# 272 columns of 4 bytes: strips of 16 KiB hold 15 items, and 40 items make three of them.
WIDE: dict[str, Any] = {"rank": 270, "strip_kib": 16, "lr": 0.05}
MANY: dict[str, Any] = {"m": 12, "n": 40, "nnz": 800}


def run(workers: int = 2, chunk: int | None = None, problem=None, **params) -> Record:
    wanted = {"rank": 5, "epochs": 3, "seed": 1, **params}
    return train(StripSGD.make(workers=workers, **wanted), problem or problem_of(), chunk=chunk)


@pytest.mark.parametrize("chunk", [1, 3, 50, 401])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_cuts_change_no_bit(workers: int, chunk: int):
    record = run(workers, chunk=chunk)
    assert bits(record.final) == bits(run(workers).final)
    steps = np.diff([c.updates for c in record.checkpoints])
    assert steps.max() <= max(chunk, workers) + 3 * workers  # groups of four are whole
    assert steps.min() >= 0


def test_again_is_the_same_and_another_number_of_workers_is_not():
    assert bits(run(3).final) == bits(run(3).final)
    assert bits(run(2).final) != bits(run(3).final)
    declared = [StripSGD.make(workers=w).determinism() for w in (1, 3)]
    assert declared == ["exact", "exact at 3 workers"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("rank", [5, 270])
def test_several_strips_do_what_the_twin_does(workers: int, rank: int):
    problem = problem_of(**MANY)
    solver = StripSGD.make(
        **{**WIDE, "rank": rank}, epochs=3, workers=workers, schedule="constant"
    )
    if rank == 270:
        assert strips_of_group(solver, 12, 40, 800) == (3 if workers == 1 else 2)
    record = train(solver, problem)
    assert distance(record.final, strip_twin(solver, problem, record.initial)) <= 1e-4


def test_users_are_visited_in_the_order_that_was_drawn():
    problem = problem_of(m=200, n=40, nnz=2000)
    solver = StripSGD.make(rank=10, epochs=1, workers=2, lr=0.15, init_scale=0.3, seed=3)
    record = train(solver, problem)
    twins = [strip_twin(solver, problem, record.initial, m) for m in ("", "users in order")]
    assert distance(record.final, twins[0]) <= 1e-5
    assert distance(record.final, twins[1]) > 1e-3


def test_rows_in_registers_and_rows_in_memory_are_one_arithmetic(monkeypatch):
    """Up to rounding: the compiler may order a long sum in another way."""
    wanted = run(2, rank=20, schedule="constant").final
    monkeypatch.setattr("mfviz.solvers.stochastic.WIDEST", 0)
    found = run(2, rank=20, schedule="constant").final
    for name in ("P", "Q", "bu", "bi"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_stopped_within_an_epoch_leaves_what_it_learned(workers: int):
    problem, solver = problem_of(), StripSGD.make(rank=5, workers=workers, epochs=2)
    with Crew(workers) as crew:
        context = make_context(solver, crew, chunk=50)
        steps = solver.iterate(problem, context)
        while next(steps) != Checkpoint("epoch", 1, problem.train.nnz):
            pass
        factors = context.factors
        assert factors is not None
        before = [factors.Q.copy(), factors.bi.copy()]
        assert next(steps).kind == "stratum"
        cast("Generator[Checkpoint]", steps).close()
    for was, now in zip(before, (factors.Q, factors.bi), strict=True):
        changed = (was != now).reshape(problem.n_items, -1).any(axis=1)
        assert 0 < changed.sum() <= 50 + 3 * workers


def spans_of(record: Record, epoch: int, lane: str) -> list[dict[str, Any]]:
    mine = [s for s in record.spans if (s["epoch"], s["lane"]) == (epoch, lane)]
    return sorted(mine, key=lambda s: s["start_ns"])


def test_workers_of_a_round_share_no_group_and_each_keeps_its_users():
    workers, problem = 3, problem_of(m=40, n=40, nnz=2000)
    record = run(workers, problem=problem)
    for epoch in (1, 2, 3):
        rounds: list[set[int]] = [set() for _ in range(workers)]
        for w in range(workers):
            passed = 0
            for s in spans_of(record, epoch, f"W{w}"):
                passed += s["reason"] == "barrier"
                if s["ratings"]:
                    row, strip = map(int, s["block"].split(","))
                    assert row == w
                    assert strip not in rounds[passed]
                    rounds[passed].add(strip)
            assert passed == workers
        assert sorted(itertools.chain(*rounds)) == [s for s in range(workers) for _ in rounds]


def test_groups_and_ranges_have_equal_rating_mass():
    problem = problem_of(m=300, n=200, nnz=20_000)
    record = run(2, problem=problem, epochs=1)
    blocks = [s["ratings"] for s in record.spans if s["ratings"]]
    assert len(blocks) == 4
    assert max(blocks) < 1.1 * min(blocks)


def test_orders_are_drawn_anew_each_epoch_unless_they_are_to_stay():
    problem = problem_of(m=200, n=40, nnz=2000)
    for shuffle in (True, False):
        solver = StripSGD.make(**WIDE, epochs=4, workers=2, shuffle=shuffle)
        plans = {str(runs) for runs in strip_plan(solver, problem)}
        assert len(plans) == (4 if shuffle else 1)


def test_strips_are_no_more_than_the_runs_can_bear():
    solver = StripSGD.make(rank=64, workers=1)
    assert strips_of_group(solver, 6040, 3706, 900_000) == 1
    assert strips_of_group(solver, 69_878, 10_677, 9_000_000) == 3
    assert strips_of_group(solver, 10**6, 10**6, 10**6) == 1


def test_a_pair_that_is_rated_twice_in_one_group_loses_no_update():
    """Four ratings of one user for one item: the item's row takes all four steps."""
    same = Problem(*[part_of([0] * 4, [0] * 4, [5.0] * 4), part_of([], [], [])])
    solver = StripSGD.make(
        rank=4, workers=1, epochs=1, lr=0.1, lam=0.0, lr_bias=0.1, lam_bias=0.0,
        centre=False, init_scale=0.5, schedule="constant",
    )  # fmt: skip
    record = train(solver, same)
    start = record.initial
    e = 5.0 - start.P[0] @ start.Q[0]
    np.testing.assert_allclose(record.final.Q[0], start.Q[0] + 0.4 * e * start.P[0], rtol=1e-5)
    np.testing.assert_allclose(record.final.bi, 0.4 * e, rtol=1e-5)


def part_of(u, i, r):

    ids = np.arange(1)
    return Ratings(np.array(u, np.int32), np.array(i, np.int32), np.array(r, np.float32), ids, ids)
