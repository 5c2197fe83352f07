"""What a run tells: its events, tables, times and its end, whatever the solver does."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfviz.backends.host import Crew
from mfviz.data.problem import Problem
from mfviz.errors import MfvizError, ParameterError, UnsupportedError
from mfviz.experiments.run import LEGAL, Run
from mfviz.experiments.store import open_run
from mfviz.solvers.base import Checkpoint, Context, Factors, solver_class
from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import Compiled, Event, Measured, RunEnded, RunStarted, Span
from mfviz.telemetry.history import History
from tests.fakes import ScriptedSolver, tiny_problem

PROBLEM = tiny_problem()


def events_of(run: Run) -> list[Event]:
    return run.log.read()[0]


def executed(solver: ScriptedSolver, problem: Problem = PROBLEM, **options: Any) -> Run:
    run = Run(problem, solver, **options)
    run.execute()
    return run


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("folder", [False, True])
def test_a_run_keeps_every_rule_of_telemetry(tmp_path: Path, free: bool, folder: bool) -> None:
    solver = ScriptedSolver(free=free, chunks=4, nap_s=0.001)
    run = executed(solver, folder=tmp_path if folder else None)
    assert (run.status, run.reason, run.active) == ("done", "", False)
    assert check_run(events_of(run)) == []
    assert solver.closed
    if folder:
        assert open_run(tmp_path).events == events_of(run)


def test_the_first_event_says_what_is_run() -> None:
    run = executed(ScriptedSolver(epochs=2), run_id="abc")
    started, compiled = (e for e in events_of(run)[:5] if isinstance(e, (RunStarted, Compiled)))
    assert isinstance(started, RunStarted)
    assert isinstance(compiled, Compiled)
    assert (started.run, started.seed, started.backend) == ("abc", 0, "cpu")
    assert started.fingerprint == PROBLEM.fingerprint
    assert started.params["epochs"] == 2
    assert started.shape == {
        "users": 30, "items": 20, "train": PROBLEM.train.nnz, "test": PROBLEM.test.nnz,
        "set_aside": PROBLEM.set_aside,
    }  # fmt: skip
    assert set(started.versions) == {"mfviz", "python", "numpy", "numba"}
    assert all(started.versions.values())
    assert started.model == {"P": 30 * 64, "Q": 20 * 64}
    assert "core" in started.device


def test_every_epoch_from_0_is_evaluated() -> None:
    history = executed(ScriptedSolver(epochs=3)).result().history
    assert list(history["epoch"]) == [0, 1, 2, 3]
    assert list(history["updates"]) == [k * PROBLEM.train.nnz for k in range(4)]
    assert history[["train_rmse", "test_rmse", "objective"]].notna().all(axis=None)
    spread = float(PROBLEM.train.r.std(dtype=np.float64))
    assert history["train_rmse"][0] == pytest.approx(spread)  # the model is the mean
    assert history["solve_s"][0] == 0
    for name in ("solve_s", "eval_s", "wall_s"):
        assert history[name].is_monotonic_increasing


@pytest.mark.parametrize(
    ("every", "epochs", "expected"),
    [(1, 3, [0, 1, 2, 3]), (2, 5, [0, 2, 4, 5]), (3, 2, [0, 2]), (0, 4, [4]), (7, 7, [0, 7])],
)
def test_evaluation_every_n_epochs_and_always_at_the_end(
    every: int, epochs: int, expected: list[int]
) -> None:
    run = executed(ScriptedSolver(epochs=epochs), evaluate_every=every)
    history = run.result().history
    assert list(history["epoch"]) == list(range(epochs + 1))
    assert list(history["epoch"][history["train_rmse"].notna()]) == expected
    assert check_run(events_of(run)) == []


def test_without_test_ratings_the_test_rmse_is_nan() -> None:
    history = executed(ScriptedSolver(), tiny_problem(holdout=0.0)).result().history
    assert history["test_rmse"].isna().all()
    assert history["train_rmse"].notna().all()


def test_an_evaluation_is_drawn_as_a_wait_on_every_lane() -> None:
    run = executed(ScriptedSolver(epochs=1, workers=3))
    waits = [e for e in events_of(run) if isinstance(e, Span) and e.reason == "evaluate"]
    assert [(wait.lane, wait.epoch) for wait in waits] == [
        ("W0", 0), ("W1", 0), ("W2", 0), ("W0", 1), ("W1", 1), ("W2", 1)
    ]  # fmt: skip
    assert all(wait.op == "wait" for wait in waits)


def test_the_times_leave_no_gap() -> None:
    run = executed(ScriptedSolver(epochs=5, nap_s=0.01))
    seconds = run.result().seconds
    parts = seconds["setup_s"] + seconds["solve_s"] + seconds["eval_s"]
    assert 0.95 * seconds["wall_s"] <= parts <= seconds["wall_s"] + 1e-9
    assert seconds["solve_s"] >= 5 * 0.01
    last = run.result().tables.last
    assert last is not None
    assert last.solve_s == pytest.approx(seconds["solve_s"], abs=1e-3)


def test_memory_is_told_and_all_given_back() -> None:
    result = executed(ScriptedSolver()).result()
    assert result.tables.peak_by_part == {"P": 30 * 64, "Q": 20 * 64} == result.tables.model
    assert list(result.memory["held_bytes"]) == [1920, 3200, 1280, 0]
    assert len(result.tables.memory) >= 2


def test_what_a_solver_tells_is_logged_in_order() -> None:
    def tell(context: Context) -> None:
        for value in range(3):
            context.emit(Measured, epoch=1, name="drift", value=float(value))

    history = executed(ScriptedSolver({1: tell})).result().tables
    assert [m.value for m in history.measured] == [0.0, 1.0, 2.0]


def test_spans_without_room_are_told() -> None:
    def flood(context: Context) -> None:
        for at in range(context.spans.rows.shape[1] + 7):
            context.spans.add(0, at, at)

    run = executed(ScriptedSolver({2: flood}))
    notices = [n.message for n in run.result().tables.notices]
    assert [("found no room" in message) for message in notices] == [True]


def test_notices_of_the_data_are_part_of_the_run() -> None:
    problem = Problem(PROBLEM.train, PROBLEM.test, PROBLEM.seed, set_aside=4)
    notices = executed(ScriptedSolver(), problem).result().tables.notices
    assert any("4 test ratings set aside" in notice.message for notice in notices)


# --- bad ends ------------------------------------------------------------------------------


def boom(context: Context) -> None:
    raise ValueError("no such thing")


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_exception_in_a_solver_ends_its_run_only(tmp_path: Path, epoch: int) -> None:
    run = executed(ScriptedSolver({epoch: boom}), folder=tmp_path)
    assert (run.status, run.reason) == ("failed", "ValueError: no such thing")
    assert check_run(events_of(run)) == []
    tables = run.result().tables
    assert "in boom" in tables.details
    assert len(tables.epochs) == epoch
    assert open_run(tmp_path).history().status == "failed"
    assert executed(ScriptedSolver()).status == "done"


def test_an_exception_in_a_worker_is_no_different() -> None:
    class Broken(ScriptedSolver):
        def _visit(self, context: Context, worker: int, *rest: Any) -> None:
            if worker == 1:
                raise ZeroDivisionError("in a worker")
            super()._visit(context, worker, *rest)

    run = executed(Broken(free=True, chunks=5))
    assert (run.status, run.reason) == ("failed", "ZeroDivisionError: in a worker")
    ended = [event for event in events_of(run) if isinstance(event, RunEnded)]
    assert len(ended) == 1


@pytest.mark.parametrize("method", ["determinism", "memory", "objective", "iterate"])
def test_whatever_part_of_a_solver_breaks_the_run_ends(method: str) -> None:
    def broken(self: Any, *args: Any) -> None:
        raise RuntimeError("broken " + method)

    solver = type("Broken", (ScriptedSolver,), {method: broken})()
    run = executed(solver)
    assert (run.status, run.reason) == ("failed", "RuntimeError: broken " + method)
    kinds = [event.kind for event in events_of(run)]
    assert (kinds[0], kinds[-1]) == ("run-started", "run-ended")
    assert executed(ScriptedSolver()).status == "done"  # the turn was given back


def test_a_solver_that_sets_up_nothing_is_told_so() -> None:
    class Empty(ScriptedSolver):
        def iterate(self, problem: Problem, context: Context) -> Any:
            yield Checkpoint("chunk", 1, 5)

    run = executed(Empty())
    assert run.status == "failed"
    assert "first checkpoint must be epoch 0" in run.reason


def test_an_interrupt_stops_the_run_and_is_raised() -> None:
    def interrupt(context: Context) -> None:
        raise KeyboardInterrupt

    run = Run(PROBLEM, ScriptedSolver({2: interrupt}))
    with pytest.raises(KeyboardInterrupt):
        run.execute()
    assert (run.status, run.reason) == ("stopped", "Interrupted.")
    assert check_run(events_of(run)) == []
    assert executed(ScriptedSolver()).status == "done"


def test_arrays_that_cannot_be_saved_are_told(tmp_path: Path) -> None:
    (tmp_path / "arrays").write_text("in the way")
    run = executed(ScriptedSolver(), folder=tmp_path)
    assert run.status == "done"
    assert any("could not be saved" in n.message for n in run.result().tables.notices)


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    for solver in (ScriptedSolver(), ScriptedSolver({1: boom}), ScriptedSolver(free=True)):
        executed(solver)
    assert threading.active_count() <= before


# --- bad input -----------------------------------------------------------------------------


def test_a_solver_that_cannot_serve_says_so_before() -> None:
    with pytest.raises(UnsupportedError, match="no cuda backend"):
        Run(PROBLEM, ScriptedSolver(), backend="cuda")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pace": 0}, "pace is 0"),
        ({"pace": math.nan}, "pace is nan"),
        ({"evaluate_every": -1}, "evaluate_every is -1"),
        ({"evaluate_every": 2.5}, "evaluate_every is 2.5"),
        ({"evaluate_every": "x"}, "evaluate_every is x"),
        ({"chunk": 0}, "chunk is 0"),
    ],
)
def test_numbers_out_of_bounds_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        Run(PROBLEM, ScriptedSolver(), **options)


def test_what_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfviz.experiments.run.available_bytes", lambda: (2 << 20, 1 << 30))
    Run(PROBLEM, solver_class("averaged_sgd").make(rank=1, workers=2))
    with pytest.raises(UnsupportedError, match=r"needs 5. MiB of memory, and 2 MiB are free"):
        Run(PROBLEM, solver_class("averaged_sgd").make(rank=4096, workers=63))


def test_a_start_of_another_shape_is_refused() -> None:
    P, Q = np.zeros((30, 16), np.float32), np.zeros((21, 16), np.float32)
    start = Factors(P, Q, P[:, 0].copy(), Q[:, 0].copy(), rank=2)
    with pytest.raises(ParameterError, match="21 items"):
        Run(PROBLEM, ScriptedSolver(), start=start)


def test_a_run_is_executed_once() -> None:
    run = executed(ScriptedSolver())
    with pytest.raises(MfvizError, match="started before"):
        run.execute()
    with pytest.raises(MfvizError, match="started before"):
        run.start()


def test_the_state_machine_has_no_way_back() -> None:
    run = executed(ScriptedSolver())
    for status in LEGAL:
        with pytest.raises(RuntimeError, match="cannot go from done"):
            run.become(status)


def test_the_context_is_what_the_solver_declared() -> None:
    seen: list[Context] = []
    solver = ScriptedSolver({1: seen.append}, workers=3, lr=0.25, lam=0.5, seed=7)
    executed(solver, chunk=10)
    (context,) = seen
    assert isinstance(context.crew, Crew)
    assert (context.crew.workers, context.lr, context.lam, context.chunk) == (3, 0.25, 0.5, 10)
    expected = np.random.default_rng(7).integers(0, 10**9)
    assert context.rng.integers(0, 10**9) == expected
    assert context.start is None


def test_history_can_be_followed_while_it_grows() -> None:
    run = Run(PROBLEM, ScriptedSolver(epochs=20, nap_s=0.003))
    history = History()
    run.start()
    while not run.wait(0.005):
        history.follow(run.log)
    history.follow(run.log)
    whole = History()
    whole.follow(run.log)
    assert history.epochs == whole.epochs
    assert history.status == "done"
    assert not [n for n in history.notices if n.level == "warning"]
