"""Hogwild!: statistical, but as good as serial SGD; it never waits within an epoch."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest

from mfviz.backends.host import Crew
from mfviz.experiments.context import make_context
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.hogwild import Hogwild
from mfviz.solvers.sgd import SGD
from tests.solvers.recorded import live, train
from tests.solvers.replay import problem_of

SETTINGS = {"rank": 8, "epochs": 20, "lr": 0.05, "lam": 0.05, "init_scale": 0.1}


def holdout_rmse(factors: Factors, problem) -> float:
    part = problem.test
    return float(np.sqrt(np.mean((part.r - factors.predict(part.u, part.i)) ** 2)))


def test_it_is_as_good_as_serial_sgd():
    """Over five seeds the mean test RMSE is within 2 % of serial SGD's."""
    problem = problem_of(m=300, n=200, nnz=12_000, holdout=0.1)
    serial, parallel = [], []
    for seed in range(5):
        settings = {**SETTINGS, "seed": seed}
        serial.append(holdout_rmse(train(SGD.make(**settings), problem).final, problem))
        solver = Hogwild.make(**settings, workers=4)
        parallel.append(holdout_rmse(train(solver, problem).final, problem))
    assert np.mean(parallel) == pytest.approx(np.mean(serial), rel=0.02)


@pytest.mark.parametrize("workers", [2, 5])
def test_each_worker_visits_its_share_and_never_waits(workers: int):
    problem = problem_of(nnz=403)
    record = train(Hogwild.make(rank=4, epochs=2, workers=workers), problem)
    assert {s["op"] for s in record.spans} <= {"kernel", "host"}
    ends = [403 * w // workers for w in range(workers + 1)]
    for epoch in (1, 2):
        for w in range(workers):
            mine = [s for s in record.spans if s["lane"] == f"W{w}" and s["epoch"] == epoch]
            assert sum(s["ratings"] for s in mine) == ends[w + 1] - ends[w]


def test_more_workers_than_ratings():
    problem = problem_of(m=3, n=2, nnz=4)
    record = train(Hogwild.make(rank=4, epochs=2, workers=7), problem)
    assert record.checkpoints[-1].updates == 8


def test_shares_are_shuffled_anew_each_epoch():
    """An epoch in which only the last rating of a share matters cannot end alike twice."""
    problem = problem_of()
    ends: list[bytes] = []

    def at(checkpoint: Checkpoint, context: Context) -> None:
        if checkpoint.kind == "epoch":
            ends.append(live(context).bu.tobytes())

    solver = Hogwild.make(rank=1, epochs=4, lr=0.0, lr_bias=1.0, lam_bias=0.0, workers=2,
                          schedule="constant")  # fmt: skip
    train(solver, problem, at=at)
    assert len(set(ends)) == 5


def test_a_dismissed_epoch_is_not_ended():
    """Where the gate says that the run is over, all return and no checkpoint ends the epoch."""
    problem, solver = problem_of(), Hogwild.make(rank=4, epochs=5, workers=2)
    with Crew(2) as crew:
        context = make_context(solver, crew, chunk=1)
        steps = solver.iterate(problem, context)
        assert next(steps).kind == "epoch"
        context.gate.dismiss()
        assert [c for c in steps if c.kind == "epoch"] == []
        assert context.spans.fill.sum() == 0


def test_closing_it_in_the_middle_frees_the_crew():
    problem, solver = problem_of(nnz=3000), Hogwild.make(rank=4, epochs=5, workers=2)
    with Crew(2) as crew:
        context = make_context(solver, crew, chunk=1)
        steps = solver.iterate(problem, context)
        next(steps)
        context.gate.shut()
        middle = next(steps)
        assert (middle.kind, middle.running) == ("chunk", True)
        assert isinstance(steps, Generator)
        steps.close()
        crew.run(lambda worker: None)
