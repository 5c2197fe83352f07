"""The inner loop of DSGD: every worker's way through a list of steps, with barriers inside.

A stratum is a set of blocks that share no row block and no column block, so its blocks may be
updated at the same time with the result of updating them one after the other. The barrier between
strata is a counter that the workers spin on; taken in Python it would cost a change of the owner
of the interpreter's lock.
"""

from __future__ import annotations

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.order import part_seed, shuffle
from mfviz.kernels.sgd import sgd
from mfviz.kernels.waits import wait_for

__all__ = ["barrier", "run_steps", "shuffle_blocks"]


@kernel
def shuffle_blocks(ratings, offsets, seed, worker, workers):
    """Shuffle the records of each block in place; this worker takes every ``workers``-th block.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE, updated in place
    offsets : (blocks + 1,) int64
    seed : uint64
    worker, workers : int
    """
    for block in range(worker, offsets.shape[0] - 1, workers):
        count = offsets[block + 1] - offsets[block]
        shuffle(ratings, offsets[block], part_seed(seed, block), count, 0)


@part
def barrier(counter, arrivals, rows, fill, worker):
    """Wait until ``arrivals`` workers in all have come; write the wait as a span.

    Parameters
    ----------
    counter : (8,) int64
        Arrivals so far, in element 0; it only grows.
    arrivals : int
        Workers times the number of barriers up to and with this one.
    rows, fill, worker
        As in :func:`mfviz.kernels.spans.write_span`.
    """
    begin = simd.clock_ns()
    simd.atomic_add(counter, 0, 1)
    wait_for(counter, 0, arrivals)
    end, none = simd.clock_ns(), spans.NO_BLOCK
    spans.write_span(rows, fill, worker, begin, end, spans.WAIT, 0, none, none, spans.BARRIER, 2)


@kernel
def run_steps(
    steps, first, last, ratings, offsets, schedule, seed, counter, barriers, waits,
    worker, workers, P, Q, bu, bi, rates, rows, fill,
):  # fmt: skip
    """Do this worker's part of steps ``first`` to ``last``; updates P, Q, bu and bi in place.

    Parameters
    ----------
    steps : (count, 6) int64
        Stratum, first row block, last row block (not included), low, high, whether a barrier
        follows. In a step each of these row blocks visits ratings ``low`` to ``high`` of its
        block.
    first, last : int
    ratings : (nnz,) TRIPLE
        Ordered by block; a block is shuffled in place before its first rating is visited.
    offsets : (d * d + 1,) int64
        Block ``row * d + col`` owns records ``offsets[block] : offsets[block + 1]``.
    schedule : (d, d) int64
        Column block of each row block, stratum by stratum.
    seed : uint64
        Of this epoch's shuffle; 0: blocks are visited in the order in which they lie.
    counter : (8,) int64
        Of :func:`barrier`.
    barriers : int
        Barriers passed before this call.
    waits : bool
        Whether there are barriers; without them workers race into each other's columns.
    worker, workers : int
        Row block ``row`` belongs to worker ``row % workers``.
    P, Q, bu, bi, rates
        As in :func:`mfviz.kernels.sgd.sgd`.
    rows, fill
        As in :func:`mfviz.kernels.spans.write_span`; tags: 0 update, 1 shuffle, 2 barrier.

    References
    ----------
    Gemulla, Nijkamp, Haas, Sismanis, KDD 2011, section 4.
    """
    d = schedule.shape[1]
    for s in range(first, last):
        for row in range(steps[s, 1], steps[s, 2]):
            if row % workers == worker:
                block = row * d + schedule[steps[s, 0], row]
                if steps[s, 3] == 0 and seed != 0:
                    _shuffle_block(ratings, offsets, block, seed, d, rows, fill, worker)
                start = offsets[block] + steps[s, 3]
                stop = min(offsets[block] + steps[s, 4], offsets[block + 1])
                if start < stop:
                    begin = simd.clock_ns()
                    sgd(ratings, start, stop, P, Q, bu, bi, rates)
                    spans.write_span(
                        rows, fill, worker, begin, simd.clock_ns(), spans.KERNEL, stop - start,
                        row, block % d, spans.NO_REASON, 0,
                    )  # fmt: skip
        if waits and steps[s, 5] != 0:
            barriers += 1
            barrier(counter, barriers * workers, rows, fill, worker)


@part
def _shuffle_block(ratings, offsets, block, seed, d, rows, fill, worker):
    """Shuffle one block of a d x d grid in place; write a span where there is work to do."""
    begin, count = simd.clock_ns(), offsets[block + 1] - offsets[block]
    if count < 2:
        return
    shuffle(ratings, offsets[block], part_seed(seed, block), count, 0)
    row, col, end = block // d, block % d, simd.clock_ns()
    spans.write_span(rows, fill, worker, begin, end, spans.HOST, 0, row, col, spans.NO_REASON, 1)
