"""The wavefront of cuMF_SGD: its record repeated by the naive twin, and what it must not do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from mfviz.data.layout import Grid, grid
from mfviz.data.problem import Problem
from mfviz.experiments.run import Run
from mfviz.kernels.chunks import visit_halves
from mfviz.kernels.order import TRIPLE
from mfviz.kernels.wavefront import APART, Wave, wavefront_until
from mfviz.solvers.cumf_sgd import CuMFSGD
from mfviz.solvers.wavefront import summed_up
from mfviz.telemetry.check import check_run
from mfviz.telemetry.clock import SpanBuffer
from mfviz.telemetry.events import BlockTaken, Event, Measured, Span
from mfviz.telemetry.promises import MET
from tests import naive
from tests.naive_gpu import halves
from tests.solvers.recorded import Record, train
from tests.solvers.replay import problem_of
from tests.solvers.test_cumf_sgd import TOLERANCE, distance
from tests.solvers.test_msgd import memory_held, memory_of, on_device

BRISK: dict[str, Any] = {
    "rank": 5, "epochs": 3, "workers": 2, "lr": 0.08, "lam": 0.1, "beta": 0.2,
    "scheduler": "wavefront",
}  # fmt: skip

Taken = list[dict[str, Any]]


def made(**settings: Any) -> CuMFSGD:
    solver = CuMFSGD.make(**{**BRISK, **settings})
    assert isinstance(solver, CuMFSGD)
    return solver


def taken(record: Record) -> Taken:
    return [fields for kind, fields in record.events if kind is BlockTaken]


def visits_of(
    solver: CuMFSGD, problem: Problem, blocks: Taken, shape: tuple[int, int]
) -> tuple[Grid, list[list[int]]]:
    """The grid, and each epoch's ratings, if the blocks of a record come one after the other."""
    layout_rng = np.random.default_rng(solver.seed).spawn(3)[1]
    layout = grid(problem.train, *shape, layout_rng, shuffle=solver.shuffle)
    parts = [list(range(*layout.offsets[b : b + 2])) for b in range(shape[0] * shape[1])]
    if solver.shuffle:
        seed = layout_rng.integers(1, 1 << 63)
        parts = [naive.shuffled(part, naive.part_seed(seed, b)) for b, part in enumerate(parts)]
    own = [[e for e in blocks if e["epoch"] == epoch] for epoch in range(1, solver.epochs + 1)]
    return layout, [
        [t for e in part for t in parts[e["row"] * shape[1] + e["col"]]] for part in own
    ]


def twin(
    solver: CuMFSGD, problem: Problem, initial: Any, blocks: Taken, shape: Any, mutant: str = ""
) -> Any:
    """Visit the blocks of a record one after the other."""
    layout, epochs = visits_of(solver, problem, blocks, shape)
    P, Q = (X[:, : initial.rank] for X in (initial.P, initial.Q))
    r, lam = layout.r / np.float32(initial.scale), solver.lam / initial.scale
    for epoch, visits in enumerate(epochs if mutant != "order" else epochs[::-1]):
        lr = solver.lr / (1 + solver.beta * (0 if mutant == "schedule" else epoch) ** 1.5)
        P, Q = halves(layout.u, layout.i, r, visits, P, Q, lr=lr, lam=lam, mutant=mutant)
    return P, Q


@numba.njit
def visit(u, i, r, visits, P, Q, lr, lam):
    for t in visits:
        visit_halves(u[t], i[t], r[t], P, Q, lr, lam)


@pytest.mark.parametrize("shuffle", [True, False])
def test_equals_the_naive_twin(shuffle: bool) -> None:
    problem, solver = problem_of(), made(workers=1, shuffle=shuffle, columns=5)
    record = train(solver, problem)
    blocks = taken(record)
    assert len(blocks) == 3 * 5
    if not shuffle:
        assert [e["col"] for e in blocks] == list(range(5)) * 3
    assert (
        distance(record.final, twin(solver, problem, record.initial, blocks, (1, 5))) < TOLERANCE
    )


