"""The barrier inside the kernel, between real threads, and the shuffle of blocks."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from mfviz.backends.host import Crew
from mfviz.kernels.order import TRIPLE
from mfviz.kernels.strata import barrier, shuffle_blocks
from mfviz.telemetry.clock import SpanBuffer
from tests import naive


@numba.njit(nogil=True)
def _rounds(count, done, seen, counter, rows, fill, worker, workers):
    """In each round write one's own number, wait, and note the least number of all."""
    for k in range(count):
        done[worker, 0] = k + 1
        barrier(counter, (2 * k + 1) * workers, rows, fill, worker)
        seen[worker, k] = done[:, 0].min()
        barrier(counter, (2 * k + 2) * workers, rows, fill, worker)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_nobody_passes_before_all_have_come(workers: int):
    count = 50
    done, seen = np.zeros((workers, 8), np.int64), np.zeros((workers, count), np.int64)
    counter, spans = np.zeros(8, np.int64), SpanBuffer.make(workers)
    with Crew(workers) as crew:
        crew.run(lambda w: _rounds(count, done, seen, counter, spans.rows, spans.fill, w, workers))
    assert (seen == np.arange(1, count + 1)).all()
    waits = list(spans.drain(0, 1, ("update", "shuffle", "wait")))
    assert len(waits) == 2 * count * workers
    assert {(s["op"], s["reason"]) for s in waits} == {("wait", "barrier")}


def test_blocks_are_shuffled_each_by_its_own_seed_whoever_does_it():
    offsets = np.array([0, 10, 10, 25, 60])
    results = []
    for workers in (1, 3):
        records = np.zeros(60, dtype=TRIPLE)
        records["u"] = np.arange(60)
        for worker in range(workers):
            shuffle_blocks(records, offsets, np.uint64(11), worker, workers)
        results.append(records["u"].tolist())
    wanted: list[int] = []
    for b in range(4):
        part = range(*offsets[b : b + 2])
        wanted += naive.shuffled(part, naive.part_seed(11, b))
    assert results == [wanted, wanted]
