from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.experiments.divergence import Rule, suggestion
from mfviz.experiments.proposals import propose
from mfviz.experiments.run import Run
from mfviz.solvers.base import Context
from mfviz.solvers.sgd import SGD
from mfviz.telemetry.check import check_run
from tests.fakes import ScriptedSolver, tiny_problem

PROBLEM = tiny_problem()


def constant(value: float) -> Problem:
    u, i = np.divmod(np.arange(12), 4)
    return split(Ratings.from_triples(u, i, np.full(12, value)), holdout=0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_number_that_is_none_is_divergence(bad: float, epoch: int) -> None:
    assert str(bad) in Rule(PROBLEM).check(epoch, bad)


def test_growth_is_measured_from_the_initial_rmse_and_the_spread() -> None:
    spread = float(PROBLEM.train.r.std(dtype=np.float64))
    near = Rule(PROBLEM)
    assert near.check(0, 0.1) == ""
    assert near.check(1, 3.9 * spread) == ""
    assert "grew from 0.1" in near.check(2, 4.1 * spread)
    far = Rule(PROBLEM)
    assert far.check(0, 10 * spread) == ""
    assert far.check(1, 39 * spread) == ""
    assert "grew" in far.check(2, 41 * spread)


def test_without_an_initial_rmse_the_size_of_the_ratings_is_the_measure() -> None:
    size = float(np.sqrt(np.mean(PROBLEM.train.r.astype(float) ** 2)))
    assert Rule(PROBLEM).check(5, 3.9 * size) == ""
    assert "grew" in Rule(PROBLEM).check(5, 4.1 * size)


@pytest.mark.parametrize("value", [4.0, -3.0])
def test_ratings_that_are_all_alike_leave_some_room(value: float) -> None:
    rule = Rule(constant(value))
    assert rule.check(0, 0.0) == ""
    assert rule.check(1, 0.3 * abs(value)) == ""
    assert "grew" in rule.check(2, 0.5 * abs(value))


def test_ratings_that_are_all_zero_diverge_only_to_nan() -> None:
    rule = Rule(constant(0.0))
    assert rule.check(0, 0.0) == ""
    assert rule.check(1, 0.01) == ""
    assert rule.check(2, math.nan)


def test_the_fix_is_a_smaller_step() -> None:
    assert suggestion(ScriptedSolver(), PROBLEM, lr=0.05, lam=0.1) == "lr=0.0125"


def test_the_fix_is_the_rate_that_is_proposed_where_that_is_smaller() -> None:
    proposed = propose("sgd", PROBLEM)["lr"]
    assert suggestion(SGD(), PROBLEM, lr=20 * proposed, lam=0.1) == f"lr={proposed:.4g}"
    assert suggestion(SGD(), PROBLEM, lr=proposed, lam=0.1) == f"lr={proposed / 4:.4g}"


def test_the_fix_of_a_solver_without_steps_is_more_regularisation() -> None:
    class Exact(ScriptedSolver):
        has_lr = False

    assert suggestion(Exact(), PROBLEM, lr=0.0, lam=0.1) == "lam=0.4"
    assert suggestion(Exact(), PROBLEM, lr=0.0, lam=0.0) == "lam=0.05"
    assert suggestion(Exact(), PROBLEM, lr=0.0, lam=90.0) == "lam=100"


def spoil(value: float) -> Any:
    def act(context: Context) -> None:
        assert context.factors is not None
        context.factors.P[:] = value
        context.factors.Q[:] = value

    return act


@pytest.mark.parametrize(
    ("value", "words"), [(math.nan, "is nan"), (math.inf, "RMSE is"), (30.0, "grew from")]
)
@pytest.mark.parametrize("lr", [0.05, 0.4])
def test_a_diverged_run_is_an_outcome_with_a_fix(value: float, words: str, lr: float) -> None:
    run = Run(PROBLEM, ScriptedSolver({2: spoil(value)}, epochs=5, lr=lr))
    run.execute()
    assert run.status == "diverged"
    assert run.reason.startswith("Diverged at epoch 2")
    assert words in run.reason
    assert run.fix == f"lr={lr / 4:g}"
    assert run.fix in run.reason
    assert check_run(run.log.read()[0]) == []
    tables = run.result().tables
    assert (tables.status, tables.fix) == ("diverged", run.fix)
    assert tables.epochs[-1].epoch == 2


def test_nan_is_found_between_evaluations_too() -> None:
    run = Run(PROBLEM, ScriptedSolver({2: spoil(math.nan)}, epochs=9), evaluate_every=0)
    run.execute()
    assert (run.status, run.epoch) == ("diverged", 2)
    assert "NaN or infinite" in run.reason


def test_growth_is_found_at_the_end_if_nobody_looked_before() -> None:
    run = Run(PROBLEM, ScriptedSolver({2: spoil(30.0)}, epochs=2), evaluate_every=0)
    run.execute()
    assert run.status == "diverged"


def test_the_fix_starts_from_the_step_at_the_end() -> None:
    run = Run(PROBLEM, ScriptedSolver({2: spoil(math.nan)}, lr=0.05))
    run.change("lr", 0.8)
    run.execute()
    assert run.fix == "lr=0.2"
