"""Pause, step, stop, pace and changed settings, asked for from another thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mfviz.errors import MfvizError, ParameterError
from mfviz.experiments import evaluate
from mfviz.experiments.run import Run
from mfviz.solvers.base import Context
from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import Event, ParamChanged, Span
from tests.fakes import ScriptedSolver, tiny_problem

PROBLEM = tiny_problem()
LONG = 10_000


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def events_of(run: Run) -> list[Event]:
    return run.log.read()[0]


def started(solver: ScriptedSolver, **options: Any) -> Run:
    run = Run(PROBLEM, solver, **options)
    run.start()
    until(lambda: run.status == "running" or not run.active)
    return run


def finished(run: Run) -> list[Event]:
    run.stop()
    assert run.wait(10)
    return events_of(run)


MANY_CHUNKS = [
    {"epochs": 3, "chunks": 1000, "nap_s": 0.002},
    {"epochs": 3, "chunks": 1000, "nap_s": 0.002, "free": True},
    {"epochs": LONG, "nap_s": 0.001},
]


@pytest.mark.parametrize("settings", MANY_CHUNKS)
def test_a_run_pauses_goes_on_and_stops_in_the_middle_of_anything(settings: Any) -> None:
    run = started(ScriptedSolver(**settings))
    until(lambda: run.updates > 0)
    run.pause()
    until(lambda: run.status == "paused")
    place, solved = run.updates, run.watch.seconds("solve")
    time.sleep(0.05)
    assert (run.updates, run.watch.seconds("solve")) == (place, solved)
    run.resume()
    until(lambda: run.updates > place)
    assert run.status == "running"
    events = finished(run)
    assert run.status == "stopped"
    assert "Stopped in epoch" in run.reason
    pauses = [e for e in events if isinstance(e, Span) and e.reason == "pause"]
    assert {pause.lane for pause in pauses} == {"W0", "W1"}
    assert all(pause.end_ns - pause.start_ns >= 45_000_000 for pause in pauses)
    violations = [v for v in check_run(events) if "ratings" not in v]  # of the last, unended epoch
    assert violations == []


@pytest.mark.parametrize("settings", MANY_CHUNKS)
def test_while_paused_a_run_can_be_stopped(settings: Any) -> None:
    run = started(ScriptedSolver(**settings))
    run.pause()
    until(lambda: run.status == "paused")
    run.stop()
    assert run.wait(5)
    assert run.status == "stopped"
    kinds = [event.kind for event in events_of(run)]
    assert kinds.count("run-ended") == 1
    assert kinds[-1] == "run-ended"


def test_free_workers_stand_still_while_paused() -> None:
    solver = ScriptedSolver(chunks=LONG // 10, nap_s=0.001, free=True, workers=3)
    run = started(solver)
    until(lambda: solver.updates > 0)
    run.pause()
    until(lambda: run.status == "paused")
    before = solver.updates
    time.sleep(0.03)
    assert solver.updates == before
    finished(run)
    assert solver.closed


def test_steps_of_an_epoch() -> None:
    run = started(ScriptedSolver(epochs=5, chunks=2, nap_s=0.001), pace=1000)
    run.pause()
    until(lambda: run.status == "paused")
    here = run.epoch if run.updates % PROBLEM.train.nnz == 0 else run.epoch - 1
    for epoch in range(here + 1, 5):
        run.step()
        place = epoch * PROBLEM.train.nnz  # the epoch may have been under way at the pause
        until(lambda place=place: run.status == "paused" and run.updates >= place)  # type: ignore[misc]
        assert (run.epoch, run.updates) == (epoch, place)
    run.step()
    assert run.wait(5)
    assert run.status == "done"


# Workers of 50 ms a piece are looked at many times before one has done anything.
@pytest.mark.parametrize(("free", "nap_s"), [(False, 0.001), (True, 0.001), (True, 0.05)])
def test_steps_of_a_checkpoint(free: bool, nap_s: float) -> None:
    run = started(ScriptedSolver(epochs=5, chunks=200, nap_s=nap_s, free=free))
    run.pause()
    until(lambda: run.status == "paused")
    for _ in range(4):
        before = run.updates
        run.step("checkpoint")
        until(lambda before=before: run.status == "paused" and run.updates > before)  # type: ignore[misc]
        assert run.epoch <= 1
    finished(run)


def test_a_run_can_be_paused_before_it_begins() -> None:
    run = Run(PROBLEM, ScriptedSolver())
    run.pause()
    run.start()
    until(lambda: run.status == "paused")
    assert run.epoch == 0
    run.resume()
    assert run.wait(5)
    assert run.status == "done"


def test_pause_and_stop_are_heard_during_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = threading.Event()

    def piece(*args: Any) -> float:
        slow.set()
        time.sleep(0.005)
        return 1.0

    monkeypatch.setattr(evaluate, "PIECE", 1)
    monkeypatch.setattr(evaluate, "squared_error", piece)
    run = Run(PROBLEM, ScriptedSolver(workers=2))
    run.start()
    assert slow.wait(10)
    run.pause()
    until(lambda: run.status == "paused")
    run.resume()
    until(lambda: run.status == "running")
    run.stop()
    assert run.wait(5)
    events = events_of(run)
    assert [event.kind for event in events].count("evaluated") == 0
    assert check_run(events) == []
    spans = [e.reason for e in events if isinstance(e, Span) and e.lane == "W0"]
    assert spans == ["evaluate", "pause"]


def test_what_is_asked_after_the_end_is_ignored() -> None:
    run = Run(PROBLEM, ScriptedSolver())
    run.execute()
    count = len(run.log)
    for ask in (run.pause, run.resume, run.step, run.stop, lambda: run.change("lr", 0.1)):
        ask()
    assert (run.status, len(run.log)) == ("done", count)


def test_stop_before_start_ends_a_run_that_tells_so() -> None:
    run = Run(PROBLEM, ScriptedSolver())
    run.stop()
    run.stop()
    assert run.wait(0)
    assert (run.status, run.reason) == ("stopped", "Stopped before it began.")
    assert [event.kind for event in events_of(run)] == ["run-started", "run-ended"]
    with pytest.raises(MfvizError, match="no factors"):
        _ = run.result().P
    with pytest.raises(MfvizError, match="started before"):
        run.start()


def test_a_run_that_goes_on_has_no_result() -> None:
    run = started(ScriptedSolver(epochs=LONG, nap_s=0.001))
    with pytest.raises(MfvizError, match="wait"):
        run.result()
    finished(run)
    assert run.result().P.shape == (30, 2)


# --- pace ----------------------------------------------------------------------------------


def test_the_pace_is_waited_outside_solve_time() -> None:
    run = Run(PROBLEM, ScriptedSolver(epochs=4), pace=50)
    run.execute()
    result = run.result()
    waits = 3 / 50  # before epochs 2, 3 and 4
    assert result.history["wall_s"][4] - result.history["wall_s"][0] >= waits
    parts = sum(result.seconds[f"{phase}_s"] for phase in ("setup", "solve", "eval"))
    assert result.seconds["wall_s"] > parts + 0.001


def test_a_chunked_epoch_is_paced_from_chunk_to_chunk() -> None:
    run = Run(PROBLEM, ScriptedSolver(epochs=1, chunks=9), pace=10)
    run.execute()
    spans = run.result().spans
    starts = spans[(spans.lane == "W0") & (spans.op == "kernel")].start_ns
    assert len(starts) == 10
    assert starts.max() - starts.min() >= 0.08e9  # nine tenths of 0.1 s, less a debt


def test_a_slow_pace_can_be_changed_paused_and_stopped_at_once() -> None:
    run = started(ScriptedSolver(epochs=LONG), pace=0.001)
    until(lambda: run.epoch == 1)
    run.pause()
    until(lambda: run.status == "paused")
    run.resume()
    until(lambda: run.status == "running")
    run.pace = math.inf
    until(lambda: run.epoch > 3)
    run.pace = 0.001
    run.stop()
    assert run.wait(5)
    assert run.status == "stopped"


@pytest.mark.parametrize("pace", [0, -1, math.nan])
def test_a_pace_must_be_positive(pace: float) -> None:
    run = Run(PROBLEM, ScriptedSolver())
    with pytest.raises(ParameterError, match="pace"):
        run.pace = pace
    assert run.pace == math.inf


# --- settings that change ------------------------------------------------------------------


@pytest.mark.parametrize("free", [False, True])
def test_a_changed_setting_arrives_at_the_next_checkpoint(free: bool) -> None:
    solver = ScriptedSolver(epochs=LONG, chunks=3, nap_s=0.001, free=free, lr=0.05, lam=0.1)
    run = started(solver)
    run.change("lr", 0.025)
    run.change("lam", 0.5)
    until(lambda: solver.seen[-1:] == [(0.025, 0.5)])
    changes = [e for e in finished(run) if isinstance(e, ParamChanged)]
    assert [(c.name, c.old, c.new) for c in changes] == [("lr", 0.05, 0.025), ("lam", 0.1, 0.5)]
    assert (solver.lr, solver.lam) == (0.05, 0.1)  # what the run was started with stays known


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lr", 11, "from 0 to 10"),
        ("lr", math.nan, "lr is nan"),
        ("lr", "fast", "lr is 'fast'"),
        ("lam", -0.1, "lam is -0.1"),
        ("rank", 3, "cannot change"),
        ("nothing", 3, "cannot change"),
    ],
)
def test_a_change_out_of_bounds_is_refused(name: str, value: Any, words: str) -> None:
    run = Run(PROBLEM, ScriptedSolver())
    with pytest.raises(ParameterError, match=words):
        run.change(name, value)
    run.execute()
    assert run.result().tables.changes == []


def test_the_gate_is_open_when_a_solver_ends_early() -> None:
    gates: list[Context] = []
    run = started(ScriptedSolver({1: gates.append}, epochs=LONG, free=True, nap_s=0.001))
    until(lambda: len(gates) > 0)
    finished(run)
    assert gates[0].gate() is False  # dismissed: a late worker goes home
