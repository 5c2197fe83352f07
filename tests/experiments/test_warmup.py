from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import param
import pytest

from mfviz.data.problem import Problem
from mfviz.experiments.run import Run
from mfviz.experiments.warmup import WARM_UP, warm, warming
from mfviz.solvers.base import Checkpoint, Context
from tests.fakes import ScriptedSolver, tiny_problem


def counting(**members: Any) -> Any:
    """A fresh class (kernels are known by class) that counts its rehearsals."""

    class Counting(ScriptedSolver):
        fast = param.Boolean(False, doc="Another kernel.")
        rehearsed: list[dict[str, Any]] = []

        def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
            if problem.name == WARM_UP:
                self.rehearsed.append(self.settings())
            yield from super().iterate(problem, context)

    for name, value in members.items():
        setattr(Counting, name, value)
    return Counting


def test_a_kind_of_solver_is_rehearsed_once() -> None:
    solver = counting()
    warm(solver(epochs=50, rank=500, lr=0.3, workers=2))
    warm(solver(epochs=7, seed=9, workers=4))
    assert len(solver.rehearsed) == 1
    assert solver.rehearsed[0]["epochs"] == 2
    assert solver.rehearsed[0]["rank"] <= 32
    assert warming(solver()).over


def test_options_that_may_choose_another_kernel_are_rehearsed_apart() -> None:
    solver = counting()
    for options in ({"fast": True}, {"fast": False}, {"workers": 1}, {"fast": True}):
        warm(solver(**options))
    assert len(solver.rehearsed) == 3


def test_a_run_waits_for_its_kernels_and_counts_that_apart() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def objective(self: Any, problem: Problem, *rest: Any) -> float:
        if problem.name == WARM_UP:
            begun.set()
            assert go_on.wait(10)
        return 0.0

    run = Run(tiny_problem(), counting(objective=objective)())
    run.start()
    assert begun.wait(10)
    assert run.status == "warming"
    threading.Timer(0.05, go_on.set).start()
    assert run.wait(10)
    seconds = run.result().seconds
    assert run.status == "done"
    assert seconds["compile_s"] > 0.04
    assert seconds["wall_s"] < seconds["compile_s"] + 10
    parts = seconds["setup_s"] + seconds["solve_s"] + seconds["eval_s"]
    assert parts >= 0.95 * seconds["wall_s"]


def test_a_run_can_be_stopped_while_its_kernels_compile() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def objective(self: Any, *rest: Any) -> float:
        begun.set()
        assert go_on.wait(10)
        return 0.0

    solver = counting(objective=objective)
    run = Run(tiny_problem(), solver())
    run.start()
    assert begun.wait(10)
    run.stop()
    assert run.wait(5)
    assert (run.status, run.result().seconds["wall_s"]) == ("stopped", 0.0)
    assert "compiled" in run.reason
    go_on.set()
    assert warming(solver()).wait(10)


def test_a_rehearsal_that_fails_is_tried_again_and_told_by_the_run() -> None:
    def objective(self: Any, *rest: Any) -> float:
        raise ValueError("cannot be compiled")

    solver = counting(objective=objective)
    first = warming(solver())
    first.wait(10)
    assert isinstance(first.error, ValueError)
    run = Run(tiny_problem(), solver())
    run.execute()
    assert (run.status, run.reason) == ("failed", "ValueError: cannot be compiled")
    assert len(solver.rehearsed) == 2


@pytest.mark.parametrize("callers", [4])
def test_callers_at_one_time_share_a_rehearsal(callers: int) -> None:
    solver = counting()
    threads = [threading.Thread(target=warm, args=(solver(),)) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(solver.rehearsed) == 1
