"""DS-SGD: alternate is MSGD bit for bit, events forbid every race, and the streams overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.backends.streams import Program
from mfviz.experiments.run import Run
from mfviz.solvers.base import Factors, Solver, registry
from mfviz.solvers.ds_sgd_d import DSSGDD
from mfviz.solvers.msgd import MSGD
from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import Span
from mfviz.telemetry.overlap import overlap
from tests.naive_descent import model_of
from tests.solvers.recorded import train
from tests.solvers.replay import problem_of
from tests.solvers.test_asgd import distance, random_problem
from tests.solvers.test_msgd import BRISK, on_device, twin

FORMS: list[tuple[str, dict]] = [
    ("ds_sgd_c", {}),
    ("ds_sgd_d", {}),
    ("ds_sgd_d", {"batch": 70}),
    ("ds_sgd_d", {"batch": 999}),
]


def made(key: str, **settings: Any) -> Solver:
    return registry()[key].make(**{**BRISK, **settings})


def bits(factors: Factors) -> bytes:
    return b"".join(a.tobytes() for a in (factors.P, factors.Q, factors.bu, factors.bi))


# --- on the CPU ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "settings"), FORMS)
@pytest.mark.parametrize("biases", [True, False])
def test_alternate_is_msgd_bit_for_bit(key: str, settings: dict, biases: bool) -> None:
    problem = random_problem()
    wanted = train(MSGD.make(**BRISK, biases=biases), problem).final
    for workers, chunk in ((2, None), (3, 1), (2, 97)):
        more = {**settings, "mode": "alternate", "biases": biases, "workers": workers}
        record = train(made(key, **more), problem, chunk=chunk)
        assert bits(record.final) == bits(wanted)
    assert distance(wanted, twin(problem, record.initial, biased=biases)) < 1e-5


def test_batches_come_from_a_file_too() -> None:
    problem = random_problem()
    settings = {"batch": 70, "mode": "alternate"}
    wanted = train(made("ds_sgd_d", **settings), problem)
    found = train(made("ds_sgd_d", **settings, source="file"), problem)
    assert bits(found.final) == bits(wanted.final)
    smaller = wanted.ledger.high_water_bytes - found.ledger.high_water_bytes
    assert smaller == 24 * problem.train.nnz


@pytest.mark.parametrize(("key", "settings"), FORMS)
@pytest.mark.parametrize("mode", ["asynchronous", "alternate"])
def test_learns_as_msgd_does(key: str, settings: dict, mode: str) -> None:
    problem = problem_of(300, 200, 12_000, holdout=0.1)

    def error(solver: Solver) -> float:
        final, test = train(solver, problem).final, problem.test
        return float(np.sqrt(((test.r - final.predict(test.u, test.i)) ** 2).mean()))

    wanted = error(MSGD.make(**{**BRISK, "epochs": 20}))
    batch = {"batch": 3000} if settings else {}
    assert error(made(key, epochs=20, mode=mode, **batch)) < 1.1 * wanted


@pytest.mark.parametrize(("key", "settings"), FORMS)
@pytest.mark.parametrize("mode", ["asynchronous", "alternate"])
def test_a_run_keeps_its_promises(key: str, settings: dict, mode: str) -> None:
    run = Run(problem_of(300, 200, 12_000, holdout=0.1), made(key, mode=mode, epochs=2))
    run.execute()
    assert (run.status, run.reason) == ("done", "")
    events = run.log.read()[0]
    assert check_run(events) == []
    lanes = {e.lane for e in events if isinstance(e, Span)}
    assert lanes == set(run.solver.lanes())
    assert all(lane.endswith("(CPU)") for lane in lanes)


def test_batches_are_copied_and_add_up() -> None:
    problem = random_problem()
    spans = train(made("ds_sgd_d", batch=70), problem).spans
    copied = [s for s in spans if s["op"] == "h2d"]
    assert sum(s["bytes"] for s in copied) == 3 * 24 * problem.train.nnz
    assert {s["lane"] for s in copied} == {"copy stream (CPU)"}
    visits = {side: 0 for side in ("users", "items")}
    for s in spans:
        if s["op"] == "kernel":
            visits[s["name"]] += s["ratings"]
    assert set(visits.values()) == {3 * problem.train.nnz}


def test_is_a_reconstruction_and_says_what_is_exact() -> None:
    for key in ("ds_sgd_c", "ds_sgd_d"):
        assert registry()[key].reconstruction
        assert made(key).determinism() == "statistical"
        assert made(key, mode="alternate").determinism() == "exact"


# --- on a device --------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "settings"), FORMS)
@pytest.mark.parametrize("chunk", [None, 60])
def test_alternate_on_a_device_is_msgd_without_a_race(
    key: str, settings: dict, chunk: int | None
) -> None:
    problem = random_problem()
    wanted = train(MSGD.make(**BRISK), problem).final
    solver = made(key, **settings, mode="alternate")
    driver, factors, spans, _, _ = on_device(solver, problem, chunk)
    assert distance(factors, model_of(wanted)) < 1e-5
    assert driver.races() == 0
    assert {s["lane"] for s in spans} == {"stream M", "stream N"}


@pytest.mark.parametrize(("key", "settings"), FORMS)
def test_asynchronous_streams_race_in_the_factors_only(key: str, settings: dict) -> None:
    solver = made(key, **settings)
    driver, _, _, _, _ = on_device(solver, random_problem())
    assert driver.races() > 0
    factors = [a for a in driver._held if a.dtype == np.float32]
    assert factors
    assert driver.races(*factors) == 0


@pytest.mark.parametrize(("event", "copy_ns"), [("copied", 3.0), ("visited", 0.1), ("phase", 0.1)])
def test_a_missing_wait_is_seen(
    event: str, copy_ns: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any one kind of event the streams would touch what others still use."""
    wait = Program.wait

    def forgetful(self: Program, stream: int, what: Any) -> None:
        if what[0] != event:
            wait(self, stream, what)

    monkeypatch.setattr(Program, "wait", forgetful)
    solver = made("ds_sgd_d", batch=70, mode="alternate")
    driver, _, _, _, _ = on_device(solver, random_problem(), copy_ns=copy_ns)
    assert driver.races() > 0


