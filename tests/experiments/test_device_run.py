"""Runs on a device that a fake driver stands in for: events, faults, and what they leave."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mfviz.backends import cuda, cupti
from mfviz.backends.device import chosen
from mfviz.data.problem import Problem
from mfviz.errors import UnsupportedError
from mfviz.experiments import bandwidth, context, warmup
from mfviz.experiments.device_events import DEVICE_TIME
from mfviz.experiments.run import Run
from mfviz.kernels.cuda import target
from mfviz.solvers.base import Solver, registry
from mfviz.telemetry import limits
from mfviz.telemetry.agreement import agreement
from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import Measured, MemorySampled, RunStarted, Span
from tests.fakes_cupti import FakeCupti
from tests.fakes_device import FakeDriver
from tests.solvers.replay import problem_of
from tests.solvers.test_asgd import random_problem

FORMS: dict[str, dict[str, Any]] = {  # of solvers that have several
    "wavefront": {"key": "cumf_sgd", "scheduler": "wavefront"},
    "open parts": {"key": "cumf_sgd", "rank": 256, "epochs": 1},
    "parts": {"key": "cumf_sgd", "user_parts": 3, "item_parts": 2},
}
KEYS = (
    "msgd", "fampsgd", "ds_sgd_c", "ds_sgd_d", "gpusgd", "cumf_als", "cumf_ccd", "cumf_sgd", "als",
    "strip_sgd", "wavefront", "parts",
)  # fmt: skip
NAMES = ("fake GPU", "second GPU")
Make = Callable[..., Run]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a run on a fake device with the given traits."""
    registry()  # kernels are made with what is installed: they are to be imported before
    monkeypatch.setattr(target, "installed", True)
    monkeypatch.setattr(cuda, "_driver_error", lambda: None)
    monkeypatch.setattr(cuda, "free_bytes", lambda index=0: None)
    found = [cuda.Found(at, name, (9, 0), 1 << 30) for at, name in enumerate(NAMES)]
    monkeypatch.setattr(cuda, "devices", lambda: found)
    monkeypatch.setattr(warmup, "_rehearse", lambda solver, backend: None)

    def make(
        key: str, problem: Problem | None = None, device: int = 0, timed: bool = True,
        profile: bool = False, **traits: Any,
    ) -> Run:  # fmt: skip
        driver = FakeDriver(**traits)
        opened: list[int] = []

        def open_driver() -> FakeDriver:
            opened.append(chosen())
            return driver

        monkeypatch.setattr(cuda, "open_driver", open_driver)
        made = Run(
            problem or random_problem(), solver(key), backend="cuda", device=device, timed=timed,
            profile=profile,
        )  # fmt: skip
        made.execute()
        assert opened == [device]
        assert chosen() == 0
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
    assert sum(isinstance(e, MemorySampled) and e.place == "device" for e in events) >= 2
    told = [e for e in events if isinstance(e, Measured) and e.name == DEVICE_TIME]
    times = [(e.epoch, e.value) for e in told]
    assert [epoch for epoch, _ in times] == [1, 2, 3]
    assert times[0][1] >= max(s.end_ns - s.start_ns for s in measured if s.epoch == 1) / 1e9
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


def test_another_device_is_used_and_named(run: Make) -> None:
    made = run("msgd", device=1, place="cuda:1")
    started = made.log.read()[0][0]
    assert isinstance(started, RunStarted)
    assert started.device == "second GPU"
    with pytest.raises(UnsupportedError, match=r"no device 2 here; there is 0 \(fake GPU\), 1 \("):
        run("msgd", device=2)
    with pytest.raises(UnsupportedError, match="cpu backend has no devices"):
        Run(random_problem(), solver("msgd"), device=1)


def test_without_timing_a_device_does_the_same_and_tells_nothing(run: Make) -> None:
    timed, silent = run("ds_sgd_d"), run("ds_sgd_d", timed=False)
    assert silent.status == "done"
    assert silent.updates == timed.updates
    spans = [e for e in silent.log.read()[0] if isinstance(e, Span) and e.reason != "evaluate"]
    assert spans == []
    notices = [notice.message for notice in silent.result().tables.notices]
    assert "Copies and kernels of the device were not timed." in notices
    assert silent.factors is not None
    assert timed.factors is not None
    np.testing.assert_array_equal(silent.factors.P, timed.factors.P)
    spent = [[m.value for m in r.result().tables.measured] for r in (silent, timed)]
    assert spent[0] == spent[1]


def test_a_profiled_run_tells_of_each_lane(run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeCupti()
    monkeypatch.setattr(cupti, "why_not", lambda: None)
    monkeypatch.setattr(context, "Recorder", lambda: cupti.Recorder(module))
    made = run("ds_sgd_c", profile=True)
    assert (made.status, made.reason) == ("done", "")
    found = agreement(made.result().tables.measured)
    assert set(found) == set(made.solver.lanes("cuda"))
    assert module.enabled == set()


def test_a_run_is_fitted_to_its_device_and_tells_it(
    run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, whole = problem_of(6_000, 4_000, 20_000), solver("open parts")
    room = whole.needs(problem.n_users, problem.n_items, problem.train.nnz) - 1
    monkeypatch.setattr(cuda, "free_bytes", lambda index=0: room)
    made = run("open parts", problem)
    assert (made.status, made.reason) == ("done", "")
    history = made.result().tables
    assert history.params["user_parts"] == history.params["item_parts"] > 1
    assert any("all at once would need" in notice.message for notice in history.notices)
    assert "compute" in history.lanes
    assert check_run(made.log.read()[0]) == []


def test_what_the_memory_gives_is_told_where_there_is_room_to_measure_it(
    run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert math.isnan(limits.bandwidth(run("msgd").result().tables.measured))
    monkeypatch.setattr(cuda, "free_bytes", lambda index=0: 1 << 40)
    monkeypatch.setattr(bandwidth, "memory_limit", lambda backend: 4.1e12)
    told = run("msgd").result().tables.measured
    assert limits.bandwidth(told) == pytest.approx(4.1e12)


@pytest.mark.parametrize("key", KEYS)
def test_a_run_that_is_over_holds_no_array_even_before_garbage_is_collected(
    key: str, run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a device frees it whenever the interpreter pleases, in whatever thread that is."""
    made_there: list[weakref.ref[np.ndarray]] = []
    empty = FakeDriver.empty

    def watched(self: FakeDriver, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        made_there.append(weakref.ref(made := empty(self, shape, dtype)))
        return made

    close = FakeDriver.close
    left: list[tuple[int, ...]] = []

    def look(self: FakeDriver) -> None:
        close(self)
        left.extend(array.shape for ref in made_there if (array := ref()) is not None)

    monkeypatch.setattr(FakeDriver, "empty", watched)
    monkeypatch.setattr(FakeDriver, "close", look)
    gc.collect()
    gc.disable()
    try:
        assert run(key).status == "done"
    finally:
        gc.enable()
    assert made_there
    assert not left
