"""Ratings into strips by a counting sort: one pass counts, one pass places.

The key of a rating is its strip and, within the strip, its user. Each worker counts and places
the users of its own range, for which it looks at all ratings: no atomics, and the order does not
depend on who was faster. Ratings of one key keep their order. A file sorted by user is read and
written in sequence; any other order costs cache misses, which are asked for ahead.

References
----------
Knuth, The Art of Computer Programming 3, section 5.2, distribution counting.
"""

from __future__ import annotations

import numba
import numpy as np

from mfviz.kernels import simd

__all__ = ["count", "count_runs", "deal", "neighbours", "place"]

DEALS = 12  # neighbourhoods of a group, at least: then its rating mass is even
OF_LINE = 16  # float32 numbers of a cache line
WIDEST = 256  # items of a neighbourhood, at most

_AHEAD = 16  # ratings whose counters are asked for before they are needed


@numba.njit(nogil=True, cache=True)
def count(numbers, counts):
    """Add to ``counts`` how often each number occurs.

    Parameters
    ----------
    numbers : (nnz,) int32
    counts : (rows,) int64, updated in place
    """
    for t in range(numbers.shape[0]):
        counts[numbers[t]] += 1


def neighbours(n, groups):
    """Return how many items of consecutive numbers stay together when items are dealt.

    Parameters
    ----------
    n, groups : int

    Notes
    -----
    Biases of sixteen items share a cache line, and a core that reads a row fetches the rows after
    it ahead of time. Where neighbours belong to different workers, each write then waits until
    the other core has given the line back: two workers were as slow as one. Neighbourhoods are
    therefore a multiple of sixteen, as long as there are enough of them to even the groups out.
    """
    size = min(n // (DEALS * groups), WIDEST)
    return max(1, size - size % OF_LINE)


def deal(counts, loads, strips, strip_of_item):
    """Deal items to groups of equal rating mass and equal size, and each group into strips.

    Parameters
    ----------
    counts : (n,) int64
        Ratings of each item.
    loads : (groups,) int64, updated in place
        Ratings of each group; zeros at first.
    strips : int
        Strips of a group. Its most popular items make the first strip, and so on: few long runs
        instead of many short ones.
    strip_of_item : (n,) int32, written
        Strip ``s`` of group ``g`` has the number ``g * strips + s``.

    Notes
    -----
    Neighbourhoods of items (see :func:`neighbours`) are dealt one to each group at a time, the
    most popular of them to the group with the least load: Graham's rule for groups of equal size.
    """
    n, groups = len(counts), len(loads)
    size = neighbours(n, groups)
    group_of = np.zeros(-(-n // size), dtype=np.int64)
    masses = np.add.reduceat(counts, np.arange(0, n, size))
    _deal(np.argsort(-masses, kind="stable"), masses, loads, group_of)
    groups_of_items = np.repeat(group_of, size)[:n]
    _cut(np.argsort(-counts, kind="stable"), groups_of_items, groups, strips, strip_of_item)


@numba.njit(nogil=True, cache=True)
def _deal(order, masses, loads, group_of):
    """Give each group one of every ``groups`` neighbourhoods, which come by falling mass."""
    count, groups = order.shape[0], loads.shape[0]
    for start in range(0, count, groups):
        last, before = -1, loads.copy()
        for t in range(start, min(start + groups, count)):
            # The next group by load as it was before this deal; ties go by number.
            best = -1
            for g in range(groups):
                later = last < 0 or (before[g], g) > (before[last], last)
                if later and (best < 0 or before[g] < before[best]):
                    best = g
            group_of[order[t]] = best
            loads[best] += masses[order[t]]
            last = best


@numba.njit(nogil=True, cache=True)
def _cut(order, group_of_item, groups, strips, strip_of_item):
    """Cut each group into strips of equal size; its items come by falling number of ratings."""
    sizes, seen = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    for g in group_of_item:
        sizes[g] += 1
    for item in order:
        g = group_of_item[item]
        strip_of_item[item] = g * strips + seen[g] * strips // sizes[g]
        seen[g] += 1


@numba.njit(nogil=True, cache=True)
def count_runs(u, i, strip_of_item, m, low, high, runs):
    """Count the ratings of each run of users ``low`` to ``high``, two places further on.

    Parameters
    ----------
    u, i : (nnz,) int32
    strip_of_item : (n,) int32
    m : int
        Number of users.
    low, high : int
        Users whose ratings are counted.
    runs : (strips * m + 2,) int64, updated in place
        Zeros at first. After a running sum over the whole of it, ``runs[key + 1]`` is where the
        run of ``key = strip * m + user`` begins.
    """
    nnz = u.shape[0]
    for t in range(nnz):
        if low <= u[t] < high:
            if t + _AHEAD < nnz:
                ahead = t + _AHEAD
                simd.prefetch_item(runs, strip_of_item[i[ahead]] * m + u[ahead] + 2)
            runs[strip_of_item[i[t]] * m + u[t] + 2] += 1


@numba.njit(nogil=True, cache=True)
def place(u, i, r, strip_of_item, m, low, high, runs, to_i, to_r):
    """Copy the ratings of users ``low`` to ``high`` to their places.

    Parameters
    ----------
    u, i, r, strip_of_item, m, low, high
        As in :func:`count_runs`.
    runs : (strips * m + 2,) int64, updated in place
        As :func:`count_runs` and the sum left it; then ``runs[key] : runs[key + 1]`` is the run.
    to_i, to_r : (nnz,) int32, float32, written
    """
    nnz = u.shape[0]
    for t in range(nnz):
        if low <= u[t] < high:
            if t + _AHEAD < nnz:
                ahead = t + _AHEAD
                simd.prefetch_item(runs, strip_of_item[i[ahead]] * m + u[ahead] + 1)
            key = strip_of_item[i[t]] * m + u[t]
            at = runs[key + 1]
            to_i[at], to_r[at] = i[t], r[t]
            runs[key + 1] = at + 1
