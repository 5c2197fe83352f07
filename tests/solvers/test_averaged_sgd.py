"""Averaged SGD against its naive twin and its mutants; with one worker it is serial SGD."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem
from mfviz.solvers.averaged_sgd import AveragedSGD
from mfviz.solvers.base import Factors, registry
from tests import naive
from tests.naive_descent import averaged, minibatch, model_of
from tests.solvers.recorded import Record, train
from tests.solvers.replay import distance, problem_of, rates, streams

TOLERANCE = 1e-5
SETTINGS: dict[str, Any] = {
    "rank": 10, "lr": 0.1, "lam": 0.1, "lr_bias": 0.03, "lam_bias": 0.05, "init_scale": 0.3,
    "schedule": "constant", "seed": 3, "epochs": 3, "workers": 3, "scale_rate": False,
}  # fmt: skip


def run(problem: Problem, *, chunk: int | None = None, **settings: Any) -> Record:
    return train(AveragedSGD.make(**{**SETTINGS, **settings}), problem, chunk=chunk)


def orders(solver: Any, nnz: int) -> list[list[list[int]]]:
    """Visits of each worker in each epoch: dealt once, then every share shuffled by itself."""
    rng, K = streams(solver)[2], solver.workers
    whole = naive.shuffled(range(nnz), rng.integers(1, 1 << 63))
    shares = [whole[a:b] for a, b in itertools.pairwise(nnz * k // K for k in range(K + 1))]
    found = [shares]
    for _ in range(solver.epochs - 1):
        seed = rng.integers(1, 1 << 63)
        shares = [naive.shuffled(s, naive.part_seed(seed, k)) for k, s in enumerate(shares)]
        found.append(shares)
    return found


def twin(problem: Problem, record: Record, *, mutant: str = "", **settings: Any):
    solver: Any = AveragedSGD.make(**{**SETTINGS, **settings})
    t, nnz = problem.train, problem.train.nnz
    _, lr, lam, lr_bias, lam_bias = rates(solver, problem)
    model = averaged(
        t.u, t.i, t.r, [model_of(record.initial)] * solver.workers, orders(solver, nnz),
        solver.period or nnz, lr=lr, lam=lam, lr_bias=lr_bias, lam_bias=lam_bias,
        plain=solver.average == "plain", mutant=mutant,
    )  # fmt: skip
    return [np.pad(model[a], ((0, 0), (0, 6))) for a in ("P", "Q")] + [model["bu"], model["bi"]]


def bits(factors: Factors) -> bytes:
    return b"".join(a.tobytes() for a in (factors.P, factors.Q, factors.bu, factors.bi))


@pytest.mark.parametrize("period", [1, 10, 0])
@pytest.mark.parametrize("average", ["touching", "plain"])
def test_equals_the_naive_twin(period: int, average: str) -> None:
    problem = problem_of()
    settings: dict[str, Any] = {"period": period, "average": average}
    record = run(problem, **settings)
    assert distance(record.final, twin(problem, record, **settings)) < TOLERANCE


def test_scaled_rates_are_those_times_the_workers() -> None:
    problem = problem_of()
    scaled = run(problem, scale_rate=True, lr=0.02, lr_bias=0.01).final
    plain = run(problem, lr=0.06, lr_bias=0.03).final
    wanted = (plain.P, plain.Q, plain.bu, plain.bi)
    assert distance(scaled, wanted) < TOLERANCE


@pytest.mark.parametrize("mutant", ["shared", "touch once", "late", "other weights"])
def test_mutants_are_seen(mutant: str) -> None:
    problem = problem_of()
    record = run(problem, period=20)
    wrong: dict[str, Any] = {"mutant": mutant}
    if mutant == "other weights":
        wrong = {"average": "plain"}
    assert distance(record.final, twin(problem, record, period=20, **wrong)) > 100 * TOLERANCE


@pytest.mark.parametrize("period", [1, 37, 0])
@pytest.mark.parametrize("more", [{}, {"average": "plain"}, {"by_user": True}], ids=str)
def test_one_worker_is_serial_sgd_bit_for_bit(period: int, more: dict) -> None:
    problem = problem_of()
    shared = {name: value for name, value in SETTINGS.items() if name != "scale_rate"}
    wanted = train(registry()["sgd"].make(**{**shared, "workers": 1}), problem).final
    assert bits(run(problem, workers=1, period=period, **more).final) == bits(wanted)


@pytest.mark.parametrize("period", [10, 0])
@pytest.mark.parametrize("more", [{}, {"by_user": True}, {"starts": "different"}], ids=str)
def test_chunks_change_no_bit(period: int, more: dict) -> None:
    problem = problem_of()
    reference = run(problem, period=period, **more).final
    for chunk in (1, 50):
        record = run(problem, period=period, chunk=chunk, **more)
        assert bits(record.final) == bits(reference)
        assert sum(s["ratings"] for s in record.spans) == 3 * problem.train.nnz
        assert np.diff([c.updates for c in record.checkpoints]).max() <= chunk


def test_one_step_each_and_a_plain_average_is_a_mini_batch() -> None:
    """Means of K steps of one rating: the mean form of mini-batch SGD with batches of K."""
    problem = problem_of(nnz=402)
    settings: dict[str, Any] = {"period": 1, "average": "plain", "epochs": 1}
    record = run(problem, **settings)
    solver: Any = AveragedSGD.make(**{**SETTINGS, **settings})
    t = problem.train
    order = np.array(orders(solver, t.nnz)[0]).T.ravel()
    known = dict(
        zip(("lr", "lam", "lr_bias", "lam_bias"), rates(solver, problem)[1:], strict=True)
    )
    start = model_of(record.initial)
    model = minibatch(t.u, t.i, t.r, start, [order], 3, form="mean", **known)
    P, Q = (np.pad(model[a], ((0, 0), (0, 6))) for a in ("P", "Q"))
    wanted = (P, Q, model["bu"], model["bi"])
    assert distance(record.final, wanted) < TOLERANCE


def test_whole_users_keep_their_rows_and_different_starts_do_not_learn() -> None:
    problem = problem_of(60, 40, 1500, holdout=0.1)
    settings: dict[str, Any] = {"workers": 2, "epochs": 40, "lr": 0.05, "lam": 0.02, "rank": 3}

    def error(**more: Any) -> float:
        final, test = run(problem, **settings, **more).final, problem.test
        return float(np.sqrt(((test.r - final.predict(test.u, test.i)) ** 2).mean()))

    together, by_user = error(), error(by_user=True)
    assert max(together, by_user) < 0.75 * problem.test.r.std()
    apart = error(starts="different", average="plain", init_scale=1.0)
    assert apart > min(together, by_user)


def test_spans_show_averages_and_waits() -> None:
    record = run(problem_of(), period=50)
    names = {s["name"] for s in record.spans}
    assert {"update", "shuffle", "average"} <= names
    for lane in ("W0", "W1", "W2"):
        mine = sorted((s["start_ns"], s["end_ns"]) for s in record.spans if s["lane"] == lane)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(mine))
