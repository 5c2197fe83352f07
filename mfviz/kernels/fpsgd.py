"""FPSGD's inner loop: the free-block scheduler, and blocks visited by the rule of LIBMF.

Workers take the free block that was updated least, without a barrier until the iteration is over.
The scheduler is a table behind a spin lock inside the kernel; each choice is recorded, so that a
run can be replayed rating by rating.

References
----------
Zhuang, Chin, Juan, Lin, RecSys 2013 (scheduler, partial random method). The rule is in
:mod:`mfviz.kernels.row_rates`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfviz.kernels import simd, spans, waits
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.order import random_bits
from mfviz.kernels.row_rates import measure_norms, visit_block

__all__ = ["BEGUN", "TAKEN", "Scheduler", "all_have_begun", "begin_iteration", "fpsgd_until"]

_SEGMENT = 2048  # ratings between two looks at the clock

# Elements of Scheduler.shared, one cache line apart.
LOCK, TAKEN, DRAWN, RELEASED = 0, 8, 16, 24
BEGUN = RELEASED + 1  # nothing is released while workers begin
NONE_FREE, NONE_LEFT = -1, -2


class Scheduler(NamedTuple):
    """State that the workers share.

    Attributes
    ----------
    shared : (32,) int64
        Lock, blocks taken in this iteration, random numbers drawn, blocks released and, beside
        that, workers that have begun the iteration.
    seed : uint64
    busy : (2, d) int64
        Row blocks and column blocks in use.
    counts : (d, d) int64
        Times that each block was given out.
    keys : (d, d) float64
        Count plus a random fraction: the free block with the least key is next.
    choices : (quota, 3) int64
        Row, column and worker of each choice of this iteration, in their order.
    held : (workers, 8) int64
        Block that a worker holds (-1: none) and the position of its next rating.
    """

    shared: np.ndarray
    seed: np.uint64
    busy: np.ndarray
    counts: np.ndarray
    keys: np.ndarray
    choices: np.ndarray
    held: np.ndarray


@part(inline="always")
def _fraction(s):
    """Return a random number in [0, 1); call it only with the lock held."""
    s.shared[DRAWN] += 1
    return (random_bits(s.seed, np.uint64(s.shared[DRAWN])) >> np.uint64(11)) * 2.0**-53


@part
def _take(s, worker):
    """Give the worker the free block with the least key; return it, or why there is none."""
    waits.lock(s.shared, LOCK)
    d = s.keys.shape[0]
    best = np.int64(NONE_LEFT)
    if s.shared[TAKEN] < s.choices.shape[0]:
        best = np.int64(NONE_FREE)
        least = np.inf
        for row in range(d):
            if s.busy[0, row] != 0:
                continue
            for col in range(d):
                if s.busy[1, col] == 0 and s.keys[row, col] < least:
                    best, least = row * d + col, s.keys[row, col]
    if best >= 0:
        row, col = best // d, best % d
        s.busy[0, row] = s.busy[1, col] = 1
        s.counts[row, col] += 1
        at = s.shared[TAKEN]
        s.choices[at, 0], s.choices[at, 1], s.choices[at, 2] = row, col, worker
        s.shared[TAKEN] = at + 1
    waits.unlock(s.shared, LOCK)
    return best


@part
def _release(s, block):
    """Give a block back; its key becomes its count plus a new fraction."""
    waits.lock(s.shared, LOCK)
    d = s.keys.shape[0]
    row, col = block // d, block % d
    s.keys[row, col] = s.counts[row, col] + _fraction(s)
    s.busy[0, row] = s.busy[1, col] = 0
    waits.unlock(s.shared, LOCK)
    simd.atomic_add(s.shared, RELEASED, 1)


@kernel
def begin_iteration(s, P, Q, GP, GQ, worker):
    """Do this worker's part of measuring the rows' norms, and count it as done.

    Parameters
    ----------
    s : Scheduler
        ``shared[BEGUN]`` was 0 before the first worker began.
    P, Q, GP, GQ
        As in :func:`mfviz.kernels.row_rates.measure_norms`.
    worker : int
    """
    workers = s.held.shape[0]
    measure_norms(P, GP, worker, workers)
    measure_norms(Q, GQ, worker, workers)
    simd.atomic_add(s.shared, BEGUN, 1)


@kernel
def all_have_begun(s, signal):
    """Wait until all workers have begun the iteration; False if there was a signal before.

    Parameters
    ----------
    s : Scheduler
    signal : (8,) int64
        As in :func:`fpsgd_until`: who waits for a worker that stands at the gate would wait there
        for good.
    """
    tries = 0
    while simd.atomic_load(s.shared, BEGUN) < s.held.shape[0]:
        if simd.atomic_load(signal, 0) != 0:
            return False
        tries += 1
        waits.relax(tries)
    return True


@kernel
def fpsgd_until(
    ratings, offsets, s, worker, most, most_ns, signal, X, Y, GX, GY, rates, parts, rows, fill
):  # fmt: skip
    """Take and visit blocks until the iteration's quota is given out or the time is up.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE
        Ordered by block.
    offsets : (d * d + 1,) int64
    s : Scheduler
    worker : int
    most, most_ns : int
        Ratings and time after which the call returns; a block in hand is kept for the next call.
    signal : (8,) int64
        The call returns, too, where element 0 is not 0; see :class:`mfviz.backends.host.Gate`.
    X, Y, GX, GY, rates, parts
        As in :func:`mfviz.kernels.row_rates.visit_block`.
    rows, fill
        As in :func:`mfviz.kernels.spans.write_span`; tags: 0 update, 2 wait.

    Returns
    -------
    int
        Ratings visited, or -1 if there is nothing left to take in this iteration.
    """
    begin = simd.clock_ns()
    now, visited, d = begin, 0, s.keys.shape[0]
    waiting, until = np.int64(-1), begin + most_ns
    while visited < most and now < until:
        if s.held[worker, 0] < 0:
            released = simd.atomic_load(s.shared, RELEASED)
            block = _take(s, worker)
            if block == NONE_FREE:
                waiting = now if waiting < 0 else waiting
                now = _await_release(s.shared, released, until, signal)
                until = now if simd.atomic_load(signal, 0) != 0 else until
                continue
            now = _end_wait(waiting, rows, fill, worker)
            waiting = np.int64(-1)
            if block == NONE_LEFT:
                return visited if visited > 0 else -1
            s.held[worker, 0], s.held[worker, 1] = block, offsets[block]
        block, at = s.held[worker, 0], s.held[worker, 1]
        end, came, start = offsets[block + 1], at, now
        while at < end and visited < most and now < until:
            stop = min(at + _SEGMENT, end, at + most - visited)
            visit_block(ratings, at, stop, X, Y, GX, GY, rates, parts)
            visited += stop - at
            at, now = stop, simd.clock_ns()
            if simd.atomic_load(signal, 0) != 0:
                until = now
        row, col = block // d, block % d
        spans.write_span(rows, fill, worker, start, now, spans.KERNEL, at - came, row, col, 0, 0)
        s.held[worker, 1] = at
        if at == end:
            s.held[worker, 0] = -1
            _release(s, block)
    _end_wait(waiting, rows, fill, worker)
    return visited


@part
def _await_release(shared, released, until, signal):
    """Spin until another block is released, a time or a signal; return the time."""
    tries, now = 0, simd.clock_ns()
    while (
        simd.atomic_load(shared, RELEASED) == released
        and now < until
        and simd.atomic_load(signal, 0) == 0
    ):
        tries += 1
        waits.relax(tries)
        now = simd.clock_ns()
    return now


@part
def _end_wait(since, rows, fill, worker):
    """Write the wait that began at ``since``, if there was one (-1: none); return the time."""
    end, none, why = simd.clock_ns(), spans.NO_BLOCK, spans.NO_FREE_BLOCK
    if since >= 0:
        spans.write_span(rows, fill, worker, since, end, spans.WAIT, 0, none, none, why, 2)
    return end
