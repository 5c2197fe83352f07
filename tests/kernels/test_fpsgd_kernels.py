"""The scheduler of FPSGD, driven by hand: who gets which block, and how long others wait."""

from __future__ import annotations

import numpy as np
import pytest

from mfviz.kernels.fpsgd import Scheduler, fpsgd_until
from mfviz.kernels.order import TRIPLE
from mfviz.kernels.registers import parts_of
from mfviz.kernels.row_rates import RowRates
from mfviz.telemetry.clock import SpanBuffer

LONG = 10**12  # ns
QUARTER = np.float32(1 / 4)
RATES = RowRates(lr=QUARTER, lam=QUARTER, per_slow=QUARTER, per_fast=QUARTER, fast=True)


class Bench:
    """A d x d grid with ``each`` ratings a block, and two workers at one scheduler."""

    def __init__(self, d: int, each: int) -> None:
        rng = np.random.default_rng(0)
        self.records = np.zeros(d * d * each, dtype=TRIPLE)
        block = np.repeat(np.arange(d * d), each)
        self.records["u"], self.records["i"] = block // d, block % d
        self.records["r"] = 1.0
        self.offsets = np.arange(d * d + 1) * each
        self.scheduler = Scheduler(
            shared=np.zeros(32, np.int64),
            seed=np.uint64(5),
            busy=np.zeros((2, d), np.int64),
            counts=np.zeros((d, d), np.int64),
            keys=rng.random((d, d)),
            choices=np.zeros((d * d, 3), np.int64),
            held=np.full((2, 8), -1, np.int64),
        )
        self.P, self.Q = (rng.random((d, 16), dtype=np.float32) for _ in range(2))
        self.GP, self.GQ = (np.ones((d, 4), np.float32) for _ in range(2))
        self.spans = SpanBuffer.make(2)
        self.signal = np.zeros(8, np.int64)

    def call(self, worker: int, most: int = 10**9, most_ns: int = LONG) -> int:
        return fpsgd_until(
            self.records, self.offsets, self.scheduler, worker, most, most_ns, self.signal,
            self.P, self.Q, self.GP, self.GQ, RATES, parts_of(16),
            self.spans.rows, self.spans.fill,
        )  # fmt: skip

    def drained(self) -> list[dict]:
        return list(self.spans.drain(0, 1, ("update", "shuffle", "wait")))


def test_a_worker_waits_for_a_held_block_and_says_why():
    """On a 2 x 2 grid a worker in the middle of (0, 0) leaves only (1, 1) to the other one."""
    bench = Bench(d=2, each=10)
    assert bench.call(0, most=4) == 4
    assert bench.call(1, most=10) == 10
    row, col = bench.scheduler.choices[0, :2]
    bench.scheduler.busy[:, 1 - row] = bench.scheduler.busy[:, 1 - col] = 1  # a third one is in it
    bench.drained()
    assert bench.call(1, most_ns=10**6) == 0
    (wait,) = bench.drained()
    assert (wait["lane"], wait["op"], wait["reason"]) == ("W1", "wait", "no-free-block")
    assert wait["end_ns"] - wait["start_ns"] >= 5 * 10**5


def test_all_blocks_are_given_out_and_then_no_more():
    bench = Bench(d=3, each=5)
    assert bench.call(0) == 9 * 5
    assert bench.call(0) == bench.call(1) == -1
    assert (bench.scheduler.counts == 1).all()
    assert not bench.scheduler.busy.any()


def test_the_least_key_that_is_free_comes_first():
    bench = Bench(d=3, each=5)
    keys = bench.scheduler.keys.copy()
    bench.call(0, most=1)
    row, col = divmod(int(keys.argmin()), 3)
    assert bench.scheduler.choices[0].tolist() == [row, col, 0]
    keys[row, :] = keys[:, col] = np.inf
    bench.call(1, most=1)
    assert bench.scheduler.choices[1].tolist() == [*divmod(int(keys.argmin()), 3), 1]


def test_keys_are_counts_plus_a_fraction_after_the_visit():
    bench = Bench(d=2, each=3)
    bench.call(0)
    fractions = bench.scheduler.keys - bench.scheduler.counts
    assert ((fractions >= 0) & (fractions < 1)).all()
    assert len(np.unique(fractions)) == 4


@pytest.mark.parametrize("most", [1, 2, 7])
def test_a_block_is_taken_up_where_it_was_left(most: int):
    whole, cut = Bench(d=2, each=5), Bench(d=2, each=5)
    whole.call(0)
    while (visits := cut.call(0, most=most)) >= 0:
        assert visits <= most
    np.testing.assert_array_equal(whole.P, cut.P)
    np.testing.assert_array_equal(whole.GQ, cut.GQ)
    assert sum(s["ratings"] for s in cut.drained()) == 20


def test_a_signal_brings_a_worker_back_soon():
    bench = Bench(d=1, each=50_000)
    bench.signal[0] = 1
    assert 0 < bench.call(0) < 50_000
    bench.signal[0] = 0
    assert bench.call(0) > 0
    assert bench.call(0) == -1
