"""CUDA solvers in Numba's simulator, in a process of its own, against their CPU twins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mfviz.solvers.base import registry
from tests.cuda.in_simulator import CASES

HERE = Path(__file__).resolve().parent
# A sum in another order may round a half to its neighbour.
HALVES = [name for name in CASES if name.startswith("cumf_sgd")]
# All cases are run by the fixture, and that at the lowest priority behind the tests of pages.
pytestmark = pytest.mark.timeout(900)
TOLERANCE = {"cumf_als in halves": 2e-3, **dict.fromkeys(HALVES, 1e-3)}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    root = HERE.parent.parent
    outcome = subprocess.run(
        [sys.executable, str(HERE / "in_simulator.py")],
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
def test_the_simulator_agrees_with_the_cpu(name: str, found: dict[str, Any]) -> None:
    case = found[name]
    assert case["distance"] < TOLERANCE.get(name, 1e-5)
    assert case["ratings"] == case["wanted"]
    assert case["clock"] == ["host"]  # events of the simulator keep no time
    assert not any("CPU" in lane for lane in case["lanes"])