@pytest.mark.parametrize(("workers", "columns"), [(2, 0), (3, 3), (3, 1)])
def test_the_record_repeated_gives_the_same_bits(workers: int, columns: int) -> None:
    """Nobody's updates were lost: one after the other the blocks give what all gave at once."""
    problem = problem_of(300, 200, 12_000)
    solver = made(workers=workers, columns=columns)
    record, shape = train(solver, problem), (workers, columns or 2 * workers)
    layout, epochs = visits_of(solver, problem, taken(record), shape)
    start, final = record.initial, record.final
    P, Q = (X.astype(np.float16).view(np.uint16) for X in (start.P, start.Q))
    r, lam = layout.r / np.float32(start.scale), np.float32(solver.lam / start.scale)
    for epoch, visits in enumerate(epochs):
        lr = np.float32(solver.lr / (1 + solver.beta * epoch**1.5))
        visit(layout.u, layout.i, r, np.array(visits), P, Q, lr, lam)
    np.testing.assert_array_equal(P.view(np.float16), final.P)
    np.testing.assert_array_equal(Q.view(np.float16), final.Q)


@pytest.mark.parametrize("mutant", ["new p", "schedule", "order"])
def test_mutants_are_seen(mutant: str) -> None:
    problem, solver = problem_of(), made(workers=1)
    record = train(solver, problem)
    wrong = twin(solver, problem, record.initial, taken(record), (1, 2), mutant)
    assert distance(record.final, wrong) > 5 * TOLERANCE


def test_chunks_change_no_bit_of_one_worker() -> None:
    whole = train(made(workers=1), problem_of()).final
    record = train(made(workers=1), problem_of(), chunk=7)
    np.testing.assert_array_equal(record.final.P, whole.P)
    np.testing.assert_array_equal(record.final.Q, whole.Q)
    assert np.diff([c.updates for c in record.checkpoints]).max() <= 7


def events_of_a_run(**settings: Any) -> list[Event]:
    problem = problem_of(300, 200, 12_000, holdout=0.1)
    run = Run(problem, made(**settings))
    run.execute()
    assert run.status == "done", run.reason
    assert run.updates == 3 * problem.train.nnz
    return run.log.read()[0]


def test_a_run_keeps_its_promises() -> None:
    """Four workers, four columns: somebody has to wait, and nobody shares a row or a column."""
    events = events_of_a_run(workers=4, columns=4)
    assert check_run(events) == []
    waited = [e.value for e in events if isinstance(e, Measured)]
    waits = [e for e in events if isinstance(e, Span) and e.reason == "no-free-block"]
    assert len(waits) >= sum(waited)
    assert all(e.block for e in waits)  # the one that is waited for


def test_a_worker_waits_for_the_lock_of_its_next_column_and_no_other() -> None:
    """Column 1 is held by somebody, column 0 is free; the second block has to wait."""
    ratings = np.zeros(4, TRIPLE)
    ratings["u"], ratings["i"], ratings["r"] = 0, [0, 0, 1, 1], 1.0
    locks = np.zeros(APART * 3, np.int64)
    locks[APART] = 1
    w = Wave(
        np.array([0, 2, 4]), np.array([[0, 1]]), locks, np.zeros((1, 2, 3), np.int64),
        np.array([[0, -1, 0, 0, 0, 0, 0, 0]]),
    )  # fmt: skip
    P, Q = (np.zeros((2, 16), np.uint16) for _ in range(2))
    spans, signal = SpanBuffer.make(1), np.zeros(8, np.int64)
    rates = (np.float32(0.1), np.float32(0.0))

    def go_on() -> int:
        visits: int = wavefront_until(
            ratings, w, 0, 100, 1_000_000, signal, P, Q, *rates, spans.rows, spans.fill
        )
        return visits

    assert go_on() == 2
    assert (locks[0], w.held[0, 0], w.held[0, 1]) == (0, 1, -1)
    assert go_on() == 0
    assert w.log[0].tolist() == [[0, 1, 0], [0, 0, 1]]  # taken, given back, waited
    locks[APART] = 0
    assert go_on() == 2
    assert go_on() == -1
    assert w.log[0].tolist() == [[0, 1, 0], [2, 3, 1]]
    assert not locks[:-APART].any()
    found = list(spans.drain(0, 1, ("update", "shuffle", "wait")))
    assert {s["block"] for s in found if s["op"] == "wait"} == {"0,1"}
    assert {s["reason"] for s in found if s["op"] == "wait"} == {"no-free-block"}
    assert [s["block"] for s in found if s["op"] == "kernel"] == ["0,0", "0,1"]