def schedule(solver: Solver, **fake: Any) -> list[tuple[str, int]]:
    """Copies and kernels with their streams, and waits for another stream."""
    driver, _, _, _, _ = on_device(solver, random_problem(), **fake)
    waited = {what for call, _, what in driver.calls if call == "wait"}
    return [
        (call, stream) for call, stream, what in driver.calls if call != "record" or what in waited
    ]


def test_the_calls_of_two_batches_in_alternate_mode() -> None:
    """Upload of the model, then copies by the idle stream, kernels, and both ways' events."""
    nnz = random_problem().train.nnz
    calls = schedule(made("ds_sgd_d", batch=-(-nnz // 2), mode="alternate", epochs=1))
    calls = calls[calls.index(("copy", 1)) :]
    M, N = 0, 1
    ahead = [("copy", N), ("record", N)] * 2  # users' batches
    assert calls[:4] == ahead
    rest = [call for call in calls[4:] if call[0] in ("copy", "kernel")]
    assert rest == [("copy", N), ("copy", N), *[("kernel", M)] * 2, *[("kernel", N)] * 2]
    assert calls.count(("wait", N)) == 1 + 2  # for the users, and for its buffers of before


def test_copies_hide_under_kernels() -> None:
    """Four batches, kernels longer than the copies of both sides: only the first one shows."""
    problem = random_problem()
    for mode in ("alternate", "asynchronous"):
        solver = made("ds_sgd_d", mode=mode, epochs=6)
        _, _, spans, _, _ = on_device(solver, problem, copy_ns=1.0, kernel_ns=40.0)
        whole = [Span(run="r", seq=0, t_ns=0, **row) for row in spans]
        first = min(s.end_ns for s in whole if s.op == "h2d")
        share = overlap([s for s in whole if s.end_ns > first]).share
        assert share > 0.8, mode


def test_batches_shrink_the_memory_on_the_device() -> None:
    m, n, nnz = 162_541, 59_047, 20_000_076

    def bytes_on_device(solver: Solver) -> int:
        return solver.memory(m, n, nnz, "cuda").bytes_on_devices

    whole = bytes_on_device(made("ds_sgd_c", rank=40))
    batch = bytes_on_device(DSSGDD.make(rank=40, batch=2_000_000))
    assert whole - batch == 24 * nnz - 48 * 2_000_000


@pytest.mark.parametrize("settings", [{}, {"source": "file"}, {"pinned": False}], ids=str)
def test_memory_on_a_device_is_what_the_model_says(settings: dict) -> None:
    problem = random_problem()
    solver = made("ds_sgd_d", **settings)
    _, _, _, held, _ = on_device(solver, problem)
    model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz, "cuda")
    found = {(("host" if p.place == "host" else "cuda:0"), p.name): p.bytes for p in model.parts}
    assert found == held


def test_a_device_that_fails_in_the_middle_leaves_a_message() -> None:
    from mfviz.errors import DeviceError

    with pytest.raises(DeviceError, match="failed in the middle of a run"):
        on_device(made("ds_sgd_d"), random_problem(), fail_at=11)
