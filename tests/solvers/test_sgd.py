"""Serial SGD, what its parallel versions must equal bit for bit, and settings shared by all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem
from mfviz.errors import ParameterError
from mfviz.solvers.base import Checkpoint, Context, Factors, registry
from mfviz.solvers.sgd import SGD
from tests import naive
from tests.solvers.recorded import Record, live, train
from tests.solvers.replay import problem_of, sgd_orders

SETTINGS: dict[str, Any] = {"rank": 6, "epochs": 3, "schedule": "constant", "seed": 2}


def run(key: str, problem: Problem, chunk: int | None = None, **settings: Any) -> Record:
    return train(registry()[key].make(**{**SETTINGS, **settings}), problem, chunk=chunk)


def bits(factors: Factors) -> bytes:
    arrays = (factors.P, factors.Q, factors.bu, factors.bi)
    return b"".join(a.tobytes() for a in arrays)


@pytest.mark.parametrize("schedule", ["constant", "exponential", "inverse", "bold"])
@pytest.mark.parametrize("biases", [True, False])
def test_serial_and_one_worker_and_one_block_are_equal_bit_for_bit(schedule: str, biases: bool):
    problem = problem_of()
    same: dict[str, Any] = {"schedule": schedule, "biases": biases}
    wanted = bits(run("sgd", problem, **same).final)
    assert bits(run("hogwild", problem, workers=1, **same).final) == wanted
    one_block = run("dsgd", problem, workers=2, grid=1, shuffle=False, **same)
    assert bits(one_block.final) == wanted
    assert bits(run("sgd", problem, seed=3, **same).final) != wanted


@pytest.mark.parametrize("chunk", [1, 7, 399])
def test_chunks_are_never_longer_than_asked_for_and_change_nothing(chunk: int):
    problem = problem_of()
    whole, cut = run("sgd", problem), run("sgd", problem, chunk=chunk)
    assert bits(whole.final) == bits(cut.final)
    steps = np.diff([c.updates for c in cut.checkpoints])
    assert steps.max() == min(chunk, problem.train.nnz)


def test_the_order_is_a_fresh_permutation_each_epoch():
    """With lr 0 and a bias that only counts, nothing tells the order: look at the records."""
    problem, seen = problem_of(), []
    visits: list[int] = []

    def at(checkpoint: Checkpoint, context: Context) -> None:
        seen.append(checkpoint.updates)
        visits.append(int(live(context).bu.astype(bool).sum()))

    solver = SGD.make(rank=2, epochs=1, lr=0.0, lr_bias=0.5, seed=1)
    train(solver, problem, at=at, chunk=1)
    assert seen == sorted(seen)
    (first,) = sgd_orders(solver, problem.train.nnz)
    users = problem.train.u[first]
    expected = [len(set(users[:k].tolist())) for k in range(problem.train.nnz + 1)]
    assert visits[: len(expected)] == expected


def test_learning_rate_and_lambda_are_read_after_each_yield():
    problem = problem_of()

    def freeze(checkpoint: Checkpoint, context: Context) -> None:
        if (checkpoint.kind, checkpoint.epoch) == ("epoch", 1):
            context.lr = 0.0
            kept.append(live(context).P.copy())

    kept: list[np.ndarray] = []
    solver = SGD.make(**SETTINGS, biases=False)
    record = train(solver, problem, at=freeze)
    np.testing.assert_array_equal(record.final.P, kept[0])


def test_objective_is_the_weighted_one():
    problem = problem_of()
    solver = SGD.make(**SETTINGS, lam=0.3, lam_bias=0.2)
    f = train(solver, problem).final
    train_part = problem.train
    u, i, r = train_part.u, train_part.i, train_part.r
    error = float((naive.errors(u, i, r, f.P, f.Q, f.bu, f.bi, f.mu) ** 2).sum())
    wanted = naive.objective(u, i, r, f.P, f.Q, f.bu, f.bi, f.mu, 0.3, 0.2)
    assert solver.objective(problem, f, error) == pytest.approx(wanted, rel=1e-6)


def test_it_is_serial_and_says_so():
    assert SGD.make().workers == 1
    with pytest.raises(ParameterError, match="it must be 1"):
        SGD.make(workers=2)


def test_bold_driver_tells_its_losses_on_the_lane():
    record = run("sgd", problem_of(), schedule="bold")
    names = [(s["epoch"], s["name"]) for s in record.spans]
    assert [name for epoch, name in names if epoch == 2] == ["shuffle", "update", "loss"]


def test_duplicates_are_all_visited():
    problem = problem_of(m=2, n=2, nnz=50)
    record = run("sgd", problem)
    ends = [c.updates for c in record.checkpoints if c.kind == "epoch"]
    assert ends == [0, 50, 100, 150]