@pytest.mark.parametrize("what", ["row", "col", "twice", "missing"])
def test_a_broken_promise_is_seen(what: str) -> None:
    events = events_of_a_run(workers=2)
    a, b = [k for k, e in enumerate(events) if isinstance(e, BlockTaken)][:2]
    first, second = events[a], events[b]
    assert isinstance(first, BlockTaken)
    assert isinstance(second, BlockTaken)
    if what in ("row", "col"):  # the second one is taken while the first one is held
        second = replace(second, **{what: getattr(first, what)}, wave=first.wave + 1)
        first = replace(first, until=first.wave + 2)
    elif what == "twice":
        second = replace(second, row=first.row, col=first.col)
    else:
        second = replace(second, ratings=second.ratings + 1)
    events[a], events[b] = first, second
    words = {"twice": "taken twice", "missing": "not those that were worked on"}
    assert words.get(what, f"another of its {what} is held") in " ".join(check_run(events))


# --- on a device --------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, 60])
def test_a_device_is_asked_for_the_same(chunk: int | None) -> None:
    problem, solver = problem_of(), made(warps=3, columns=5)
    told: Taken = []
    driver, factors, spans, held, checkpoints = on_device(
        solver, problem, chunk, told=lambda kind, **fields: told.append({"kind": kind, **fields})
    )
    blocks = [fields for fields in told if fields["kind"] is BlockTaken]
    initial = train(solver, problem).initial
    wanted = twin(solver, problem, initial, blocks, (3, 5))
    assert distance(factors, wanted) < TOLERANCE
    assert driver.races() == 0
    kernels = [s["ratings"] for s in spans if s["op"] == "kernel"]
    assert sum(kernels) == checkpoints[-1].updates == 3 * problem.train.nnz
    assert len(kernels) == 3 if chunk is None else len(kernels) > 3
    assert memory_of(solver, problem) == memory_held(held)


def test_a_device_has_as_many_workers_as_have_full_blocks() -> None:
    from mfviz.solvers.wavefront import wave_shape

    solver = made()
    assert wave_shape(solver, 162_541, 59_047, 25_000_000, "cuda") == (625, 1250)
    assert wave_shape(solver, 40, 20, 10**6, "cuda") == (10, 20)
    assert wave_shape(solver, 1, 1, 1, "cuda") == (1, 2)
    assert wave_shape(made(warps=7, columns=3), 1, 1, 1, "cuda") == (7, 3)
    assert wave_shape(solver, 1, 1, 1, "cpu") == (2, 4)


def test_many_blocks_are_not_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfviz.solvers.wavefront.MOST_TOLD", 7)
    record = train(made(), problem_of())
    assert not taken(record)
    said = " ".join(fields.get("message", "") for _, fields in record.events)
    assert "8 blocks an epoch" in said
    assert "reconstruction" in said
    told = [fields for kind, fields in record.events if kind is Measured]
    for epoch in (1, 2, 3):
        found = {each["name"]: each["value"] for each in told if each["epoch"] == epoch}
        assert found["blocks"] == 8
        assert 1 <= found["blocks held at once"] <= 2
        assert found[MET] == 0
        assert found["ratings of the largest block"] < problem_of().train.nnz


def test_blocks_are_summed_up_as_they_were_taken() -> None:
    order, counts = np.array([[0, 1], [1, 0]]), np.array([[5, 1], [2, 9]])
    # worker 0 has column 0 from 0 to 2 and then 1; worker 1 has 1 from 1 to 3 and then 0
    log = np.array([[[0, 2, 0], [4, 6, 1]], [[1, 3, 0], [5, 7, 0]]])
    assert summed_up(log, order, counts) == {
        "blocks": 4.0, "ratings of the largest block": 9.0, "blocks held at once": 1.5, MET: 0.0,
    }  # fmt: skip
    log[0, 1] = [2, 6, 0]  # column 1, while worker 1 holds it
    assert summed_up(log, order, counts)[MET] == 1.0


def test_a_summed_up_promise_that_is_broken_is_seen() -> None:
    run = Run(problem_of(), made(epochs=1))
    run.execute()
    events = run.log.read()[0]
    told = next(e for e in events if isinstance(e, Measured))
    events.insert(events.index(told), replace(told, name=MET, value=2.0))
    assert f"epoch 1: 2 {MET}" in " ".join(check_run(events))


def test_memory_is_what_the_model_says() -> None:
    for columns in (0, 3):
        solver, problem = made(columns=columns), problem_of()
        record = train(solver, problem)
        model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz)
        assert model.by_part() == record.high_water
        assert model.total_bytes == record.ledger.high_water_bytes
