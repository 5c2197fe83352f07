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

from mfviz.kernels import simd
from mfviz.kernels.compiling import kernel

__all__ = ["count", "count_runs", "deal", "place"]

_AHEAD = 16  # ratings whose counters are asked for before they are needed


@kernel
def count(numbers, counts):
    """Add to ``counts`` how often each number occurs.

    Parameters
    ----------
    numbers : (nnz,) int32
    counts : (rows,) int64, updated in place
    """
    for t in range(numbers.shape[0]):
        counts[numbers[t]] += 1


@kernel
def deal(order, counts, loads, strips, strip_of_item):
    """Deal items to groups of equal rating mass and equal size, and each group into strips.

    Parameters
    ----------
    order : (n,) int64
        Items by falling number of ratings.
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
    Items are dealt one to each group at a time, the most popular of them to the group with the
    least load: Graham's rule for groups of equal size.
    """
    n, groups = order.shape[0], loads.shape[0]
    rounds = -(-n // groups)
    for start in range(0, n, groups):
        strip, last = (start // groups) * strips // rounds, -1
        before = loads.copy()
        for t in range(start, min(start + groups, n)):
            # The next group by load as it was before this deal; ties go by number.
            best = -1
            for g in range(groups):
                later = last < 0 or (before[g], g) > (before[last], last)
                if later and (best < 0 or before[g] < before[best]):
                    best = g
            strip_of_item[order[t]] = best * strips + strip
            loads[best] += counts[order[t]]
            last = best


@kernel
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


@kernel
def place(u, i, r, strip_of_item, place_of_item, m, low, high, runs, to_i, to_r):
    """Copy the ratings of users ``low`` to ``high`` to their places.

    Parameters
    ----------
    u, i, r, strip_of_item, m, low, high
        As in :func:`count_runs`.
    place_of_item : (n,) int32
        What is written in the place of an item's number.
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
            to_i[at], to_r[at] = place_of_item[i[t]], r[t]
            runs[key + 1] = at + 1
