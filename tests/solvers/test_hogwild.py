"""Hogwild!: statistical, but as good as serial SGD; it never waits within an epoch."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest

from mfviz.backends.host import Crew
from mfviz.data.problem import split
from mfviz.data.ratings import Ratings
from mfviz.experiments.context import make_context
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.hogwild import Hogwild
from mfviz.solvers.sgd import SGD
from mfviz.telemetry.events import Measured
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


def counted(record) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"conflicts": [], "lost writes": []}
    for kind, fields in record.events:
        if kind is Measured:
            found[fields["name"]].append(fields["value"])
    return found


def test_two_workers_on_nine_rows_meet_and_lose_writes():
    """300,000 visits of nine rows of 512 numbers: they meet, whatever else the machine does."""
    rng = np.random.default_rng(0)
    u, i = rng.integers(0, 5, 300_000), rng.integers(0, 4, 300_000)
    problem = split(Ratings.from_triples(u, i, rng.integers(1, 6, 300_000)), holdout=0.0)
    visits = problem.train.nnz
    solver = Hogwild.make(rank=512, epochs=2, workers=2, lr=0.001, count_conflicts=True)
    found = counted(train(solver, problem))
    assert len(found["conflicts"]) == len(found["lost writes"]) == 2
    assert all(0 < met <= visits for met in found["conflicts"])
    assert all(0 < lost < 2 * visits for lost in found["lost writes"])


def test_a_worker_alone_meets_nobody_and_marks_change_no_bit():
    problem = problem_of()
    plain = train(Hogwild.make(rank=4, epochs=3, workers=1), problem)
    marked = train(Hogwild.make(rank=4, epochs=3, workers=1, count_conflicts=True), problem)
    assert counted(marked) == {"conflicts": [0.0] * 3, "lost writes": [0.0] * 3}
    assert not counted(plain)["conflicts"]
    for name in ("P", "Q", "bu", "bi"):
        np.testing.assert_array_equal(getattr(plain.final, name), getattr(marked.final, name))


def test_marks_are_in_the_memory_model():
    problem = problem_of()
    solver = Hogwild.make(rank=4, epochs=1, workers=2, count_conflicts=True)
    model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz)
    assert model.by_part() == train(solver, problem).high_water
