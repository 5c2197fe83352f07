"""cuMF_SGD against its naive twin: the same places, the same rounding, on the CPU and beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem
from mfviz.experiments.run import Run
from mfviz.kernels.order import TRIPLE
from mfviz.solvers.cumf_sgd import CHUNK, CuMFSGD
from mfviz.telemetry.check import check_run
from tests.naive_gpu import chunks
from tests.solvers.recorded import train
from tests.solvers.replay import problem_of
from tests.solvers.test_asgd import random_problem

BRISK: dict[str, Any] = {
    "rank": 5, "epochs": 3, "workers": 1, "lr": 0.08, "lam": 0.1, "beta": 0.2,
}  # fmt: skip
TOLERANCE = 1e-3  # a sum in another order may round a half to its neighbour


def twin(problem: Problem, initial: Any, *, seed: int = 0, mutant: str = "", **changed: Any):
    """Repeat a training from the solver's own random numbers."""
    settings = {**BRISK, **changed}
    _, layout, order = np.random.default_rng(seed).spawn(3)
    t, s = problem.train, initial.scale
    records = np.empty(t.nnz, TRIPLE)
    records["u"], records["i"], records["r"] = t.u, t.i, t.r
    records["r"] /= np.float32(s)
    layout.shuffle(records)
    P, Q = initial.P[:, : initial.rank], initial.Q[:, : initial.rank]
    per = -(-t.nnz // CHUNK)
    for epoch in range(3):
        places = order.integers(0, t.nnz, (1, per))[0]
        lr = settings["lr"] / (1 + settings["beta"] * epoch**1.5)
        lam = settings["lam"] / s
        P, Q = chunks(
            records["u"], records["i"], records["r"], places, CHUNK, P, Q, lr=lr, lam=lam,
            mutant=mutant,
        )  # fmt: skip
    return P, Q


def distance(factors: Any, model: tuple[np.ndarray, np.ndarray]) -> float:
    pairs = zip((factors.P, factors.Q), model, strict=True)
    return max(
        float(np.linalg.norm(a[:, : factors.rank] - b) / np.linalg.norm(b)) for a, b in pairs
    )


@pytest.mark.parametrize("rank", [1, 5, 20])
def test_equals_the_naive_twin(rank: int) -> None:
    problem = random_problem()
    record = train(CuMFSGD.make(**{**BRISK, "rank": rank}), problem)
    assert distance(record.final, twin(problem, record.initial)) < TOLERANCE


@pytest.mark.parametrize("mutant", ["new p", "stop", "apart", "lambda", "schedule"])
def test_mutants_are_seen(mutant: str) -> None:
    problem = random_problem()
    record = train(CuMFSGD.make(**BRISK), problem)
    others: dict[str, Any] = {"lambda": {"lam": 0.15}, "schedule": {"beta": 0.5}}
    wrong = others.get(mutant, {"mutant": mutant})
    assert distance(record.final, twin(problem, record.initial, **wrong)) > 5 * TOLERANCE


def test_factors_are_halves() -> None:
    record = train(CuMFSGD.make(**BRISK), random_problem())
    for X in (record.initial.P, record.final.P, record.final.Q):
        np.testing.assert_array_equal(X, X.astype(np.float16))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_visits_whole_chunks_and_never_waits(workers: int) -> None:
    problem = problem_of(300, 200, 12_000, holdout=0.1)
    run = Run(problem, CuMFSGD.make(**{**BRISK, "workers": workers}))
    run.execute()
    assert run.status == "done"
    assert check_run(run.log.read()[0]) == []
    assert run.updates % CHUNK == 0
    assert run.updates >= 3 * problem.train.nnz


def test_workers_on_a_gpu_are_few_beside_the_rows() -> None:
    solver = CuMFSGD()
    assert solver.racing(6040, 3706, "cuda") == 185
    assert solver.racing(10, 5, "cuda") == 1
    assert solver.racing(10**6, 10**6, "cuda") == 4096
    assert CuMFSGD(warps=7).racing(10, 5, "cuda") == 7
    assert CuMFSGD(warps=1).determinism("cuda") == "exact"
    assert CuMFSGD(workers=2).determinism("cpu") == "statistical"
