"""APSGD: its groups one after the other are ASGD; at once they learn as well and never wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mfviz.backends.host import Crew
from mfviz.data.problem import Problem
from mfviz.experiments.context import make_context
from mfviz.experiments.run import Run
from mfviz.solvers.apsgd import APSGD
from mfviz.solvers.asgd import ASGD
from mfviz.solvers.base import Factors
from mfviz.telemetry.check import check_run
from tests.solvers.recorded import train
from tests.solvers.replay import problem_of

SETTINGS: dict[str, Any] = {
    "rank": 10, "lr": 0.1, "lam": 0.1, "lr_bias": 0.03, "init_scale": 0.3, "seed": 3, "epochs": 3,
}  # fmt: skip


class TakingTurns(Crew):
    """A crew whose workers do their task one after the other, in a given order."""

    def __init__(self, order: list[int]) -> None:
        super().__init__(len(order))
        self.order = order

    def start(self, task: Callable[[int], None], first: int = 0) -> None:
        for worker in self.order:
            if worker >= first:
                task(worker)

    def wait(self, timeout: float | None = None) -> bool:
        return True


def one_after_the_other(problem: Problem, order: list[int], **settings: Any) -> Factors:
    solver = APSGD.make(**{**SETTINGS, **settings}, workers=len(order))
    with TakingTurns(order) as crew:
        context = make_context(solver, crew)
        list(solver.iterate(problem, context))
    assert context.factors is not None
    return context.factors


def bits(factors: Factors) -> bytes:
    return b"".join(a.tobytes() for a in (factors.P, factors.Q, factors.bu, factors.bi))


@pytest.mark.parametrize("more", [{}, {"shuffle": False}, {"biases": False}], ids=str)
@pytest.mark.parametrize("order", [[0, 1], [1, 0, 2], [0, 1, 3, 2]], ids=str)
def test_users_before_items_is_asgd_bit_for_bit(order: list[int], more: dict) -> None:
    problem = problem_of()
    wanted = train(ASGD.make(**{**SETTINGS, **more}), problem).final
    assert bits(one_after_the_other(problem, order, **more)) == bits(wanted)


def test_items_before_users_is_another_thing() -> None:
    problem = problem_of()
    one, other = (one_after_the_other(problem, order).P for order in ([0, 1], [1, 0]))
    assert np.linalg.norm(one - other) > 1e-3 * np.linalg.norm(one)


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_learns_as_asgd_does(workers: int) -> None:
    problem = problem_of(300, 200, 12_000, holdout=0.1)

    def error(solver: Any) -> float:
        final, test = train(solver, problem).final, problem.test
        return float(np.sqrt(((test.r - final.predict(test.u, test.i)) ** 2).mean()))

    settings = {**SETTINGS, "lam": 0.05, "epochs": 30}
    wanted = error(ASGD.make(**settings))
    assert error(APSGD.make(**settings, workers=workers)) < 1.1 * wanted


@pytest.mark.parametrize("workers", [2, 3])
def test_groups_keep_to_their_sides_and_never_wait(workers: int) -> None:
    problem = problem_of(300, 200, 12_000)
    run = Run(problem, APSGD.make(**SETTINGS, workers=workers), evaluate_every=0)
    run.execute()
    assert run.status == "done"
    events, _ = run.log.read()
    assert check_run(events) == []
    spans = train(APSGD.make(**SETTINGS, workers=workers), problem).spans
    seen = {(s["lane"], s["name"]) for s in spans}
    users = {f"W{w}" for w in range((workers + 1) // 2)}
    assert all((name == "users") == (lane in users) for lane, name in seen)
    assert {s["op"] for s in spans} == {"kernel"}
    for name in ("users", "items"):
        assert sum(s["ratings"] for s in spans if s["name"] == name) == 3 * problem.train.nnz


def test_is_marked_as_a_reconstruction() -> None:
    assert APSGD.reconstruction
    assert APSGD().determinism() == "statistical"
    assert APSGD().workers >= 2
