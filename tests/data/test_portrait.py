"""What a portrait of ratings says, against counting by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mfviz.data.portrait import CELLS, LEVELS, portrait
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings


def made(users, items, values):
    return Ratings.from_triples(users, items, values)


def test_a_small_set_by_hand():
    ratings = made([1, 1, 1, 2, 2, 3], [7, 8, 9, 7, 8, 7], [5, 4, 1, 5, 4, 3])
    found = portrait(split(ratings, holdout=0.0))
    assert (found.users, found.items, found.ratings, found.test) == (3, 3, 6, 0)
    assert found.density == 6 / 9
    assert found.hottest == 3 / 6
    assert (found.low, found.high) == (1.0, 5.0)
    np.testing.assert_allclose(found.mean, 22 / 6)
    np.testing.assert_array_equal(found.by_item[1], [3, 2, 1])
    np.testing.assert_array_equal(found.values, [1, 3, 4, 5])
    np.testing.assert_array_equal(found.counts, [1, 1, 2, 2])
    np.testing.assert_array_equal(found.cells, [[1, 1, 1], [1, 1, 0], [1, 0, 0]])


def test_held_out_ratings_count_too():
    rng = np.random.default_rng(0)
    ratings = made(rng.integers(0, 30, 900), rng.integers(0, 20, 900), rng.integers(1, 6, 900))
    problem = split(ratings, holdout=0.2, seed=1)
    found = portrait(problem)
    assert found.test == problem.test.nnz > 0
    assert found.ratings + problem.set_aside == 900


@given(st.data())
def test_counts_add_up_whatever_the_ratings(data):
    count = data.draw(st.integers(1, 300))
    seed = data.draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    users, items = (np.unique(rng.zipf(1.5, count) % 200, return_inverse=True)[1] for _ in "ui")
    ratings = made(users, items, rng.normal(size=count).round(data.draw(st.integers(0, 4))))
    found = portrait(Problem(ratings, ratings_of_none(ratings)))
    assert found.counts.sum() == found.ratings == count
    assert len(found.values) <= LEVELS
    for ranks, degrees in (found.by_user, found.by_item):
        assert ranks[0] == 1
        assert (np.diff(ranks) > 0).all()
        assert (np.diff(degrees) <= 0).all(), "the busiest first"
    rows, columns = found.cells.shape
    assert rows <= CELLS[0]
    assert columns <= CELLS[1]
    repeated = count - len(np.unique(ratings.pairs()))
    if not repeated:
        assert 0 <= found.cells.min() <= found.cells.max() <= 1


def ratings_of_none(ratings):
    none = np.zeros(0, np.int32)
    return Ratings(none, none, none.astype(np.float32), ratings.user_ids, ratings.item_ids)
