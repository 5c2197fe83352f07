"""What goes wrong on a device ends a run with a sentence, and the next run works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfviz.backends import cuda
from mfviz.data.problem import Problem
from mfviz.errors import DeviceError
from mfviz.experiments.run import Run
from mfviz.kernels.cuda import target
from mfviz.solvers.base import registry
from tests.solvers.test_asgd import random_problem

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT = 32 << 20  # bytes that a full device has left
# Its third launch writes far beyond an array; then another run is tried.
POISONED = """
import json
from mfviz.backends.cuda import CudaDriver, open_driver
from mfviz.experiments import warmup
from mfviz.experiments.run import Run
from mfviz.kernels.cuda.target import SIMULATED, cuda
from mfviz.solvers.base import registry
from tests.solvers.test_asgd import random_problem

kind, launches = type(open_driver()), []
launch = kind.launch

@cuda.jit
def poison(a):
    a[1 << 40] = 1.0

def poisoned(self, kernel, width, blocks, threads, stream, args):
    launches.append(kernel)
    if len(launches) == 3:
        poison[1, 1, stream](self.empty((4,), "float32"))
    launch(self, kernel, width, blocks, threads, stream, args)

def ended():
    run = Run(random_problem(), registry()["msgd"](rank=5, epochs=3), backend="cuda")
    run.execute()
    return run.status, run.reason

warmup._rehearse = lambda solver, backend: None
kind.launch = poisoned
first = ended()
kind.launch = launch
print(json.dumps([first, ended()]))
"""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.usefixtures("device"),
    pytest.mark.filterwarnings("default"),
]


def apart(code: str, **environment: str) -> str:
    """What a program prints in a process of its own."""
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=150,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, cwd=ROOT,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def trained(problem: Problem, **settings: Any) -> Run:
    run = Run(problem, registry()["msgd"].make(epochs=2, **settings), backend="cuda")
    run.execute()
    return run


def test_a_full_device_says_so_before_and_during_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    if target.SIMULATED:
        pytest.skip("the simulator has no memory that could be full")
    problem, wide = random_problem(m=200_000, n=100_000, nnz=400_000), {"rank": 128}
    assert trained(problem, **wide).status == "done"  # its code is on the device now
    free = cuda.free_bytes()
    assert free is not None
    ballast = target.cuda.device_array(free - LEFT, np.uint8)
    try:
        reason = registry()["msgd"](**wide).supports(problem, "cuda")
        assert reason is not None
        assert "Take a lower rank" in reason
        monkeypatch.setattr(cuda, "free_bytes", lambda index=0: None)  # nobody foresees it
        failed = trained(problem, **wide)
        assert failed.status == "failed"
        assert "Take a lower rank" in failed.reason
        assert failed.result().tables.held_by_part() == {}
        assert trained(random_problem(), rank=5).status == "done"  # there is room for that
    finally:
        del ballast
        target.cuda.current_context().memory_manager.deallocations.clear()
    assert trained(problem, **wide).status == "done"


def test_a_kernel_that_cannot_be_compiled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    if target.SIMULATED:
        pytest.skip("the simulator compiles nothing")

    def make(width: int, shuffle: bool) -> Callable[..., None]:
        def broken(a: Any) -> None:
            a[0] = a.no_such_thing

        return broken

    kernel = target.Kernel("broken", make, lambda: None)
    monkeypatch.setitem(target.KERNELS, "broken", kernel)
    driver = cuda.open_driver()
    with pytest.raises(DeviceError, match=r"The kernel broken cannot be compiled for "):
        driver.launch("broken", 8, 1, 32, driver.stream(), (driver.empty((4,), np.float32),))
    assert trained(random_problem(), rank=5).status == "done"


def test_a_device_that_fails_ends_the_run_and_not_the_process(tell: Callable[..., None]) -> None:
    """CUDA may refuse everything after an illegal access; then the next run says so, too."""
    (status, reason), after = json.loads(apart(POISONED))
    assert status == "failed"
    assert "failed in the middle of a run" in reason
    tell(after=after)
    assert after[0] == "done" or (after[0] == "failed" and after[1])


def test_a_hidden_device_is_named_as_the_reason() -> None:
    code = "from mfviz.backends.cuda import why_not; print(why_not())"
    told = apart(code, CUDA_VISIBLE_DEVICES="", NUMBA_ENABLE_CUDASIM="0")
    assert "CUDA_VISIBLE_DEVICES is ''" in told or "No NVIDIA driver" in told
