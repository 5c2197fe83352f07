"""Every solver on a device beside its CPU form on real ratings, and what it holds there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mfviz.data.catalog import load
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError
from mfviz.experiments.proposals import propose
from mfviz.experiments.run import Run
from mfviz.kernels.cuda.target import SIMULATED
from mfviz.solvers.base import registry
from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import MemorySampled, Span
from mfviz.theory.memory import rounding_bytes
from tests.solvers.replay import problem_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.usefixtures("device"),
    pytest.mark.filterwarnings("default"),
]
KEYS = [key for key, cls in registry().items() if "cuda" in cls.backends]
RANK, EPOCHS = (4, 1) if SIMULATED else (32, 4)
# Test RMSE apart: by the order of sums alone, and by races and other draws.
EXACT, RACING = 1e-3, 2e-2


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> Problem:
    """MovieLens 1M; in the simulator, which visits some thousand ratings a second, a few."""
    if SIMULATED:
        return problem_of(30, 20, 300, holdout=0.1)
    request.getfixturevalue("data_dir")
    try:
        return split(load("ml-1m"), holdout=0.1)
    except DataError as error:
        pytest.skip(str(error))


def executed(key: str, problem: Problem, backend: str) -> Run:
    cls = registry()[key]
    solver = cls.make(**{**propose(key, problem), "rank": RANK, "epochs": EPOCHS})
    run = Run(problem, solver, backend=backend)
    run.execute()
    assert (run.status, run.reason) == ("done", "")
    if backend == "cpu" or not SIMULATED:  # the checker knows a device's gaps by its clock
        assert check_run(run.log.read()[0]) == []
    return run


@pytest.mark.data
@pytest.mark.parametrize("key", KEYS)
def test_learns_what_its_cpu_form_learns(
    key: str, real: Problem, tell: Callable[..., None]
) -> None:
    there, here = (executed(key, real, backend) for backend in ("cuda", "cpu"))
    found, wanted = (run.result().tables.epochs for run in (there, here))
    exact = all(there.solver.determinism(b).startswith("exact") for b in ("cuda", "cpu"))
    exact = exact and key != "strip_sgd"  # its grid is another one, and so is the order of visits
    tell(rmse=found[-1].test_rmse, cpu_rmse=wanted[-1].test_rmse)
    assert abs(found[-1].test_rmse - wanted[-1].test_rmse) < (EXACT if exact else RACING)
    if not SIMULATED:  # one epoch on a few ratings teaches little
        assert found[-1].test_rmse < found[0].test_rmse - 0.05
    spans = [e for e in there.log.read()[0] if isinstance(e, Span) and e.reason != "evaluate"]
    assert {s.lane for s in spans} == set(there.solver.lanes("cuda"))
    assert {s.clock for s in spans} == {"host" if SIMULATED else "cuda-events"}


def test_the_device_holds_what_the_ledger_says(tell: Callable[..., None]) -> None:
    """Within a tenth, with the granules that the driver gives out counted."""
    if SIMULATED:
        pytest.skip("the simulator has no memory of its own")
    rng, (m, n, nnz) = np.random.default_rng(0), (60_000, 20_000, 4_000_000)
    u, i = rng.integers(0, [[m], [n]], (2, nnz))
    made: Any = Ratings.from_triples(u, i, rng.integers(1, 6, nnz))
    problem = split(made, holdout=0.0)
    executed("ds_sgd_c", problem, "cuda")  # its code is on the device now
    from mfviz.backends.cuda import free_bytes

    before = free_bytes()
    run = executed("ds_sgd_c", problem, "cuda")
    samples = [
        e for e in run.log.read()[0] if isinstance(e, MemorySampled) and e.place == "cuda:0"
    ]
    model = run.solver.memory(problem.n_users, problem.n_items, problem.train.nnz, "cuda")
    sizes = [part.bytes for part in model.parts if part.place == "device"]
    assert run.result().tables.peak_by_place["cuda:0"] == sum(sizes)
    assert before is not None
    grown = max(s.used_bytes for s in samples) - (samples[0].total_bytes - before)
    predicted = sum(sizes) + rounding_bytes(sizes)
    tell(grown=grown, predicted=predicted)
    assert grown == pytest.approx(predicted, rel=0.1)
