"""FPSGD: what its recorded schedule and its spans must show, and its replay bit for bit."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numba
import numpy as np
import pytest

from mfviz.kernels.order import TRIPLE
from mfviz.kernels.registers import parts_of
from mfviz.kernels.row_rates import RowRates, measure_norms, visit_block
from mfviz.solvers.fpsgd import FPSGD
from mfviz.telemetry.events import BlockTaken
from tests.solvers.recorded import Record, train
from tests.solvers.replay import fpsgd_layout, problem_of


@numba.njit
def visit(records, start, stop, X, Y, GX, GY, rates, parts):
    visit_block(records, start, stop, X, Y, GX, GY, rates, parts)


def run(
    workers: int = 2, chunk: int | None = None, problem=None, **params
) -> tuple[FPSGD, Record]:
    wanted = {"rank": 10, "epochs": 4, "seed": 1, **params}
    solver = FPSGD.make(workers=workers, **wanted)
    return solver, train(solver, problem or problem_of(nnz=2000), chunk=chunk)


def taken(record: Record) -> list[dict[str, Any]]:
    return [fields for kind, fields in record.events if kind is BlockTaken]


def block_spans(record: Record) -> list[tuple[int, int, str, str]]:
    """Start, end, row and column of the spans that visit a block."""
    spans = [s for s in record.spans if s["block"]]
    return [(s["start_ns"], s["end_ns"], *s["block"].split(",")) for s in spans]


@pytest.mark.parametrize(("workers", "grid"), [(2, 0), (3, 4), (4, 9)])
def test_busy_blocks_share_no_row_and_no_column(workers: int, grid: int):
    _, record = run(workers, grid=grid, problem=problem_of(m=400, n=300, nnz=40_000))
    spans = sorted(block_spans(record))
    for a, b in itertools.combinations(spans, 2):
        if b[0] >= a[1]:
            continue  # not at the same time
        assert a[2] != b[2]
        assert a[3] != b[3]


@pytest.mark.parametrize(("workers", "grid"), [(1, 3), (2, 4), (2, 5), (3, 7), (4, 9)])
def test_an_iteration_is_as_many_blocks_as_the_grid_has(workers: int, grid: int):
    _, record = run(workers, grid=grid)
    events = taken(record)
    assert [e["wave"] for e in events] == list(range(grid**2)) * 4
    counts = Counter((e["row"], e["col"]) for e in events)
    assert sum(counts.values()) == 4 * grid**2
    assert all(0 <= e["worker"] < workers for e in events)
    if grid >= 2 * workers:
        visits = [counts[row, col] for row in range(grid) for col in range(grid)]
        assert max(visits) - min(visits) <= 3


def test_every_visit_has_a_span_however_fine_the_grid_is():
    _, record = run(1, grid=100, epochs=1)
    assert sum(s["ratings"] for s in record.spans) == record.checkpoints[-1].updates
    assert len(block_spans(record)) >= 100**2


def test_updates_are_the_ratings_of_the_blocks_that_were_taken():
    _, record = run(3)
    ends = {c.epoch: c.updates for c in record.checkpoints if c.kind == "epoch"}
    events = taken(record)
    for epoch in range(1, 5):
        ratings = sum(e["ratings"] for e in events if e["epoch"] == epoch)
        assert ends[epoch] - ends[epoch - 1] == ratings


def test_replaying_the_schedule_gives_the_same_bits():
    problem = problem_of(nnz=3000)
    solver, record = run(3, problem=problem, rank=20)
    layout, d = fpsgd_layout(solver, problem), solver.blocks_a_side
    records = np.zeros(len(layout.r), dtype=TRIPLE)
    records["u"], records["i"], records["r"] = layout.u, layout.i, layout.r
    records["r"] /= np.float32(record.initial.scale)
    P, Q = record.initial.P.copy(), record.initial.Q.copy()
    GP, GQ = np.ones((len(P), 4), np.float32), np.ones((len(Q), 4), np.float32)
    began = 0
    for e in taken(record):
        fast = e["epoch"] > 1
        if e["epoch"] > began:
            measure_norms(P, GP, 0, 1)
            measure_norms(Q, GQ, 0, 1)
            began = e["epoch"]
        lam = np.float32(solver.lam / record.initial.scale)
        per_fast = np.float32(1 / 16 if fast else 0)
        rates = RowRates(np.float32(solver.lr), lam, np.float32(1 / 8), per_fast, fast)
        block = e["row"] * d + e["col"]
        at = layout.offsets[block : block + 2]
        visit(records, *at, P, Q, GP, GQ, rates, parts_of(P.shape[1]))
    np.testing.assert_array_equal(P, record.final.P)
    np.testing.assert_array_equal(Q, record.final.Q)


def test_one_worker_is_exact_and_chunks_change_nothing():
    assert FPSGD.make(workers=1).determinism() == "exact"
    assert FPSGD.make(workers=2).determinism() == "statistical"
    whole, cut = run(1)[1], run(1, chunk=3)[1]
    np.testing.assert_array_equal(whole.final.P, cut.final.P)
    np.testing.assert_array_equal(whole.final.Q, cut.final.Q)
    assert np.diff([c.updates for c in cut.checkpoints]).max() <= 3
    assert [e["row"] for e in taken(whole)] == [e["row"] for e in taken(cut)]


def test_the_first_iteration_trains_eight_features():
    _, record = run(2, epochs=1, rank=12)
    np.testing.assert_array_equal(record.final.P[:, 8:], record.initial.P[:, 8:])
    assert (record.final.P[:, :8] != record.initial.P[:, :8]).any()
    _, record = run(2, epochs=2, rank=12)
    assert (record.final.P[:, 8:12] != record.initial.P[:, 8:12]).any()


def test_waits_have_reasons():
    _, record = run(5, grid=5)
    waits = [s for s in record.spans if s["op"] == "wait"]
    assert {s["reason"] for s in waits} <= {"no-free-block", "barrier"}
    assert "barrier" in {s["reason"] for s in waits}  # all pause when the iteration is over


def test_the_grid_follows_libmfs_rule():
    assert FPSGD.make(workers=4).blocks_a_side == 9
    assert FPSGD.make(workers=4, grid=20).blocks_a_side == 20
    problem = problem_of()
    assert "set grid to 7" in (FPSGD.make(workers=3, grid=2).supports(problem) or "")
    assert FPSGD.make(workers=3, grid=3).supports(problem) is None


def test_ratings_are_ordered_by_the_longer_side_within_a_block():
    for m, n, name in ((30, 10, "u"), (10, 30, "i")):
        layout = fpsgd_layout(FPSGD.make(workers=1, grid=2), problem_of(m=m, n=n))
        for b in range(4):
            part = getattr(layout, name)[slice(*layout.offsets[b : b + 2])]
            assert (np.diff(part) >= 0).all()


def test_objective_is_in_the_users_units():
    problem = problem_of()
    solver = FPSGD.make(rank=4, epochs=1, workers=1, lam=0.5)
    f = train(solver, problem).final
    part = problem.train
    P, Q = np.sqrt(f.scale) * f.P.astype(float), np.sqrt(f.scale) * f.Q.astype(float)
    norms = (P[part.u] ** 2).sum() + (Q[part.i] ** 2).sum()
    assert solver.objective(problem, f, 7.0) == pytest.approx(7.0 + 0.5 * norms, rel=1e-5)
