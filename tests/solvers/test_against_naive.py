"""SGD, Hogwild!, DSGD and FPSGD against their slow twins, and twins that must be told apart.

Tolerances: relative Frobenius norm 1e-5 after one epoch from equal factors, 1e-4 after ten. Every
mutant (a typical mistake) moves the result by more than 100 times the tolerance, at the same
settings, so these tests can fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mfviz.data.problem import Problem
from mfviz.solvers.base import registry
from mfviz.solvers.fpsgd import FPSGD
from mfviz.telemetry.events import BlockTaken
from tests.solvers.recorded import Record, train
from tests.solvers.replay import (
    distance,
    dsgd_twin,
    fpsgd_twin,
    problem_of,
    sgd_twin,
    strip_twin,
)

ONE, TEN = 1e-5, 1e-4

COMMON: dict[str, Any] = {
    "rank": 10, "lr": 0.15, "lam": 0.1, "lr_bias": 0.03, "lam_bias": 0.05,
    "init_scale": 0.3, "schedule": "constant", "seed": 3,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any], Callable[..., Any]]] = {
    "sgd": ("sgd", COMMON, sgd_twin),
    "sgd without biases": ("sgd", {**COMMON, "biases": False}, sgd_twin),
    "sgd not centred": (
        "sgd", {**COMMON, "biases": False, "centre": False, "init": "uniform", "init_scale": 1.0},
        sgd_twin,
    ),
    "hogwild": ("hogwild", {**COMMON, "workers": 1}, sgd_twin),
    "dsgd": ("dsgd", {**COMMON, "workers": 2, "grid": 3}, dsgd_twin),
    "dsgd in order": (
        "dsgd", {**COMMON, "workers": 2, "grid": 4, "strata": "seq", "shuffle": False}, dsgd_twin
    ),
    "strips": ("strip_sgd", {**COMMON, "workers": 2}, strip_twin),
    "strips of one worker": ("strip_sgd", {**COMMON, "workers": 1, "biases": False}, strip_twin),
    "strips of wide rows": (
        "strip_sgd", {**COMMON, "rank": 270, "init_scale": 0.05, "workers": 2}, strip_twin
    ),
    "strips in order": ("strip_sgd", {**COMMON, "workers": 3, "shuffle": False}, strip_twin),
    "dsgd relabelled": ("dsgd", {**COMMON, "workers": 3, "grid": 4, "strata": "rseq"}, dsgd_twin),
}  # fmt: skip


def trained(key: str, settings: dict[str, Any], epochs: int, problem: Problem) -> tuple:
    solver = registry()[key].make(**settings, epochs=epochs)
    return solver, train(solver, problem)


@pytest.mark.parametrize(("epochs", "tolerance"), [(1, ONE), (10, TEN)])
@pytest.mark.parametrize("case", CASES)
def test_solver_does_what_its_twin_does(case: str, epochs: int, tolerance: float):
    key, settings, twin = CASES[case]
    problem = problem_of()
    solver, record = trained(key, settings, epochs, problem)
    assert distance(record.final, twin(solver, problem, record.initial)) <= tolerance


@pytest.mark.parametrize(
    ("case", "mutant"),
    [
        ("sgd", "new p"),
        ("sgd", "stale p"),
        ("sgd", "plain lambda"),
        ("sgd", "swapped"),
        ("dsgd", "new p"),
        ("dsgd", "no barrier"),
        ("strips", "one by one"),
        ("strips", "groups of three"),
        ("strips", "lambda once"),
        ("strips", "new p"),
        ("strips", "no barrier"),
    ],
)
@pytest.mark.parametrize(("epochs", "tolerance"), [(1, ONE), (10, TEN)])
def test_a_mistake_would_be_noticed(case: str, mutant: str, epochs: int, tolerance: float):
    key, settings, twin = CASES[case]
    problem = problem_of()
    solver, record = trained(key, settings, epochs, problem)
    assert distance(record.final, twin(solver, problem, record.initial, mutant)) > 100 * tolerance


# --- FPSGD: its recorded schedule, replayed -----------------------------------------------------


def schedules(record: Record, epochs: int) -> list[list[tuple[int, int]]]:
    """Blocks in the order in which they were taken, for each iteration."""
    taken = [fields for kind, fields in record.events if kind is BlockTaken]
    return [
        [(e["row"], e["col"]) for e in sorted(taken, key=lambda e: e["wave"]) if e["epoch"] == k]
        for k in range(1, epochs + 1)
    ]


def fpsgd(epochs: int, **settings: Any) -> tuple[FPSGD, Problem, Record]:
    problem = problem_of(**settings.pop("shape", {}))
    settings = {"rank": 20, "lr": 0.1, "lam": 0.1, "workers": 2, "seed": 3, **settings}
    solver = FPSGD.make(epochs=epochs, **settings)
    return solver, problem, train(solver, problem)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rank": 5},
        {"rank": 8, "workers": 1},
        {"shape": {"m": 15, "n": 30}},
        {"grid": 2},
        {"rank": 40},
        {"rank": 270, "lr": 0.05},
    ],
    ids=str,
)
@pytest.mark.parametrize(("epochs", "tolerance"), [(1, ONE), (10, TEN)])
def test_fpsgd_is_its_schedule_replayed(settings: dict, epochs: int, tolerance: float):
    solver, problem, record = fpsgd(epochs, **settings)
    plan = schedules(record, epochs)
    assert [len(plan_of) for plan_of in plan] == [solver.blocks_a_side**2] * epochs
    assert distance(record.final, fpsgd_twin(solver, problem, record.initial, plan)) <= tolerance


@pytest.mark.parametrize("mutant", ["new p", "new G", "swapped blocks"])
def test_a_mistake_in_fpsgd_would_be_noticed(mutant: str):
    solver, problem, record = fpsgd(3)
    plan = schedules(record, 3)
    if mutant == "swapped blocks":
        plan = [[*plan_of[1:], plan_of[0]] for plan_of in plan]
    twin = fpsgd_twin(solver, problem, record.initial, plan, mutant)
    assert distance(record.final, twin) > 100 * TEN
