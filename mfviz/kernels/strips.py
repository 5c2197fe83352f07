"""Strip SGD's way through the ratings: strips of items that stay in cache, runs of one user.

A *strip* is a set of items whose rows of Q fit in the second-level cache; the ratings of a strip
are ordered by user, and a user's ratings in a strip are a *run* (see :mod:`mfviz.kernels.runs`).

Workers go through a Latin square: in each round every worker has a range of users and a group of
strips of its own, so that nothing is written by two at the same time, and all wait for the others
at the end of the round.

Items are numbered by strip here: rows and biases of a group lie together, apart from those of the
other groups. In the order of the ratings' own numbers, biases of two groups share cache lines and
a core that reads a row fetches the next ones, which are another worker's: each write then waits
until the other core has given the line back, and two workers are as slow as one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfviz.kernels import simd, spans
from mfviz.kernels.compiling import kernel, part
from mfviz.kernels.order import part_seed, shuffle_numbers
from mfviz.kernels.runs import GROUP, visit_run
from mfviz.kernels.strata import barrier
from mfviz.kernels.uncounted import uncounted

__all__ = ["NEIGHBOURS", "OF_ALL", "Items", "Model", "Strips", "run_rounds", "shuffle_users"]

NEIGHBOURS = 16  # users that stay together: their ratings and rows lie side by side in memory

_AHEAD = 2  # users whose rows and ratings are asked for before they are needed

# Columns of a worker's cursor: strips of the round done, place in the order of users, ratings of
# that user's run done, ratings of the round done, ratings done since the start.
TURN, PLACE, DONE, OF_ROUND, OF_ALL = range(5)


class Strips(NamedTuple):
    """Ratings in the order of strips and, within a strip, of users.

    Attributes
    ----------
    i, r : (nnz,) int32, float32
        ``i`` are places in :attr:`Items.order`.
    runs : (strips * m + 2,) int64
        The run of user ``u`` in strip ``s`` is ``runs[s * m + u] : runs[s * m + u + 1]``.
    users : (m,) int32
        Users in the order of their visits; permuted within a range only.
    ranges : (workers + 1,) int64
        Places in ``users`` of each worker's range.
    turns : (strips of a group,) int64
        Order in which the strips of a group are visited.
    schedule : (workers, workers) int64
        Group of each worker, round by round.
    """

    i: np.ndarray
    r: np.ndarray
    runs: np.ndarray
    users: np.ndarray
    ranges: np.ndarray
    turns: np.ndarray
    schedule: np.ndarray


class Model(NamedTuple):
    """What is trained, items by strip; see :func:`mfviz.kernels.runs.visit_run`."""

    P: np.ndarray
    Q: np.ndarray
    bu: np.ndarray
    bi: np.ndarray


class Items(NamedTuple):
    """Where the rows of items lie for everybody else.

    Attributes
    ----------
    order : (n,) int32
        Items by group, strip and number of ratings: item ``order[at]`` has row ``at``.
    firsts : (groups + 1,) int64
        Places in ``order`` of each group.
    Q, bi : (n, f), (n,) float32, written at the end of an epoch
        In the order of the items' own numbers.
    """

    order: np.ndarray
    firsts: np.ndarray
    Q: np.ndarray
    bi: np.ndarray


@part
def shuffle_users(users, low, high, seed):
    """Write users ``low`` to ``high`` to their places in a random order of neighbourhoods.

    Parameters
    ----------
    users : (m,) int32, written from ``low`` to ``high``
    low, high : int
    seed : uint64

    Notes
    -----
    In a random order of single users each run begins with misses of several caches; on ratings
    like those of ml-10m that costs a quarter of the speed, and gains nothing in RMSE.
    """
    numbers = np.arange(-(-(high - low) // NEIGHBOURS))
    shuffle_numbers(numbers, 0, numbers.shape[0], seed)
    at = low
    for number in numbers:
        first = low + number * NEIGHBOURS
        for u in range(first, min(first + NEIGHBOURS, high)):
            users[at] = u
            at += 1


@kernel
def run_rounds(
    s, first, last, until, seed, cursors, counter, barriers, worker, model, items, rates, lanes,
    fill,
):  # fmt: skip
    """Do this worker's part of rounds ``first`` to ``last`` and some of the next.

    Parameters
    ----------
    s : Strips
    first, last : int
        Rounds to complete, each with the barrier at its end.
    until : int
        Ratings of round ``last`` to visit, counted from the start of the round; a group of four is
        never cut. 0: leave that round alone.
    seed : uint64
        Of this epoch's order of users, which is drawn before round 0; 0: it stays as it is.
    cursors : (workers, 8) int64, updated
        Where each worker is; zeros at first.
    counter, barriers
        As in :func:`mfviz.kernels.strata.run_steps`.
    worker : int
    model : Model
    items : Items
        Rows and biases of the model's items are copied to them in the last round of the square.
    rates
        As in :func:`mfviz.kernels.runs.visit_run`.
    lanes, fill
        As in :func:`mfviz.kernels.spans.write_span`, there called rows; tags: 0 update, 1 shuffle,
        2 barrier, 4 copy.
    """
    s, model = uncounted(s), uncounted(model)
    workers, cursor = s.schedule.shape[0], cursors[worker]
    if seed != 0:
        begin, none = simd.clock_ns(), spans.NO_BLOCK
        low, high = s.ranges[worker], s.ranges[worker + 1]
        shuffle_users(s.users, low, high, part_seed(seed, worker))
        end = simd.clock_ns()
        spans.write_span(lanes, fill, worker, begin, end, spans.HOST, 0, none, none, 0, 1)
    for k in range(first, last):
        _visit_group(
            s,
            s.schedule[k, worker],
            s.i.shape[0],
            cursor,
            worker,
            model,
            rates,
            lanes,
            fill,
        )
        cursor[TURN] = cursor[PLACE] = cursor[DONE] = cursor[OF_ROUND] = 0
        if k == workers - 1:
            _give_back(items, s.schedule[k, worker], worker, model, lanes, fill)
        if workers > 1:
            barriers += 1
            barrier(counter, barriers * workers, lanes, fill, worker)
    if until > 0:
        group = s.schedule[last, worker]
        _visit_group(s, group, until, cursor, worker, model, rates, lanes, fill)


@part
def _give_back(items, group, worker, model, lanes, fill):
    """Copy the rows and biases of a group to where everybody else looks for them."""
    begin, none = simd.clock_ns(), spans.NO_BLOCK
    for at in range(items.firsts[group], items.firsts[group + 1]):
        item = items.order[at]
        items.bi[item] = model.bi[at]
        for k in range(0, model.Q.shape[1], simd.LANES):
            simd.store(items.Q, item, k, simd.load(model.Q, at, k))
    end = simd.clock_ns()
    spans.write_span(lanes, fill, worker, begin, end, spans.HOST, 0, none, none, 0, 4)


@part
def _visit_group(s, group, until, cursor, worker, model, rates, lanes, fill):
    """Go on in the worker's own block of a group until so many ratings of it are done."""
    while cursor[TURN] < s.turns.shape[0] and cursor[OF_ROUND] < until:
        strip = group * s.turns.shape[0] + s.turns[cursor[TURN]]
        begin, before = simd.clock_ns(), cursor[OF_ROUND]
        complete = _visit_strip(s, strip, until, cursor, worker, model, rates)
        end, visits = simd.clock_ns(), cursor[OF_ROUND] - before
        if visits > 0:
            spans.write_span(
                lanes, fill, worker, begin, end, spans.KERNEL, visits, worker, strip, 0, 0
            )
        cursor[OF_ALL] += visits
        if complete:
            cursor[TURN] += 1
            cursor[PLACE] = cursor[DONE] = 0


