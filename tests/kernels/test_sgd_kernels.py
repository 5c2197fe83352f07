"""What ends a call of the kernels of sgd: the last rating, the time, a signal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.kernels.order import TRIPLE, shuffle
from mfviz.kernels.registers import parts_of
from mfviz.kernels.sgd import Rates, sgd, sgd_until, shuffle_until
from mfviz.telemetry.clock import SpanBuffer

COUNT, LONG = 20_000, 10**12
SOME = np.float32(0.01)
RATES = Rates(mu=SOME, lr=SOME, lam=SOME, lr_bias=SOME, lam_bias=SOME, biased=True)


def model() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    P, Q = rng.normal(size=(2, 50, 32)).astype(np.float32)
    return P, Q, *np.zeros((2, 50), np.float32)


@pytest.fixture
def records() -> np.ndarray:
    rng, found = np.random.default_rng(1), np.zeros(COUNT, dtype=TRIPLE)
    found["u"], found["i"] = rng.integers(0, 50, (2, COUNT))
    found["r"] = rng.normal(size=COUNT)
    return found


@pytest.mark.parametrize(("most_ns", "signal"), [(LONG, 1), (0, 0), (1, 0), (LONG, 0)])
def test_calls_go_on_where_the_last_one_ended(records: np.ndarray, most_ns: int, signal: int):
    whole, parts, spans = model(), model(), SpanBuffer.make(1)
    sgd(records, 0, COUNT, *whole, RATES)
    at, calls, wanted = 0, 0, np.full(8, signal)
    lane = (max(most_ns, 1), wanted, spans.rows, spans.fill, 0)
    while at < COUNT:
        at, calls = sgd_until(records, at, COUNT, *lane, *parts, RATES), calls + 1
    assert (calls == 1) == (most_ns == LONG and signal == 0)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    drained = list(spans.drain(0, 1, ("update",)))
    assert sum(s["ratings"] for s in drained) == COUNT
    assert len(drained) == calls


def test_a_shuffle_in_calls_is_the_shuffle(records: np.ndarray):
    whole, spans = records.copy(), SpanBuffer.make(1)
    shuffle(whole, 0, np.uint64(4), COUNT, 0)
    left, calls, lane = COUNT, 0, (LONG, np.ones(8, np.int64), spans.rows, spans.fill, 0)
    while left:
        left, calls = shuffle_until(records, 0, COUNT, np.uint64(4), left, *lane), calls + 1
    assert calls == 5
    np.testing.assert_array_equal(whole, records)
    assert {s["op"] for s in spans.drain(0, 1, ("update", "shuffle"))} == {"host"}


def test_rows_in_registers_and_rows_in_memory_have_the_same_bits(records: np.ndarray):
    held, loaded = model(), model()
    sgd(records, 0, COUNT, *held, RATES._replace(parts=parts_of(32)))
    sgd(records, 0, COUNT, *loaded, RATES)
    assert all(np.array_equal(a, b) for a, b in zip(held, loaded, strict=True))
