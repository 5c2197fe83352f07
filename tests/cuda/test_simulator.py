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
    racing = "asynchronous" in name  # what is read meanwhile differs
    assert case["distance"] < (0.2 if racing else 1e-5)
    cls = registry()[CASES[name].get("key", name)]
    assert case["ratings"] == (2 if cls.two_sided else 1) * 2 * case["nnz"]
    assert case["clock"] == ["host"]  # events of the simulator keep no time
    assert not any("CPU" in lane for lane in case["lanes"])
