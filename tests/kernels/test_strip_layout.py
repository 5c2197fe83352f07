"""The counting sort into strips: every rating once, in its run, whoever sorts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mfviz.kernels.strip_layout import count, count_runs, deal, place
from tests import naive


@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 5), st.integers(1, 4))
def test_runs_hold_the_ratings_of_their_user_and_strip_in_order(
    seed: int, nnz: int, groups: int, strips: int
):
    m, n, rng = 17, 23, np.random.default_rng(seed)
    u, i = rng.integers(0, m, nnz, np.int32), (rng.random(nnz) ** 2 * n).astype(np.int32)
    counts, loads = np.zeros(n, np.int64), np.zeros(groups, np.int64)
    count(i, counts)
    np.testing.assert_array_equal(counts, np.bincount(i, minlength=n))
    strip = np.zeros(n, np.int32)
    deal(np.argsort(-counts, kind="stable"), counts, loads, strips, strip)
    assert strip.tolist() == naive.strip_items(i, n, groups, strips)
    np.testing.assert_array_equal(np.bincount(strip[i] // strips, minlength=groups), loads)

    r = np.arange(nnz, dtype=np.float32)  # tells where a rating came from
    to_i, to_r = np.zeros(nnz, np.int32), np.zeros(nnz, np.float32)
    places = rng.permutation(n).astype(np.int32)
    runs = np.zeros(groups * strips * m + 2, np.int64)
    ranges = [(0, 5), (5, 5), (5, m)]
    for low, high in ranges:
        count_runs(u, i, strip, m, low, high, runs)
    np.cumsum(runs, out=runs)
    for low, high in reversed(ranges):
        place(u, i, r, strip, places, m, low, high, runs, to_i, to_r)
    assert (runs[0], runs[-1]) == (0, nnz)
    for key in range(groups * strips * m):
        s, user = divmod(key, m)
        wanted = np.flatnonzero((u == user) & (strip[i] == s))
        np.testing.assert_array_equal(to_r[runs[key] : runs[key + 1]], wanted)
        np.testing.assert_array_equal(to_i[runs[key] : runs[key + 1]], places[i[wanted]])


def test_groups_differ_by_one_deal_at_most():
    counts = np.sort(np.random.default_rng(0).pareto(1.2, 500) * 20).astype(np.int64)[::-1] + 1
    loads, strip = np.zeros(3, np.int64), np.zeros(500, np.int32)
    deal(np.arange(500), counts, loads, 2, strip)
    sizes = np.bincount(strip // 2)
    assert sizes.max() - sizes.min() <= 1
    assert loads.sum() == counts.sum()
    assert loads.max() - loads.min() <= counts[0]