@part
def _visit_strip(s, strip, until, cursor, worker, model, rates):
    """Go on in a strip; return whether all of the worker's users are done there."""
    first, count = s.ranges[worker], s.ranges[worker + 1] - s.ranges[worker]
    base, place, visited = strip * s.users.shape[0], cursor[PLACE], cursor[OF_ROUND]
    done = cursor[DONE]
    while place < count and visited < until:
        if place + _AHEAD < count:
            _ask_for(s, base, s.users[first + place + _AHEAD], model.P)
        u = s.users[first + place]
        start, end = s.runs[base + u] + done, s.runs[base + u + 1]
        groups = (until - visited + GROUP - 1) // GROUP
        stop = min(end, start + groups * GROUP)
        if start < stop:
            visit_run(u, start, stop, s.i, s.r, model.P, model.Q, model.bu, model.bi, rates)
            visited += stop - start
        if stop == end:
            place, done = place + 1, 0
        else:
            done += stop - start
    cursor[PLACE], cursor[DONE], cursor[OF_ROUND] = place, done, visited
    return place == count


@part(inline="always")
def _ask_for(s, base, u, P):
    """Prefetch the row of a user and the beginning of a run."""
    start = s.runs[base + u]
    for t in range(start, start + 32, 16):
        simd.prefetch_item(s.i, t)
        simd.prefetch_item(s.r, t)
    for k in range(0, min(P.shape[1], 256), simd.LANES):
        simd.prefetch(P, u, k)
