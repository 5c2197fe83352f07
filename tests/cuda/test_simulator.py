"""CUDA solvers in Numba's simulator, in a process of its own, against their CPU twins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfviz.solvers.base import registry
from tests.cuda.in_simulator import CASES

HERE = Path(__file__).resolve().parent
# A sum in another order may round a half to its neighbour.
HALVES = [name for name in CASES if name.startswith("cumf_sgd")]
GROUPS = [list(CASES)[start::3] for start in range(3)]  # a process for each: none takes long
TOLERANCE = {"cumf_als in halves": 2e-3, **dict.fromkeys(HALVES, 1e-3)}


@pytest.fixture(scope="module")
def found() -> Callable[[str], dict[str, Any]]:
    """What came out of a case; its group is trained when the first of it is asked for."""
    told: dict[str, Any] = {}

    def get(name: str) -> dict[str, Any]:
        if name not in told:
            told.update(trained(next(group for group in GROUPS if name in group)))
        case: dict[str, Any] = told[name]
        return case

    return get


def trained(names: list[str]) -> dict[str, Any]:
    root = HERE.parent.parent
    outcome = subprocess.run(
        [sys.executable, str(HERE / "in_simulator.py"), *names],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    told: dict[str, Any] = json.loads(outcome.stdout)
    return told


def test_every_cuda_solver_has_a_case() -> None:
    keys = {case.get("key", name) for name, case in CASES.items()}
    assert keys == {key for key, cls in registry().items() if "cuda" in cls.backends}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_simulator_agrees_with_the_cpu(
    name: str, found: Callable[[str], dict[str, Any]]
) -> None:
    case = found(name)
    assert case["distance"] < TOLERANCE.get(name, 1e-5)
    assert case["ratings"] == case["wanted"]
    assert case["clock"] == ["host"]  # events of the simulator keep no time
    assert not any("CPU" in lane for lane in case["lanes"])
