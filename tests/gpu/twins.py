"""Small trainings on a device, each with the slow twin that says what must come out.

Run as a program it trains them all and prints a JSON object of how far each is from its twin: what
a checker of memory accesses is put in front of.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click

from mfviz.data.problem import Problem
from mfviz.kernels.cuda.target import SIMULATED
from mfviz.solvers.base import Solver, registry
from tests.cuda.in_simulator import prepare_simulator
from tests.naive_ccd import ccdpp
from tests.solvers import (
    test_als,
    test_cumf_als,
    test_cumf_sgd,
    test_device_strips,
    test_fampsgd,
    test_gpusgd,
    test_partitions,
    test_wavefront,
)
from tests.solvers import test_msgd as msgd
from tests.solvers.recorded import Record, train
from tests.solvers.replay import distance as model_distance
from tests.solvers.replay import problem_of
from tests.solvers.test_asgd import distance as named_distance
from tests.solvers.test_asgd import random_problem

__all__ = ["TWINS", "Twin", "apart", "calm_the_simulator"]

SINGLE, HALF, HALVES = 1e-4, 2e-3, 1e-3  # relative Frobenius norms; mistakes move it by 1e-3 up


def _two_phases(record: Record, problem: Problem, solver: Solver) -> float:
    biased = bool(getattr(solver, "biases", False))
    wanted = msgd.twin(problem, record.initial, biased=biased)
    return named_distance(record.final, wanted)


def _fractional(record: Record, problem: Problem, solver: Solver) -> float:
    return test_als.distance(record.final, test_fampsgd.twin(record.initial))


def _strata(record: Record, problem: Problem, solver: Any) -> float:
    return model_distance(record.final, test_gpusgd.twin(solver, problem, record.initial))


def _exact(record: Record, problem: Problem, solver: Solver) -> float:
    return test_als.distance(record.final, test_als.twin(problem, record.initial))


def _by_cg(record: Record, problem: Problem, solver: Any) -> float:
    wanted = test_cumf_als.twin(record.initial, solver.precision)
    return test_als.distance(record.final, wanted)


def _chunks(record: Record, problem: Problem, solver: Solver) -> float:
    return test_cumf_sgd.distance(record.final, test_cumf_sgd.twin(problem, record.initial))


def _strips(record: Record, problem: Problem, solver: Any) -> float:
    return model_distance(record.final, test_device_strips.twin(solver, problem, record.initial))


def _wavefront(record: Record, problem: Problem, solver: Any) -> float:
    """The blocks one after the other, in the order in which their columns were locked."""
    blocks, shape = test_wavefront.taken(record), (solver.warps, solver.columns)
    wanted = test_wavefront.twin(solver, problem, record.initial, blocks, shape)
    return test_cumf_sgd.distance(record.final, wanted)


def _parts(record: Record, problem: Problem, solver: Any) -> float:
    wanted = test_partitions.twin(solver, problem, record.initial)
    return test_cumf_sgd.distance(record.final, wanted)


def _features(record: Record, problem: Problem, solver: Solver) -> float:
    t, first, f = problem.train, record.initial, solver.rank
    wanted = ccdpp(t.u, t.i, t.r, first.P[:, :f], first.Q[:, :f], solver.lam, epochs=3)
    return test_als.distance(record.final, wanted)


@dataclass(frozen=True)
class Twin:
    """A training and its twin.

    Attributes
    ----------
    key : str
        Of the solver.
    settings : dict
    apart : callable
        ``apart(record, problem, solver)``: relative distance of the factors from the twin's.
    tolerance : float
    problem : callable
        Makes the ratings.
    """

    key: str
    settings: dict[str, Any]
    apart: Callable[[Record, Problem, Any], float]
    tolerance: float = SINGLE
    problem: Callable[[], Problem] = field(default=random_problem)


ALTERNATE = {**msgd.BRISK, "mode": "alternate"}
CG = test_cumf_als.BY_CG
TWINS: dict[str, Twin] = {
    "msgd": Twin("msgd", msgd.BRISK, _two_phases),
    "msgd with biases": Twin("msgd", {**msgd.BRISK, "biases": True}, _two_phases),
    "ds_sgd_c": Twin("ds_sgd_c", ALTERNATE, _two_phases),
    "ds_sgd_d": Twin("ds_sgd_d", {**ALTERNATE, "batch": 70}, _two_phases),
    "ds_sgd_d pageable": Twin("ds_sgd_d", {**ALTERNATE, "pinned": False}, _two_phases),
    "fampsgd": Twin("fampsgd", test_fampsgd.BRISK, _fractional),
    "gpusgd": Twin("gpusgd", test_gpusgd.BRISK, _strata, problem=problem_of),
    "strip_sgd": Twin("strip_sgd", test_device_strips.BRISK, _strips, problem=problem_of),
    "als": Twin("als", test_cumf_als.SETTINGS, _exact),
    "cumf_als": Twin("cumf_als", {**test_cumf_als.SETTINGS, "batch": 7}, _exact),
    "cumf_als by cg": Twin("cumf_als", {**CG, "precision": "single"}, _by_cg),
    "cumf_als in halves": Twin("cumf_als", {**CG, "precision": "half"}, _by_cg, HALF),
    "cumf_ccd": Twin(
        "cumf_ccd", {"rank": 4, "epochs": 3, "lam": 0.05, "zero_items": False, "tile": 14},
        _features,
    ),
    "cumf_sgd": Twin("cumf_sgd", {**test_cumf_sgd.BRISK, "warps": 1}, _chunks, HALVES),
    "cumf_sgd in a wavefront": Twin(
        "cumf_sgd", {**test_wavefront.BRISK, "epochs": 1, "warps": 3, "columns": 4}, _wavefront,
        HALF, problem_of,
    ),
    "cumf_sgd in parts": Twin(
        "cumf_sgd", {**test_partitions.BRISK, "epochs": 1, "warps": 1}, _parts, HALVES, problem_of
    ),
}  # fmt: skip


def apart(name: str) -> float:
    """Train on the device; return how far the factors are from the twin's."""
    case = TWINS[name]
    problem, solver = case.problem(), registry()[case.key].make(**case.settings)
    return case.apart(train(solver, problem, backend="cuda"), problem, solver)


def calm_the_simulator() -> None:
    """In Numba's simulator, have its threads share and meet; elsewhere nothing."""
    if SIMULATED:
        sys.setswitchinterval(1e-4)  # many a thread waits for what another one stores
        prepare_simulator()


def main() -> None:
    """Train those that are named, or all, and tell how far each is from its twin."""
    calm_the_simulator()
    click.echo(json.dumps({name: apart(name) for name in sys.argv[1:] or TWINS}))


if __name__ == "__main__":
    main()
