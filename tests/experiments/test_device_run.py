"""Runs on a device that a fake driver stands in for: events, faults, and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mfviz.backends import cuda
from mfviz.data.problem import Problem
from mfviz.experiments import warmup
from mfviz.experiments.run import Run
from mfviz.kernels.cuda import target
from mfviz.solvers.base import Solver, registry
from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import MemorySampled, RunStarted, Span
from tests.fakes_device import FakeDriver
from tests.solvers.test_asgd import random_problem

FORMS: dict[str, dict[str, Any]] = {  # of solvers that have several
    "wavefront": {"key": "cumf_sgd", "scheduler": "wavefront"},
    "parts": {"key": "cumf_sgd", "user_parts": 3, "item_parts": 2},
}
KEYS = (
    "msgd", "fampsgd", "ds_sgd_c", "ds_sgd_d", "gpusgd", "cumf_als", "cumf_ccd", "cumf_sgd", "als",
    "strip_sgd", *FORMS,
)  # fmt: skip
Make = Callable[..., Run]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a run on a fake device with the given traits."""
    registry()  # before numba-cuda seems to be there: modules of kernels look for it
    monkeypatch.setattr(target, "installed", True)
    monkeypatch.setattr(cuda, "_driver_error", lambda: None)
    monkeypatch.setattr(cuda, "free_bytes", lambda index=0: None)
    found = [cuda.Found(0, "fake GPU", (9, 0), 1 << 30)]
    monkeypatch.setattr(cuda, "devices", lambda: found)
    monkeypatch.setattr(warmup, "_rehearse", lambda solver, backend: None)

    def make(key: str, problem: Problem | None = None, **traits: Any) -> Run:
        driver = FakeDriver(**traits)
        monkeypatch.setattr(cuda, "open_driver", lambda: driver)
        made = Run(problem or random_problem(), solver(key), backend="cuda")
        made.execute()
        assert driver.closed
        return made

    return make


def solver(key: str) -> Solver:
    form = FORMS.get(key, {"key": key})
    settings = {
        "rank": 5, "epochs": 3, "workers": 2, "lr": 0.08, "init_scale": 0.3, "each": 1, **form
    }  # fmt: skip
    cls = registry()[form["key"]]
    known = cls.hyper_parameters()
    return cls.make(**{name: value for name, value in settings.items() if name in known})


@pytest.mark.parametrize("key", KEYS)
def test_its_events_tell_of_the_device(key: str, run: Make) -> None:
    made = run(key)
    assert (made.status, made.reason) == ("done", "")
    events = made.log.read()[0]
    assert check_run(events) == []
    started = events[0]
    assert isinstance(started, RunStarted)
    assert (started.backend, started.device) == ("cuda", "fake GPU")
    spans = [e for e in events if isinstance(e, Span)]
    assert {s.lane for s in spans} == set(made.solver.lanes("cuda"))
    measured = [s for s in spans if s.reason != "evaluate"]
    assert {s.clock for s in measured} == {"cuda-events"}
    sampled = [e for e in events if isinstance(e, MemorySampled) and e.place == "cuda:0"]
    assert len(sampled) == 4
    tables = made.result().tables
    assert tables.peak_by_place["cuda:0"] == sampled[-1].used_bytes
    history = made.result().history
    assert history["train_rmse"].iloc[-1] < history["train_rmse"].iloc[0]


@pytest.mark.parametrize("key", KEYS)
def test_a_device_that_fails_ends_the_run_and_the_next_one_works(key: str, run: Make) -> None:
    failed = run(key, fail_at=3)
    assert failed.status == "failed"
    assert "fake GPU failed in the middle of a run" in failed.reason
    assert check_run(failed.log.read()[0]) == []
    assert failed.factors is not None
    assert np.isfinite(failed.factors.P).all()
    assert run(key).status == "done"


@pytest.mark.parametrize("key", KEYS)
def test_a_full_device_says_what_to_change_and_frees_everything(key: str, run: Make) -> None:
    failed = run(key, room=1000 if key == "parts" else 3000)  # parts need least
    assert failed.status == "failed"
    assert "Take a lower rank, smaller batches, or ds_sgd_d" in failed.reason
    assert failed.result().tables.held_by_part() == {}
    assert run(key).status == "done"
