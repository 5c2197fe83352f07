"""DSGD: strata, barriers, and one result for any number of workers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.solvers.dsgd import DSGD
from mfviz.solvers.stratified import STRATA, stratum_schedule
from tests.solvers.recorded import Record, train
from tests.solvers.replay import problem_of
from tests.solvers.test_sgd import bits


def run(workers: int = 2, chunk: int | None = None, problem=None, **params) -> Record:
    wanted = {"rank": 5, "epochs": 3, "grid": 4, "seed": 1, **params}
    return train(DSGD.make(workers=workers, **wanted), problem or problem_of(), chunk=chunk)


@pytest.mark.parametrize("schedule", ["bold", "constant"])
def test_the_result_does_not_depend_on_the_workers(schedule: str):
    wanted = bits(run(1, schedule=schedule).final)
    for workers in (2, 3, 4, 7):
        assert bits(run(workers, schedule=schedule).final) == wanted
    assert bits(run(2, schedule=schedule, grid=5).final) != wanted


@pytest.mark.parametrize("chunk", [1, 3, 50, 401])
def test_nor_on_the_chunks(chunk: int):
    record = run(3, chunk=chunk)
    assert bits(record.final) == bits(run(2).final)
    assert np.diff([c.updates for c in record.checkpoints]).max() <= chunk


def test_blocks_of_a_stratum_share_no_row_and_no_column():
    """A block's stratum is the number of barriers that its lane has passed in the epoch."""
    record = run(2)
    for epoch in (1, 2, 3):
        strata: dict[int, list[list[str]]] = {number: [] for number in range(4)}
        for lane in ("W0", "W1"):
            spans = [s for s in record.spans if (s["lane"], s["epoch"]) == (lane, epoch)]
            passed = 0
            for s in sorted(spans, key=lambda s: s["start_ns"]):
                passed += s["reason"] == "barrier"
                if s["ratings"]:
                    strata[passed].append(s["block"].split(","))
            assert passed == 4
        for blocks in strata.values():
            for taken in zip(*blocks, strict=True):
                assert len(taken) == len(set(taken))
        assert len({tuple(b) for blocks in strata.values() for b in blocks}) == 16


def test_no_block_begins_before_the_stratum_before_it_has_ended():
    """Both lanes' work of a stratum ends before either lane leaves the barrier behind it."""
    record = run(2, problem=problem_of(m=200, n=200, nnz=20_000), epochs=1)
    lanes = [[s for s in record.spans if s["lane"] == lane] for lane in ("W0", "W1")]
    waits = [[s for s in lane if s["reason"] == "barrier"] for lane in lanes]
    for mine, others in ((0, 1), (1, 0)):
        for number, wait in enumerate(waits[mine]):
            assert wait["end_ns"] >= waits[others][number]["start_ns"]


def test_workers_above_the_grid_only_wait():
    record = run(6, grid=2)
    idle = [s for s in record.spans if s["lane"] in ("W2", "W3", "W4", "W5")]
    assert idle
    assert {s["op"] for s in idle if s["name"] != "loss"} == {"wait"}


def test_a_worker_keeps_its_row_blocks():
    record = run(3, grid=5)
    for s in record.spans:
        if s["ratings"]:
            assert int(s["block"].split(",")[0]) % 3 == int(s["lane"][1:])


def test_without_barriers_nobody_waits_and_all_is_visited():
    record = run(2, barrier=False)
    assert not [s for s in record.spans if s["op"] == "wait"]
    assert record.checkpoints[-1].updates == 3 * problem_of().train.nnz
    assert DSGD.make(workers=2, barrier=False).determinism() == "statistical"
    assert DSGD.make(workers=1, barrier=False).determinism() == "exact"


def test_dealing_at_random_evens_the_blocks_out():
    """Ids sorted by popularity make unequal blocks; that is what ``shuffle`` off shows."""
    problem = problem_of(m=200, n=200, nnz=6000)

    def largest(shuffle: bool) -> int:
        record = run(1, problem=problem, shuffle=shuffle, epochs=1)
        return max(s["ratings"] for s in record.spans)

    assert largest(False) > 2 * largest(True)


@settings(max_examples=30, deadline=None)
@given(d=st.integers(1, 9), kind=st.sampled_from(STRATA), seed=st.integers(0, 99))
def test_strata_cover_the_grid_once(d: int, kind: str, seed: int):
    schedule = stratum_schedule(kind, d, np.random.default_rng(seed))
    assert all(sorted(stratum) == list(range(d)) for stratum in schedule.tolist())
    assert all(sorted(column) == list(range(d)) for column in schedule.T.tolist())


def test_strata_are_drawn_anew_each_epoch_but_for_seq():
    rng = np.random.default_rng(0)
    for kind in STRATA:
        drawn = [stratum_schedule(kind, 6, rng).tobytes() for _ in range(4)]
        assert len(set(drawn)) == (1 if kind == "seq" else 4)


def test_bold_driver_ends_lower_than_a_rate_that_is_too_large():
    problem = problem_of(m=80, n=60, nnz=3000)

    def loss(schedule: str) -> float:
        final = run(2, problem=problem, schedule=schedule, lr=0.25, epochs=15, rank=8).final
        part = problem.train
        return float(np.mean((part.r - final.predict(part.u, part.i)) ** 2))

    assert loss("bold") < loss("constant")


def test_empty_blocks_are_no_spans():
    record = run(2, problem=problem_of(m=3, n=2, nnz=5), grid=8)
    assert all(s["ratings"] for s in record.spans if s["op"] == "kernel" and s["name"] != "loss")
    ends = [c.updates for c in record.checkpoints if c.kind == "epoch"]
    assert list(itertools.pairwise(ends)) == [(0, 5), (5, 10), (10, 15)]
